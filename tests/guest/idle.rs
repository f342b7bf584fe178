//! A machine that has nothing to do: its clock is right, its memory goes back, it sleeps and wakes.

use std::{io::Read, net::TcpStream, time::Duration};

use cubby_harness::{Docker, IMAGE, Machine, busybox_archive, wait_for};

use crate::footprint::{self, comes_down, settled};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn the_clock_is_right_and_memory_goes_back() {
    let machine = Machine::start();
    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    the_clock_is_set_right(&machine, &docker);
    memory_goes_back(&machine, &docker);
}

fn the_clock_is_set_right(machine: &Machine, docker: &Docker) {
    let off_ms = || machine.status()["figures"]["clock_off_ms"].as_i64().expect("status tells the clock");
    for wrong in ["2001-02-03 04:05:06", "2033-02-03 04:05:06"] {
        let said = docker.run(["run", "--rm", "--privileged", IMAGE, "date", "-u", "-s", wrong]).ok();
        assert!(said.contains(&wrong[..4]), "the guest's clock was set wrong: {said}");
        wait_for("the right time", PATIENCE, || (off_ms().abs() < 1000).then_some(()));
    }
}

/// Twice: the first round also fills what stays (QEMU's buffer of translated code, the kernel's and the engine's own
/// tables), so that the second is measured against the floor of a machine that was used.
fn memory_goes_back(machine: &Machine, docker: &Docker) {
    let held = || footprint::held(machine);
    let unused = settled(held);
    let full = fill(docker, held);
    comes_down("memory", held, full - EATEN);
    let floor = settled(held);
    println!("held unused {} MiB, full {}, after use {}", unused >> 20, full >> 20, floor >> 20);
    let full = fill(docker, held);
    assert!(full > floor + EATEN, "{full} is not much more than {floor}");
    comes_down("memory", held, floor + floor * 15 / 100);
}

/// Of the 400 MiB that [`fill`] takes, what must be seen on the host.
const EATEN: u64 = 300 << 20;

/// Takes 200 MiB of memory and as much in the page cache, and lets go; what was held in between, in bytes.
fn fill(docker: &Docker, held: impl Fn() -> u64) -> u64 {
    let script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=200 2>/dev/null; dd if=/dev/zero of=/x bs=1M count=200 2>/dev/null; \
                  sync; echo full; sleep 1000";
    docker.run(["run", "-d", "--name", "eater", "--shm-size", "300m", IMAGE, "sh", "-c", script]).ok();
    wait_for("a full machine", PATIENCE, || docker.run(["logs", "eater"]).stdout.contains("full").then_some(()));
    let full = held();
    docker.run(["rm", "-f", "eater"]).ok();
    full
}

#[test]
fn an_idle_machine_sleeps_and_whoever_connects_wakes_it() {
    let machine = Machine::start_with([("CUBBY_SLEEP_AFTER_S", "3"), ("CUBBY_SLEEP_CONTAINERS", "1")]);
    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    let script = "while :; do date +%s | nc -l -p 8080; done";
    docker.run(["run", "-d", "--name", "web", "-p", "127.0.0.1:0:8080", IMAGE, "sh", "-c", script]).ok();
    let address = docker.run(["port", "web", "8080/tcp"]).ok();

    // Asking for the status is use, too: what is waited for is the process that stands still.
    let pid = machine.status()["machine"]["pid"].as_u64().expect("QEMU's pid");
    let sleeps = || wait_for("sleep", PATIENCE, || (state_of(pid) == 'T').then_some(()));
    sleeps();
    let asleep = machine.status();
    assert_eq!(
        (&asleep["machine"]["phase"], &asleep["machine"]["sleeping"]),
        (&"running".into(), &true.into()),
        "{asleep}"
    );
    assert_eq!(state_of(pid), 'T', "looking does not wake it");

    let mut answer = String::new();
    let mut stream = TcpStream::connect(&address).expect("the port is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.read_to_string(&mut answer).expect("an answer");
    let guest_s: u64 = answer.trim().parse().unwrap_or_else(|_| panic!("{answer:?}"));
    assert!(guest_s.abs_diff(unix_s()) < 5, "it woke in the present: {guest_s}");

    sleeps();
    assert_eq!(docker.run(["ps", "-q"]).ok().lines().count(), 1, "the Docker API wakes it");
    sleeps();
    machine.cubby(["down"]).ok();
    assert_eq!(machine.status()["machine"]["phase"], "off");
    machine.cubby(["up"]).ok();
    assert_eq!(docker.run(["inspect", "-f", "{{.State.ExitCode}}", "web"]).ok(), "137", "it was stopped in order");
}

/// Source: proc_pid_stat(5): the state follows the name in parentheses.
fn state_of(pid: u64) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("QEMU runs");
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).expect("a state")
}

fn unix_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970").as_secs()
}
