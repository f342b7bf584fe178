//! The link: the Docker API over vsock, the socket's rights, published ports.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use cubby_harness::{IMAGE, Machine, busybox_archive, wait_for};

#[test]
fn docker_works_over_vsock_and_nothing_else_listens() {
    let machine = Machine::start();
    let status = machine.status();
    assert_eq!(status["machine"]["phase"], "running", "{status}");
    let mode = std::fs::metadata(machine.socket()).expect("the socket is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    assert_eq!(docker.run(["run", "--rm", IMAGE, "echo", "from the guest"]).ok(), "from the guest");
    let piped = docker.run_with_input(["run", "--rm", "-i", IMAGE, "wc", "-c"], &vec![b'x'; 1 << 20]);
    assert_eq!(piped.ok().trim(), "1048576", "half-close and a megabyte pass the link");

    let qemu = std::fs::read_to_string(format!("/proc/{}/cmdline", qemu_pid(&machine))).expect("QEMU runs");
    assert!(qemu.contains("vsock"), "{qemu}");
    assert!(!qemu.contains("hostfwd"), "no TCP forwarding may stand in for vsock: {qemu}");

    published_port(&docker);
}

fn published_port(docker: &cubby_harness::Docker) {
    let script = "while :; do echo hello | nc -l -p 8080; done";
    docker.run(["run", "-d", "--name", "web", "-p", "127.0.0.1:0:8080", IMAGE, "sh", "-c", script]).ok();
    let address = docker.run(["port", "web", "8080/tcp"]).ok();
    let answer = wait_for("the published port", Duration::from_secs(60), || {
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream.write_all(b"\n").ok()?;
        stream.shutdown(std::net::Shutdown::Write).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    });
    assert_eq!(answer, "hello\n");

    let port = address.rsplit(':').next().expect("address:port").to_owned();
    let taken = docker.run(["run", "--rm", "-p", &format!("127.0.0.1:{port}:80"), IMAGE, "true"]);
    assert_eq!(taken.code, 125, "{taken:?}");
    assert!(taken.stderr.contains("address already in use"), "{taken:?}");
    docker.run(["rm", "-f", "web"]).ok();
    assert!(TcpStream::connect(&address).is_err(), "the port is closed with its container");
}

fn qemu_pid(machine: &Machine) -> u64 {
    let status = machine.status();
    status["machine"]["pid"].as_u64().unwrap_or_else(|| panic!("status tells QEMU's pid: {status}"))
}
