//! Exit codes, output, signals, errors.

use cubby_runtime::{ExitStatus, SpawnError, Stdio, signal};

use crate::common::{Box, PATIENCE};

#[tokio::test]
async fn exit_codes_and_output_are_exact() {
    let b = Box::new().await;
    for (script, code) in [("exit 0", 0), ("exit 1", 1), ("exit 42", 42), ("exit 255", 255)] {
        let (status, ..) = b.run(b.container("c", &["sh", "-c", script], |_| {})).await.unwrap();
        assert_eq!(status, ExitStatus::Code(code));
    }
    let (status, out, err) =
        b.run(b.container("c", &["sh", "-c", "echo out; echo err >&2; exit 3"], |_| {})).await.unwrap();
    assert_eq!((status, out.as_str(), err.as_str()), (ExitStatus::Code(3), "out\n", "err\n"));
    b.quit().await;
}

#[tokio::test]
async fn a_signal_ends_it_and_is_told() {
    let b = Box::new().await;
    let process = b.runtime.spawn(b.container("c", &["sleep", "1000"], |_| {})).await.unwrap();
    signal(&process.pidfd, libc::SIGKILL).unwrap();
    let exited = tokio::time::timeout(PATIENCE, b.runtime.exited("c")).await.unwrap().unwrap();
    assert_eq!(exited.status, ExitStatus::Signal { signal: 9, core: false });
    assert_eq!(exited.status.docker_code(), 137);
    b.quit().await;
}

#[tokio::test]
async fn stdin_reaches_the_process_and_ends() {
    let b = Box::new().await;
    let mut request = b.container("c", &["cat"], |_| {});
    request.stdio = Stdio { tty: None, stdin: true };
    let mut process = b.runtime.spawn(request).await.unwrap();
    let stdin = process.stdin.take().unwrap();
    rustix::io::write(&stdin, b"hello").unwrap();
    drop(stdin);
    b.runtime.close_stdin("c").await.unwrap();
    assert_eq!(crate::common::outputs(process).await.0, "hello");
    assert_eq!(b.runtime.exited("c").await.unwrap().status, ExitStatus::Code(0));
    b.quit().await;
}

#[tokio::test]
async fn a_program_that_cannot_start_is_told_in_runcs_words() {
    let b = Box::new().await;
    std::fs::write(b.rootfs.join("etc/script"), "#!/no/such/interpreter\n").unwrap();
    std::fs::write(b.rootfs.join("etc/garbage"), "\x7fnot a program").unwrap();
    use std::os::unix::fs::PermissionsExt;
    for file in ["etc/script", "etc/garbage"] {
        std::fs::set_permissions(b.rootfs.join(file), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let cases = [
        ("foo", "exec: \"foo\": executable file not found in $PATH", 127),
        ("/nope", "exec: \"/nope\": stat /nope: no such file or directory", 127),
        ("/etc/passwd", "exec: \"/etc/passwd\": permission denied", 126),
        ("/etc", "exec: \"/etc\": is a directory", 126),
        ("/etc/passwd/x", "exec: \"/etc/passwd/x\": stat /etc/passwd/x: not a directory", 127),
        ("/etc/script", "exec /etc/script: no such file or directory", 127),
        ("/etc/garbage", "exec /etc/garbage: exec format error", 126),
    ];
    for (program, text, code) in cases {
        let err = b.run(b.container("c", &[program], |_| {})).await.unwrap_err();
        assert_eq!(err.to_string(), format!("unable to start container process: {text}"));
        assert_eq!(err.docker_code(), code, "{program}");
    }
    // A container's working directory is made; an exec's is not.
    let made = b.sh("pwd", |spec| {
        spec.process_mut().as_mut().unwrap().set_cwd("/made/for/it".into());
    });
    assert_eq!(made.await, "/made/for/it");
    let _sleep = b.runtime.spawn(b.container("c", &["sleep", "1000"], |_| {})).await.unwrap();
    let mut request = b.exec("e", "c", &["true"]);
    let mut spec = (*request.spec).clone();
    spec.process_mut().as_mut().unwrap().set_cwd("/nowhere".into());
    request.spec = spec.into();
    let err = b.run(request).await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "unable to start container process: chdir to cwd (\"/nowhere\") set in config.json failed: no such file or directory"
    );
    assert!(matches!(err, SpawnError::Setup(_)));
    b.quit().await;
}

#[tokio::test]
async fn big_specs_and_much_output_pass() {
    let b = Box::new().await;
    let request = b.container("c", &["sh", "-c", "env | wc -c; head -c 3000000 /dev/zero; echo end >&2"], |spec| {
        let process = spec.process_mut().as_mut().unwrap();
        let mut env = process.env().clone().unwrap();
        env.extend((0..400).map(|i| format!("V{i}={}", "x".repeat(1000))));
        process.set_env(Some(env));
    });
    let (status, out, err) = b.run(request).await.unwrap();
    assert_eq!((status, err.as_str()), (ExitStatus::Code(0), "end\n"));
    let (first, rest) = out.split_once('\n').unwrap();
    assert!(first.parse::<usize>().unwrap() > 400_000, "{first}");
    assert_eq!(rest.len(), 3_000_000);
    let err = b
        .run(b.container("c", &["true"], |spec| {
            let process = spec.process_mut().as_mut().unwrap();
            process.set_args(Some(vec!["true".into(), "x".repeat(200_000)]));
        }))
        .await
        .unwrap_err();
    assert_eq!(err.to_string(), "unable to start container process: exec /bin/true: argument list too long");
    b.quit().await;
}

#[tokio::test]
async fn fifty_at_once() {
    let b = Box::new().await;
    let runs = (0..50u8).map(|i| {
        let key = format!("c{i}");
        let request = b.container(&key, &["sh", "-c", &format!("exit {i}")], |_| {});
        let runtime = b.runtime.clone();
        tokio::spawn(async move {
            let _process = runtime.spawn(request).await.unwrap();
            let status = runtime.exited(&key).await.unwrap().status;
            assert_eq!(status, ExitStatus::Code(i));
        })
    });
    for run in runs.collect::<Vec<_>>() {
        tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
    }
    b.quit().await;
}
