use std::sync::atomic::Ordering;

use cubby_machine::ExitReason;
use cubby_wire::boot::{BootMessage, Stage};

use super::*;
use crate::access::Access;
use crate::fake::machine::{FAULTS, FakeHardware, Fault, Rig};
use crate::fake::wait_for;
use crate::schema::StageStatus;

/// The clock of these tests is paused: long waits cost nothing.
fn quick() -> Config {
    Config { pauses: vec![Duration::from_secs(1); 3], ..Config::default() }
}

fn rig() -> (Arc<Rig>, Supervisor, JoinHandle<()>) {
    rig_with(quick())
}

fn rig_with(config: Config) -> (Arc<Rig>, Supervisor, JoinHandle<()>) {
    let rig = Rig::new();
    let dirs = crate::dirs::Dirs { profile: "t".into(), state: "/s".into(), runtime: "/r".into() };
    let (supervisor, task) = Supervisor::spawn(Arc::new(FakeHardware(rig.clone())), config, blank_state(&dirs));
    (rig, supervisor, task)
}

async fn until(supervisor: &Supervisor, phase: MachinePhase) -> MachineState {
    let mut state = supervisor.state();
    let reached = tokio::time::timeout(Duration::from_secs(600), state.wait_for(|state| state.phase == phase)).await;
    reached.unwrap_or_else(|_| panic!("never {phase:?}: {:?}", supervisor.state().borrow())).unwrap().clone()
}

async fn settled(supervisor: &Supervisor) -> MachineState {
    let mut state = supervisor.state();
    let settles = state.wait_for(|state| matches!(state.phase, MachinePhase::Running | MachinePhase::Failed));
    tokio::time::timeout(Duration::from_secs(600), settles).await.expect("stuck").unwrap().clone()
}

fn is_open(supervisor: &Supervisor) -> bool {
    matches!(*supervisor.access().borrow(), Access::Open(_))
}

#[tokio::test(start_paused = true)]
async fn a_start_shows_every_stage_and_a_stop_ends_it() {
    let (rig, supervisor, _task) = rig();
    supervisor.start().await;
    let state = until(&supervisor, MachinePhase::Running).await;
    assert!(state.stages.iter().all(|stage| stage.status == StageStatus::Done && stage.took_ms.is_some()), "{state:?}");
    assert_eq!(state.stages.iter().map(|stage| stage.stage).collect::<Vec<_>>(), board::STAGES);
    assert_eq!((state.accelerator.as_deref(), state.kernel.as_deref()), (Some("fake"), Some("6.12")));
    wait_for("access", || is_open(&supervisor)).await;
    wait_for("the clock", || rig.clocks_set.load(Ordering::SeqCst) == 1).await;
    assert_eq!(supervisor.host_figures().await.pid, Some(4711));
    supervisor.stop().await;
    assert_eq!(supervisor.state().borrow().phase, MachinePhase::Off);
    assert_eq!(rig.machines.load(Ordering::SeqCst), 0);
    assert!(!is_open(&supervisor));
}

