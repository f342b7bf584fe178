use std::time::Duration;

use super::NativeMachine;
use super::fake::Script;
use crate::disk::LockedDisk;
use crate::hypervisor::{ExitReason, Machine, MachineError, StopMode};
use crate::native::Ending;
use crate::spec::DataDisk;
use crate::stream::DialError;

struct Case {
    script: Script,
    machine: NativeMachine,
    _dir: tempfile::TempDir,
}

fn case() -> Case {
    let dir = tempfile::tempdir().unwrap();
    let template = dir.path().join("template.zst");
    std::fs::write(&template, zstd::encode_all(&b"disk"[..], 1).unwrap()).unwrap();
    let disk = DataDisk { path: dir.path().join("data.raw"), size_bytes: 4096 };
    let disk = LockedDisk::open_or_create(&template, &disk).unwrap();
    let script = Script::default();
    let machine = NativeMachine::new("t".into(), Box::new(script.clone()), disk, crate::Folders::default());
    Case { script, machine, _dir: dir }
}

const ASKED: StopMode = StopMode::AskedGuest { grace: Duration::from_secs(30) };

#[tokio::test(start_paused = true)]
async fn a_guest_that_powers_off_in_time_is_not_killed() {
    let Case { script, mut machine, _dir } = case();
    machine.start().await.unwrap();
    assert!(matches!(machine.start().await, Err(MachineError::AlreadyOn)));
    let ender = script.clone();
    let stop = async { machine.stop(ASKED).await };
    let end = async { ender.end(Ending::PoweredOff) };
    tokio::join!(stop, end);
    assert_eq!(machine.wait().await, ExitReason::PoweredOff);
    assert_eq!(script.calls(), ["make", "start", "drop"]);
    assert_eq!(machine.figures().resident_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_does_not_is_killed_after_its_grace() {
    let Case { script, mut machine, _dir } = case();
    machine.start().await.unwrap();
    machine.stop(ASKED).await;
    assert_eq!(machine.wait().await, ExitReason::Stopped);
    assert_eq!(script.calls(), ["make", "start", "kill", "drop"]);
}

#[tokio::test(start_paused = true)]
async fn a_hypervisor_that_tells_no_end_is_dropped_all_the_same() {
    for fails in [true, false] {
        let Case { script, mut machine, _dir } = case();
        machine.start().await.unwrap();
        if fails {
            script.fail("kill")
        } else {
            script.goes_deaf()
        }
        machine.stop(StopMode::Kill).await;
        assert_eq!(machine.wait().await, ExitReason::Stopped);
        assert_eq!(script.calls(), ["make", "start", "kill", "drop"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sleeping_machine_is_woken_before_it_is_stopped() {
    let Case { script, mut machine, _dir } = case();
    machine.pause().await.unwrap();
    machine.start().await.unwrap();
    machine.pause().await.unwrap();
    machine.pause().await.unwrap();
    machine.stop(StopMode::Quit).await;
    assert_eq!(script.calls(), ["make", "start", "pause", "resume", "kill", "drop"]);
    machine.resume().await.unwrap();
    assert_eq!(script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_paused_is_not_resumed() {
    let Case { script, mut machine, _dir } = case();
    machine.start().await.unwrap();
    script.fail("pause");
    assert!(matches!(machine.pause().await, Err(MachineError::Pause(_))));
    machine.resume().await.unwrap();
    assert_eq!(script.calls(), ["make", "start", "pause"]);
}

#[tokio::test(start_paused = true)]
async fn every_end_has_its_reason_and_the_machine_starts_again() {
    let Case { script, mut machine, _dir } = case();
    for (ending, reason) in [
        (Ending::Reset, ExitReason::Reset),
        (Ending::PoweredOff, ExitReason::PoweredOff),
        (Ending::Failed("no memory".into()), ExitReason::HypervisorFailed { said: "no memory".into() }),
    ] {
        machine.start().await.unwrap();
        script.end(ending);
        assert_eq!(machine.wait().await, reason);
    }
    for fault in [Script::vanish, |script: &Script| script.end(Ending::Killed)] {
        machine.start().await.unwrap();
        fault(&script);
        assert!(matches!(machine.wait().await, ExitReason::Died { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_leaves_nothing_and_can_be_repeated() {
    let Case { script, mut machine, _dir } = case();
    let _listener = machine.listen(7).unwrap();
    for (call, calls) in
        [("make", &["make"][..]), ("open", &["make", "open", "drop"]), ("start", &["make", "open", "start", "drop"])]
    {
        script.fail(call);
        assert!(machine.start().await.is_err(), "{call}");
        assert_eq!(script.calls(), calls);
        assert!(matches!(machine.dialer().dial(3).await, Err(DialError::Off)));
        assert!(script.guest_dials(7).is_none());
    }
    machine.start().await.unwrap();
    assert!(script.guest_dials(7).is_some());
}

#[tokio::test(start_paused = true)]
async fn listeners_and_dialers_outlive_a_power_cycle() {
    let Case { script, mut machine, _dir } = case();
    let mut early = machine.listen(7).unwrap();
    let dialer = machine.dialer();
    assert!(matches!(dialer.dial(3).await, Err(DialError::Off)));
    for _ in 0..2 {
        machine.start().await.unwrap();
        let late = machine.listen(8).unwrap();
        assert!(matches!(machine.listen(8), Err(MachineError::PortInUse(8))));
        let _theirs = script.guest_dials(7).unwrap();
        assert!(early.accept().await.is_some());
        dialer.dial(3).await.unwrap();
        assert!(matches!(dialer.dial(1).await, Err(DialError::Refused(1))));
        assert!(matches!(dialer.dial(2).await, Err(DialError::Timeout(2))));
        assert!(script.guest_dials(8).is_some());
        drop(late);
        assert!(script.guest_dials(8).is_none(), "a listener that is gone takes nothing");
        machine.stop(StopMode::Kill).await;
        assert!(script.guest_dials(7).is_none());
    }
}
