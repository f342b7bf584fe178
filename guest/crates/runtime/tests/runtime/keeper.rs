//! The keeper outlives engines, and takes everything along when it is killed itself.

use std::os::fd::AsFd;

use cubby_runtime::{ExitStatus, Runtime, Spawned, Stdio, Target, signal};

use crate::common::{Box, PATIENCE, outputs, wait_for};

#[tokio::test]
async fn another_engine_adopts_with_exact_codes_and_output() {
    let mut b = Box::new().await;
    let script = "echo before; cat; echo after; exit 23";
    let mut request = b.container("runs", &["sh", "-c", script], |_| {});
    request.stdio = Stdio { tty: None, stdin: true };
    let runs = b.runtime.spawn(request).await.unwrap();
    let ends = b.runtime.spawn(b.container("ends", &["sh", "-c", "echo last words; exit 17"], |_| {})).await.unwrap();
    let ended = ends.pidfd.as_fd().try_clone_to_owned().unwrap();
    // The engine dies: every descriptor of it closes.
    drop((runs, ends));
    b.runtime = Runtime::connect(&b.socket()).await.unwrap();
    wait_for("the second container's end", || {
        let mut poll = [rustix::event::PollFd::new(&ended, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut poll, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    });
    let exited = loop {
        let mut kept = b.runtime.adopt().await.unwrap();
        kept.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(kept.iter().map(|k| k.key.as_str()).collect::<Vec<_>>(), ["ends", "runs"]);
        if kept[0].exited.is_some() {
            break kept;
        }
    };
    let [ends, runs] = <[_; 2]>::try_from(exited).unwrap();
    assert_eq!(ends.exited.unwrap().status, ExitStatus::Code(17));
    assert_eq!(ends.meta, b"meta of ends");
    assert_eq!(outputs(ends.process).await.0, "last words\n");
    assert_eq!(b.runtime.exited("ends").await.unwrap().status, ExitStatus::Code(17));
    assert!(runs.exited.is_none());
    let mut process: Spawned = runs.process;
    let stdin = process.stdin.take().unwrap();
    rustix::io::write(&stdin, b"typed later\n").unwrap();
    drop(stdin);
    b.runtime.close_stdin("runs").await.unwrap();
    assert_eq!(outputs(process).await.0, "before\ntyped later\nafter\n");
    assert_eq!(b.runtime.exited("runs").await.unwrap().status, ExitStatus::Code(23));
    b.runtime.release("ends").await.unwrap();
    b.runtime.release("runs").await.unwrap();
    assert!(b.runtime.adopt().await.unwrap().is_empty());
    b.quit().await;
}

#[tokio::test]
async fn a_new_engine_takes_over_from_a_living_one() {
    let mut b = Box::new().await;
    let old = b.runtime.clone();
    b.runtime = Runtime::connect(&b.socket()).await.unwrap();
    tokio::time::timeout(PATIENCE, old.lost()).await.unwrap();
    assert!(old.spawn(b.container("c", &["true"], |_| {})).await.is_err());
    assert_eq!(b.run(b.container("c", &["true"], |_| {})).await.unwrap().0, ExitStatus::Code(0));
    b.quit().await;
}

#[tokio::test]
async fn an_engine_that_has_not_heard_of_its_successor_yet_does_not_take_the_keeper_back() {
    let mut b = Box::new().await;
    b.run(b.container("c", &["true"], |_| {})).await.unwrap();
    let (old, socket) = (b.runtime.clone(), b.socket());
    let (tell, told) = std::sync::mpsc::channel();
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let successor = std::thread::spawn(move || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(async {
            let new = Runtime::connect(&socket).await.unwrap();
            // Answered, so the keeper is ours.
            tell.send(new.adopt().await.unwrap().len()).unwrap();
            asked.recv().unwrap();
            new.adopt().await.map(|kept| kept.len()).map_err(|error| error.to_string())
        })
    });
    // Why blocking: the old one's reading task shares this thread, and must not have run.
    assert_eq!(told.recv().unwrap(), 0);
    assert!(old.spawn(b.container("late", &["sleep", "1000"], |_| {})).await.is_err());
    ask.send(()).unwrap();
    assert_eq!(successor.join().unwrap(), Ok(0));
    b.runtime = Runtime::connect(&b.socket()).await.unwrap();
    b.quit().await;
}

/// Connecting takes the keeper over, so the caller must connect again.
fn keeper_pid(path: &std::path::Path) -> rustix::process::Pid {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket, sockopt};
    let probe = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    connect(&probe, &SocketAddrUnix::new(path).unwrap()).unwrap();
    sockopt::socket_peercred(&probe).unwrap().pid
}

