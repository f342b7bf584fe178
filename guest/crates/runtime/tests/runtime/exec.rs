//! More processes in a running container.

use cubby_runtime::{ExitStatus, SpawnError, Stdio, signal};

use crate::common::{Box, PATIENCE, outputs};

#[tokio::test]
async fn exec_sees_the_container_and_returns_its_own_code() {
    let b = Box::new().await;
    let _sleep = b.runtime.spawn(b.container("c", &["sleep", "1000"], |_| {})).await.unwrap();
    let script = "hostname; cat /proc/1/cmdline; echo; exit 7";
    let (status, out, _) = b.run(b.exec("e", "c", &["sh", "-c", script])).await.unwrap();
    assert_eq!((status, out.as_str()), (ExitStatus::Code(7), "box\nsleep\u{0}1000\u{0}\n"));
    // In every namespace of the container.
    for kind in ["mnt", "uts", "ipc", "net", "pid", "cgroup"] {
        let links = format!("readlink /proc/self/ns/{kind}; readlink /proc/1/ns/{kind}");
        let (_, out, _) = b.run(b.exec("e", "c", &["sh", "-c", &links])).await.unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines.len() == 2 && lines[0] == lines[1], "{kind}: {out}");
        let host = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(lines[0], host.to_str().unwrap(), "{kind}");
    }
    let err = b.run(b.exec("e", "c", &["nope"])).await.unwrap_err();
    assert!(matches!(err, SpawnError::NotFound(_)), "{err}");
    b.quit().await;
}

#[tokio::test]
async fn many_execs_at_once() {
    let b = Box::new().await;
    let _sleep = b.runtime.spawn(b.container("c", &["sleep", "1000"], |_| {})).await.unwrap();
    let runs = (0..40u8).map(|i| {
        let request = b.exec(&format!("e{i}"), "c", &["sh", "-c", &format!("echo {i}; exit {i}")]);
        let runtime = b.runtime.clone();
        tokio::spawn(async move {
            let process = runtime.spawn(request).await.unwrap();
            let (out, _) = outputs(process).await;
            let status = runtime.exited(&format!("e{i}")).await.unwrap().status;
            assert_eq!((status, out), (ExitStatus::Code(i), format!("{i}\n")));
        })
    });
    for run in runs.collect::<Vec<_>>() {
        tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
    }
    b.quit().await;
}

#[tokio::test]
async fn the_containers_end_takes_its_execs_along() {
    let b = Box::new().await;
    let first = b.runtime.spawn(b.container("c", &["sleep", "1000"], |_| {})).await.unwrap();
    let _second = b.runtime.spawn(b.exec("e", "c", &["sleep", "1000"])).await.unwrap();
    signal(&first.pidfd, libc::SIGKILL).unwrap();
    let ended = |key: &'static str| tokio::time::timeout(PATIENCE, b.runtime.exited(key));
    assert_eq!(ended("e").await.unwrap().unwrap().status.docker_code(), 137);
    assert_eq!(ended("c").await.unwrap().unwrap().status.docker_code(), 137);
    let err = b.run(b.exec("late", "c", &["true"])).await.unwrap_err();
    assert!(matches!(err, SpawnError::NotRunning(_)), "{err}");
    let err = b.run(b.exec("late", "unknown", &["true"])).await.unwrap_err();
    assert_eq!(err.to_string(), "container unknown is not running");
    b.quit().await;
}

#[tokio::test]
async fn exec_has_its_own_user_directory_and_input() {
    let b = Box::new().await;
    let _sleep = b.runtime.spawn(b.container("c", &["sleep", "1000"], |_| {})).await.unwrap();
    let mut request = b.exec("e", "c", &["sh", "-c", "id -u; id -g; pwd; cat"]);
    let mut spec = (*request.spec).clone();
    let process = spec.process_mut().as_mut().unwrap();
    process.user_mut().set_uid(1000).set_gid(1001);
    process.set_cwd("/tmp".into());
    request.spec = spec.into();
    request.stdio = Stdio { tty: None, stdin: true };
    let mut process = b.runtime.spawn(request).await.unwrap();
    let stdin = process.stdin.take().unwrap();
    rustix::io::write(&stdin, b"typed\n").unwrap();
    drop(stdin);
    b.runtime.close_stdin("e").await.unwrap();
    assert_eq!(outputs(process).await.0, "1000\n1001\n/tmp\ntyped\n");
    b.quit().await;
}