/// 510 starts and stops, every fault in turn: never stuck, never a machine left over, and a good start always works next.
#[tokio::test(start_paused = true)]
async fn faults_at_every_step_never_leave_it_stuck() {
    let (rig, supervisor, _task) = rig();
    for round in 0..34 {
        for fault in FAULTS {
            *rig.fault.lock().unwrap() = fault;
            supervisor.start().await;
            // Every other round asks for the stop at once, in whatever state it is then.
            if round % 2 == 0 {
                let state = settled(&supervisor).await;
                let runs =
                    matches!(fault, Fault::None | Fault::WillNotPowerOff | Fault::WillNotStop | Fault::DeafControl);
                assert_eq!(state.phase == MachinePhase::Running, runs, "{fault:?}: {state:?}");
                assert_eq!(state.problem.is_some(), !runs, "{fault:?}: {state:?}");
            }
            let stopping = tokio::time::timeout(Duration::from_secs(600), supervisor.stop());
            assert!(stopping.await.is_ok(), "{fault:?}: stuck at {:?}", supervisor.state().borrow());
            assert_eq!(supervisor.state().borrow().phase, MachinePhase::Off, "{fault:?}");
            assert_eq!(rig.machines.load(Ordering::SeqCst), 0, "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_stage_is_named_with_its_reason() {
    let (rig, supervisor, _task) = rig();
    *rig.fault.lock().unwrap() = Fault::DiskFails;
    supervisor.start().await;
    let state = until(&supervisor, MachinePhase::Failed).await;
    let detail = state.problem.unwrap().detail;
    assert!(detail.starts_with("bad superblock") && detail.contains("data."), "{detail}");
    let failed: Vec<_> = state.stages.iter().filter(|stage| stage.status == StageStatus::Failed).collect();
    assert_eq!((failed.len(), failed[0].stage), (1, StageName::Disk));
    assert!(matches!(&*supervisor.access().borrow(), Access::Failed(why) if why.contains("bad superblock")));
}

#[tokio::test(start_paused = true)]
async fn a_crash_restarts_it_with_a_visible_reason_until_it_happens_too_often() {
    let (rig, supervisor, _task) = rig();
    supervisor.start().await;
    for crash in 1..=4 {
        until(&supervisor, MachinePhase::Running).await;
        rig.exit.send_replace(Some(ExitReason::Died { status: "signal 9".into(), said: String::new() }));
        let state = until(&supervisor, MachinePhase::Failed).await;
        let problem = state.problem.unwrap();
        assert!(problem.detail.contains("signal 9"), "{problem:?}");
        assert_eq!(problem.detail.contains("stays off"), crash == 4, "crash {crash}: {problem:?}");
    }
    assert_eq!(rig.machines.load(Ordering::SeqCst), 0);
    supervisor.start().await;
    until(&supervisor, MachinePhase::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_engine_closes_access_until_it_is_back() {
    let (rig, supervisor, _task) = rig();
    supervisor.start().await;
    let since = until(&supervisor, MachinePhase::Running).await.running_since_unix_ms;
    rig.says.send(BootMessage::EngineExited { reason: "signal 9".into() }).unwrap();
    let state = until(&supervisor, MachinePhase::Starting).await;
    assert_eq!(state.stages[4].status, StageStatus::Running, "{state:?}");
    assert!(!is_open(&supervisor));
    for stage in [Stage::Engine, Stage::Ready] {
        rig.says.send(BootMessage::Stage { stage, clock_us: 1 }).unwrap();
    }
    let again = until(&supervisor, MachinePhase::Running).await;
    assert_eq!(again.running_since_unix_ms, since, "the machine itself never went");
    wait_for("access", || is_open(&supervisor)).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_every_handle_powers_off_and_ends_the_task() {
    let (rig, supervisor, task) = rig();
    supervisor.start().await;
    until(&supervisor, MachinePhase::Running).await;
    drop(supervisor);
    task.await.unwrap();
    assert_eq!(rig.machines.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_guest_whose_clock_was_set_is_set_right_and_is_not_believed_blindly() {
    let (rig, supervisor, _task) = rig();
    supervisor.start().await;
    until(&supervisor, MachinePhase::Running).await;
    wait_for("the clock is right", || rig.clock_off_ns.load(Ordering::SeqCst) == 0).await;
    rig.clock_off_ns.store(-5_000_000_000, Ordering::SeqCst);
    rig.says.send(BootMessage::ClockStepped).unwrap();
    wait_for("the clock is right again", || rig.clock_off_ns.load(Ordering::SeqCst) == 0).await;
    let set = rig.clocks_set.load(Ordering::SeqCst);
    for _ in 0..5 {
        rig.says.send(BootMessage::ClockStepped).unwrap();
    }
    // A drift is found without anybody saying so; by then the false alarms are through.
    rig.clock_off_ns.store(1_000_000_000, Ordering::SeqCst);
    wait_for("the drift", || rig.clock_off_ns.load(Ordering::SeqCst) == 0).await;
    assert_eq!(rig.clocks_set.load(Ordering::SeqCst), set + 1, "a clock that is right is left alone");
}

fn sleepy(with_containers: bool) -> Config {
    Config { sleep: Some(Sleep { after: Duration::from_secs(60), with_containers }), ..quick() }
}

async fn sleeps(supervisor: &Supervisor, sleeping: bool) {
    let mut state = supervisor.state();
    let seen = tokio::time::timeout(Duration::from_secs(600), state.wait_for(|state| state.sleeping == sleeping)).await;
    assert!(seen.is_ok(), "never sleeping = {sleeping}");
}

async fn dial(supervisor: &Supervisor) -> crate::link::BoxStream {
    let Access::Open(link) = supervisor.access().borrow().clone() else { panic!("no access") };
    link.dial(cubby_wire::ports::DOCKER_API).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_nobody_uses_sleeps_and_a_connection_wakes_it() {
    let (rig, supervisor, _task) = rig_with(sleepy(false));
    supervisor.start().await;
    until(&supervisor, MachinePhase::Running).await;
    for _ in 0..3 {
        sleeps(&supervisor, true).await;
        assert!(rig.paused.load(Ordering::SeqCst));
        assert_eq!(supervisor.state().borrow().phase, MachinePhase::Running);
        drop(dial(&supervisor).await);
        assert!(!rig.paused.load(Ordering::SeqCst), "dialling returns when it is awake");
        sleeps(&supervisor, false).await;
    }
    sleeps(&supervisor, true).await;
    supervisor.stop().await;
    assert!(!rig.paused.load(Ordering::SeqCst), "one that sleeps is woken to stop in order");
    assert!(!supervisor.state().borrow().sleeping);
    assert_eq!(rig.machines.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_works_stays_awake() {
    let (rig, supervisor, _task) = rig_with(sleepy(false));
    supervisor.start().await;
    until(&supervisor, MachinePhase::Running).await;
    rig.containers.store(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!rig.paused.load(Ordering::SeqCst), "a container runs");
    rig.containers.store(0, Ordering::SeqCst);
    for _ in 0..100 {
        drop(dial(&supervisor).await);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!rig.paused.load(Ordering::SeqCst), "somebody connects all the time");
    }
    sleeps(&supervisor, true).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_its_sleep_is_a_crash() {
    let (rig, supervisor, _task) = rig_with(sleepy(true));
    supervisor.start().await;
    until(&supervisor, MachinePhase::Running).await;
    rig.containers.store(3, Ordering::SeqCst);
    sleeps(&supervisor, true).await;
    rig.exit.send_replace(Some(ExitReason::Died { status: "signal 9".into(), said: String::new() }));
    let failed = until(&supervisor, MachinePhase::Failed).await;
    assert!(!failed.sleeping);
    until(&supervisor, MachinePhase::Running).await;
}

#[test]
fn sleep_is_set_by_the_environment() {
    let ten_minutes = Some(Sleep { after: Duration::from_secs(600), with_containers: false });
    assert_eq!(Sleep::parse(None, None), ten_minutes);
    assert_eq!(Sleep::parse(Some("soon"), Some("yes")), ten_minutes);
    assert_eq!(Sleep::parse(Some("0"), None), None);
    assert_eq!(
        Sleep::parse(Some("5"), Some("1")),
        Some(Sleep { after: Duration::from_secs(5), with_containers: true })
    );
}
