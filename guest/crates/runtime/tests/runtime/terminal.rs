//! Terminals.

use cubby_runtime::{ExitStatus, Stdio, Target, WinSize};

use crate::common::{Box, PATIENCE, outputs, wait_for};

const TTY: Stdio = Stdio { tty: Some(WinSize { rows: 33, cols: 123 }), stdin: true };

#[tokio::test]
async fn a_container_has_a_terminal_of_its_own() {
    let b = Box::new().await;
    let script = "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; stat -c %t:%T /dev/console";
    let mut request = b.container("c", &["sh", "-c", script], |_| {});
    request.stdio = TTY;
    let process = b.runtime.spawn(request).await.unwrap();
    assert!(process.pty.is_some() && process.stdout.is_none() && process.stdin.is_none());
    let (out, _) = outputs(process).await;
    assert_eq!(out, "/dev/pts/0\r\n33 123\r\nall\r\n88:0\r\n");
    assert_eq!(b.runtime.exited("c").await.unwrap().status, ExitStatus::Code(0));
    b.quit().await;
}

#[tokio::test]
async fn the_terminal_sends_signals_and_can_be_resized() {
    let b = Box::new().await;
    let mut request =
        b.container("c", &["sh", "-c", "trap 'stty size; exit 5' INT; echo up; while :; do sleep 1000; done"], |_| {});
    request.stdio = TTY;
    let process = b.runtime.spawn(request).await.unwrap();
    let pty = process.pty.as_ref().unwrap();
    let mut said = Vec::new();
    wait_for("the trap to be set", || {
        let mut buffer = [0; 64];
        let n = rustix::io::read(pty, &mut buffer).unwrap_or(0);
        said.extend_from_slice(&buffer[..n]);
        said.starts_with(b"up")
    });
    let size = rustix::termios::Winsize { ws_row: 10, ws_col: 20, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(pty, size).unwrap();
    let pty = pty.try_clone().unwrap();
    let runtime = b.runtime.clone();
    let typing = tokio::spawn(async move {
        // Again and again: a shell that is between two commands misses it.
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
        let exited = runtime.exited("c");
        tokio::pin!(exited);
        loop {
            tokio::select! {
                exited = &mut exited => return exited.unwrap().status,
                _ = tick.tick() => drop(rustix::io::write(&pty, b"\x03")),
            }
        }
    });
    let (out, _) = outputs(process).await;
    assert!(out.contains("10 20"), "{out:?}");
    assert_eq!(typing.await.unwrap(), ExitStatus::Code(5));
    b.quit().await;
}

#[tokio::test]
async fn exec_with_a_terminal_and_an_unprivileged_user() {
    let b = Box::new().await;
    let _sleep = b.runtime.spawn(b.container("c", &["sleep", "1000"], |_| {})).await.unwrap();
    let mut request = b.exec("e", "c", &["sh", "-c", "id -u; stty size; stat -c %u $(tty); exit 4"]);
    let mut spec = (*request.spec).clone();
    spec.process_mut().as_mut().unwrap().user_mut().set_uid(1000);
    request.spec = spec.into();
    request.stdio = TTY;
    let process = b.runtime.spawn(request).await.unwrap();
    assert_eq!(outputs(process).await.0, "1000\r\n33 123\r\n1000\r\n");
    assert_eq!(b.runtime.exited("e").await.unwrap().status, ExitStatus::Code(4));
    b.quit().await;
}

#[tokio::test]
async fn the_tiny_init_reaps_forwards_and_passes_the_code_on() {
    let b = Box::new().await;
    let with_init = |script: &str| {
        let mut request = b.container("c", &["sh", "-c", script], |_| {});
        if let Target::Container { init, .. } = &mut request.target {
            *init = true;
        }
        request
    };
    let (status, out, _) = b.run(with_init("echo $$; cat /proc/1/comm /proc/1/cmdline; exit 9")).await.unwrap();
    assert_eq!(status, ExitStatus::Code(9));
    assert_eq!(out.trim_end_matches('\0'), "2\ncubby-init\ncubby-init");
    // With a terminal the program is in the foreground: it may write and set it.
    let mut request = with_init("stty -echo; stty size; exit 3");
    request.stdio = TTY;
    let process = b.runtime.spawn(request).await.unwrap();
    assert_eq!(outputs(process).await.0, "33 123\r\n");
    assert_eq!(b.runtime.exited("c").await.unwrap().status, ExitStatus::Code(3));
    b.runtime.release("c").await.unwrap();
    let process =
        b.runtime.spawn(with_init("trap 'exit 6' TERM; echo up; while :; do sleep 0.01; done")).await.unwrap();
    let mut first = [0; 3];
    let out = process.stdout.as_ref().unwrap();
    wait_for("the trap", || rustix::io::read(out, &mut first).is_ok());
    cubby_runtime::signal(&process.pidfd, libc::SIGTERM).unwrap();
    let exited = tokio::time::timeout(PATIENCE, b.runtime.exited("c")).await.unwrap().unwrap();
    assert_eq!(exited.status, ExitStatus::Code(6));
    b.quit().await;
}
