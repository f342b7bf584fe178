//! Against the real kernel: what others do is told, what this process does is not.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use super::*;

fn shell(script: &str, dir: &Path) {
    assert!(Command::new("sh").args(["-ec", script]).current_dir(dir).status().unwrap().success());
}

fn next(events: &mpsc::Receiver<Option<Seen>>) -> Seen {
    events.recv_timeout(Duration::from_secs(60)).expect("an event").expect("none was lost")
}

#[test]
fn others_changes_are_told_with_both_names_and_our_own_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let watch = Watch::new().unwrap();
    let fd = OwnedFd::from(File::open(dir.path()).unwrap());
    assert!(watch.add(&fd, 7), "this filesystem can be watched");
    let (sender, events) = mpsc::channel();
    let reader = watch.read(Box::new(move |seen| sender.send(seen).unwrap())).unwrap();
    let name = |name: &str| Name { dir: 7, name: name.into() };

    std::fs::write(dir.path().join("ours"), "x").unwrap();
    std::fs::remove_file(dir.path().join("ours")).unwrap();
    shell("echo x > a", dir.path());
    let Seen::Changed { name: found, mask } = next(&events) else { panic!("a move") };
    assert_eq!(found, name("a"));
    assert_ne!(mask & libc::FAN_CREATE, 0, "{mask:x}");
    let mut seen = mask;
    while seen & libc::FAN_CLOSE_WRITE == 0 {
        let Seen::Changed { mask, .. } = next(&events) else { panic!("a move") };
        seen |= mask;
    }
    assert_ne!(seen & libc::FAN_MODIFY, 0);
    shell("mv a b; mkdir d; rm b", dir.path());
    assert_eq!(next(&events), Seen::Moved { from: name("a"), to: name("b") });
    let Seen::Changed { name: found, mask } = next(&events) else { panic!("a move") };
    assert_eq!((found, mask), (name("d"), libc::FAN_CREATE | libc::FAN_ONDIR));
    let Seen::Changed { name: found, mask } = next(&events) else { panic!("a move") };
    assert_eq!((found, mask), (name("b"), libc::FAN_DELETE));
    watch.remove(&fd);
    assert_eq!(watch.len(), 0);
    drop(reader);
}

#[test]
fn cut_events_are_no_events() {
    let mut short: &[u8] = &[24, 0, 0, 0, 3];
    assert!(next_event(&mut short).is_none());
    let mut event = [0; 30];
    event[0] = 30;
    let mut events = &event[..];
    let found = next_event(&mut events).unwrap();
    let mut records = found.records;
    assert!(next_record(&mut records).is_none());
}