#[tokio::test]
async fn when_the_keeper_is_killed_its_processes_die() {
    let mut b = Box::new().await;
    let keeper = keeper_pid(&b.socket());
    b.runtime = Runtime::connect_or_spawn(&b.socket(), crate::common::keeper_exe()).await.unwrap();
    let mut processes = Vec::new();
    // As another user too: changing the user clears the parent-death signal, so it must be set again.
    for (key, uid, init) in [("root", 0, false), ("user", 1000, false), ("init", 0, true)] {
        let mut request = b.container(key, &["sleep", "1000"], |spec| {
            spec.process_mut().as_mut().unwrap().user_mut().set_uid(uid);
        });
        if let Target::Container { init: wanted, .. } = &mut request.target {
            *wanted = init;
        }
        processes.push(b.runtime.spawn(request).await.unwrap());
    }
    processes.push(b.runtime.spawn(b.exec("exec", "root", &["sleep", "1000"])).await.unwrap());
    rustix::process::kill_process(keeper, rustix::process::Signal::KILL).unwrap();
    tokio::time::timeout(PATIENCE, b.runtime.lost()).await.unwrap();
    for process in &processes {
        wait_for("a process to die", || signal(&process.pidfd, 0).is_err());
    }
    assert!(b.runtime.exited("root").await.is_none());
    // Nothing is left to say about them, and saying so starts no keeper; the next container does.
    assert!(b.runtime.release("root").await.is_err());
    assert!(Runtime::connect(&b.socket()).await.is_err());
    assert_eq!(b.run(b.container("c", &["true"], |_| {})).await.unwrap().0, ExitStatus::Code(0));
    let runtime = b.runtime.clone();
    let late = b.container("late", &["true"], |_| {});
    b.quit().await;
    // But not after quit.
    assert!(runtime.spawn(late).await.is_err());
}

#[tokio::test]
async fn keys_are_unique_until_released() {
    let b = Box::new().await;
    let _first = b.runtime.spawn(b.container("c", &["sleep", "1000"], |_| {})).await.unwrap();
    let err = b.runtime.spawn(b.container("c", &["true"], |_| {})).await.unwrap_err();
    assert_eq!(err.to_string(), "a process with the key c is still kept");
    assert!(tokio::time::timeout(PATIENCE, b.runtime.exited("other")).await.unwrap().is_none());
    b.quit().await;
}

#[tokio::test]
async fn two_hundred_runs_leave_nothing_behind() {
    let b = Box::new().await;
    let keeper = keeper_pid(&b.socket());
    let mut b = b;
    b.runtime = Runtime::connect(&b.socket()).await.unwrap();
    let fds = |pid: &str| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    b.run(b.container("warm", &["true"], |_| {})).await.unwrap();
    let keeper = keeper.to_string();
    let before = (fds(&keeper), mounts());
    for i in 0..200 {
        let key = format!("c{i}");
        let program = if i % 10 == 9 { "/nope" } else { "true" };
        let done = b.run(b.container(&key, &[program], |_| {})).await;
        assert_eq!(done.is_ok(), i % 10 != 9, "{done:?}");
    }
    // The last socket of a failed child may still be closing.
    wait_for("descriptors and mounts to be as before", || (fds(&keeper), mounts()) == before);
    let status = std::fs::read_to_string(format!("/proc/{keeper}/status")).unwrap();
    let rss = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    println!("keeper after 200 runs: {rss}");
    let children = || std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    wait_for("no child to be left", || children().trim().is_empty());
    b.quit().await;
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_any_more_leaves_nothing() {
    let mut b = Box::new().await;
    {
        let start = b.runtime.spawn(b.container("c", &["sleep", "1000"], |_| {}));
        tokio::pin!(start);
        // Once polled the request is on its way; then the caller goes.
        let _ = tokio::time::timeout(std::time::Duration::ZERO, &mut start).await;
    }
    let gone = async {
        while b.runtime.exited("c").await.is_some() {
            tokio::task::yield_now().await;
        }
        // Another connection, because the old one's release may still be on its way.
        b.runtime = Runtime::connect(&b.socket()).await.unwrap();
        while !b.runtime.adopt().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    b.quit().await;
}

#[tokio::test]
async fn an_engine_that_dies_while_starting_is_followed_by_one_that_learns_all() {
    let mut b = Box::new().await;
    for round in 0..20 {
        let key = format!("c{round}");
        let start = b.runtime.spawn(b.container(&key, &["sleep", "1000"], |_| {}));
        let started = tokio::time::timeout(std::time::Duration::from_micros(round * 100), start).await;
        drop(started);
        b.runtime = Runtime::connect(&b.socket()).await.unwrap();
        let mut kept = b.runtime.adopt().await.unwrap();
        // Either it never reached the keeper, or it is known, running and can be ended.
        if let Some(process) = kept.pop() {
            assert_eq!((process.key.as_str(), kept.len()), (key.as_str(), 0));
            let _ = signal(&process.process.pidfd, libc::SIGKILL);
            let exited = tokio::time::timeout(PATIENCE, b.runtime.exited(&key)).await.unwrap().unwrap();
            assert_eq!(exited.status.docker_code(), 137);
            b.runtime.release(&key).await.unwrap();
        }
    }
    b.quit().await;
}
