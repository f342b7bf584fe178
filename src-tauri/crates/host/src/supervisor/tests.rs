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
    let rig = Rig::new();
    let dirs = crate::dirs::Dirs { profile: "t".into(), state: "/s".into(), runtime: "/r".into() };
    let (supervisor, task) = Supervisor::spawn(Arc::new(FakeHardware(rig.clone())), quick(), blank_state(&dirs));
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
    assert!(detail.starts_with("bad superblock") && detail.contains("/s/data.raw"), "{detail}");
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
