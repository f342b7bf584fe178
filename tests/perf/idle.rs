//! What an idle machine costs its host, and how soon a busy one is idle again.

use std::{
    fs,
    time::{Duration, Instant},
};

use cubby_harness::{Docker, IMAGE, Machine, busybox_archive, wait_for};

use crate::{page::Page, summary::Summary};

const ROUNDS: usize = 3;
const MIB: f64 = 1_048_576.0;
const PATIENCE: Duration = Duration::from_secs(120);

pub fn measure(page: &mut Page) {
    let machine = Machine::start_with([("CUBBY_SLEEP_AFTER_S", "0")]);
    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    let floor = settled(&machine);
    let pid = machine.status()["machine"]["pid"].as_u64().expect("QEMU's pid");
    page.row(
        "idle machine: held on the host, MiB",
        mib(floor),
        "≤ 200 MiB, moonshot ≤ 96",
        "status --json, three equal looks",
    );
    for (what, field) in
        [("the guest's memory", "RssShmem:"), ("QEMU's own", "RssAnon:"), ("programs and files", "RssFile:")]
    {
        page.row(&format!("idle machine: of that {what}, MiB"), mib(kib(pid, field) * 1024), "", "/proc/<pid>/status");
    }
    page.row(
        "idle machine: processor, ms per second",
        idle_cpu(&machine),
        "≤ 2 on KVM",
        "QEMU's CPU time over ten seconds",
    );
    let rounds: Vec<f64> = (0..ROUNDS).map(|_| back_after(&machine, &docker, floor)).collect();
    if let Some(summary) = Summary::of(rounds) {
        page.row(
            "seconds until a machine that used 400 MiB is within 15 % of idle",
            summary,
            "≤ 10 s",
            "from the return of docker rm -f",
        );
    }
    wakes(page, &machine);
}

fn held(machine: &Machine) -> u64 {
    machine.status()["figures"]["host_resident_bytes"].as_u64().expect("status tells the memory")
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / MIB)
}

fn kib(pid: u64, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn settled(machine: &Machine) -> u64 {
    let mut seen: Vec<u64> = Vec::new();
    wait_for("a quiet machine", PATIENCE, || {
        seen.push(held(machine));
        std::thread::sleep(Duration::from_secs(2));
        let last = seen.last_chunk::<3>()?;
        let (low, high) = (last.iter().min()?, last.iter().max()?);
        (high - low < low / 200).then_some(*high)
    })
}

fn idle_cpu(machine: &Machine) -> String {
    let cpu_ms = || machine.status()["figures"]["host_cpu_ms"].as_u64().unwrap_or(0);
    let (before, began) = (cpu_ms(), Instant::now());
    std::thread::sleep(Duration::from_secs(10));
    format!("{:.1}", (cpu_ms() - before) as f64 / began.elapsed().as_secs_f64())
}

fn back_after(machine: &Machine, docker: &Docker, floor: u64) -> f64 {
    let script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=200 2>/dev/null; dd if=/dev/zero of=/x bs=1M count=200 2>/dev/null; \
                  sync; echo full; sleep 1000";
    docker.run(["run", "-d", "--name", "eater", "--shm-size", "300m", IMAGE, "sh", "-c", script]).ok();
    wait_for("a full machine", PATIENCE, || docker.run(["logs", "eater"]).stdout.contains("full").then_some(()));
    docker.run(["rm", "-f", "eater"]).ok();
    let began = Instant::now();
    wait_for("its memory back", PATIENCE, || (held(machine) <= floor + floor * 15 / 100).then_some(()));
    began.elapsed().as_secs_f64()
}

/// From a connection to a machine that sleeps to its answer, against one that is awake.
fn wakes(page: &mut Page, awake: &Machine) {
    let sleepy = Machine::start_with([("CUBBY_SLEEP_AFTER_S", "1")]);
    let pid = sleepy.status()["machine"]["pid"].as_u64().expect("QEMU's pid");
    let ping_ms = |machine: &Machine| {
        let socket = machine.socket();
        let began = Instant::now();
        let answer = cubby_harness::request(&socket, "GET", "/_ping", b"").expect("an answer");
        assert_eq!(answer.status, 200);
        began.elapsed().as_secs_f64() * 1000.0
    };
    let (mut from_sleep, mut without) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        // Asking for the status would keep it awake.
        wait_for("sleep", PATIENCE, || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains(") T ").then_some(())
        });
        from_sleep.push(ping_ms(&sleepy));
        without.push(ping_ms(awake));
    }
    for (what, samples) in [("of a sleeping machine", from_sleep), ("of a machine that is awake", without)] {
        if let Some(summary) = Summary::of(samples) {
            page.row(&format!("first answer {what}, ms"), summary, "< 1000 on KVM", "GET /_ping, interleaved");
        }
    }
}
