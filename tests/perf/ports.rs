//! Published ports natively: throughput and the life of a connection through our relay, beside docker-proxy
//! (`CUBBY_BENCH_DOCKER_PROXY` names the program), straight to the container, and over plain loopback; then a thousand ports.
//!
//! All ways lead to the same servers, so they differ in the way alone.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Child, Command},
    time::Instant,
};

use cubby_harness::{Docker, IMAGE, NativeEngine, free_port, resident_kib, wait_for};

use crate::{
    page::Page,
    summary::Summary,
    within::{self, ECHO, Place, SINK},
};

const ROUNDS: usize = 9;
const BYTES: usize = 512 << 20;
const EXCHANGES: usize = 300;
const MANY: usize = 1000;

/// A way to the servers.
struct Way {
    name: &'static str,
    sink: SocketAddr,
    echo: SocketAddr,
    /// The process whose work it is, if there is one.
    pid: Option<u32>,
}

/// docker-proxy for both ports; ends with this.
struct Peer(Vec<Child>);

impl Drop for Peer {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn measure(page: &mut Page) {
    let engine = NativeEngine::start();
    let docker = engine.docker();
    docker.run_with_input(["load"], &cubby_harness::busybox_archive()).ok();
    let publish = [format!("127.0.0.1:0:{SINK}"), format!("127.0.0.1:0:{ECHO}")];
    let place = Place::run(&docker, "bench-ports", &["-p", &publish[0], "-p", &publish[1]]);
    place.serve();
    let (ways, _peer) = ways(&engine, &docker, &place);
    throughput(page, &ways);
    latency(page, &ways);
    docker.run(["rm", "-f", &place.name]).ok();
    thousand(page, &engine, &docker);
}

fn ways(engine: &NativeEngine, docker: &Docker, place: &Place) -> (Vec<Way>, Option<Peer>) {
    let at = |host: &str, port: u16| format!("{host}:{port}").parse::<SocketAddr>().expect("an address");
    let published = |port: u16| {
        let shown = docker.run(["port", &place.name, &format!("{port}/tcp")]).ok();
        shown.parse::<SocketAddr>().expect("one address")
    };
    let local = |handle: fn(std::net::TcpStream)| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let at = listener.local_addr().expect("it is bound");
        within::serve(listener, handle);
        at
    };
    let mut ways = vec![
        Way { name: "cubby's relay", sink: published(SINK), echo: published(ECHO), pid: Some(engine.pid()) },
        Way { name: "loopback alone", sink: local(within::swallow), echo: local(within::echo), pid: None },
        Way {
            name: "straight to the container",
            sink: at(&place.address, SINK),
            echo: at(&place.address, ECHO),
            pid: None,
        },
    ];
    let Some(program) = std::env::var_os("CUBBY_BENCH_DOCKER_PROXY") else { return (ways, None) };
    let ports = [free_port(), free_port()];
    let children: Vec<Child> = [(SINK, ports[0]), (ECHO, ports[1])]
        .iter()
        .map(|(port, host_port)| {
            // Why the shell: the program tells whoever is behind descriptor 3 that it is ready.
            let mut command = Command::new("sh");
            command.args(["-c", "exec \"$0\" \"$@\" 3>/dev/null"]).arg(&program);
            command.args(["-proto", "tcp", "-host-ip", "127.0.0.1", "-host-port", &host_port.to_string()]);
            command.args(["-container-ip", &place.address, "-container-port", &port.to_string()]);
            command.spawn().expect("docker-proxy starts")
        })
        .collect();
    let (sink, echo) = (at("127.0.0.1", ports[0]), at("127.0.0.1", ports[1]));
    ways.push(Way { name: "docker-proxy", sink, echo, pid: children.first().map(Child::id) });
    let peer = Peer(children);
    for at in [sink, echo] {
        wait_for("docker-proxy", std::time::Duration::from_secs(10), || std::net::TcpStream::connect(at).ok());
    }
    (ways, Some(peer))
}

/// Seconds of processor time that a process has had. Source: proc_pid_stat(5), fields 14 and 15.
fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

fn throughput(page: &mut Page, ways: &[Way]) {
    let (mut rates, mut costs) = (vec![Vec::new(); ways.len()], vec![Vec::new(); ways.len()]);
    for _ in 0..ROUNDS {
        for (n, way) in ways.iter().enumerate() {
            let before = way.pid.map(processor_seconds);
            let seconds = within::push(way.sink, BYTES).expect("all bytes arrive");
            rates[n].push(BYTES as f64 * 8.0 / seconds / 1e9);
            if let (Some(pid), Some(before)) = (way.pid, before) {
                costs[n].push((processor_seconds(pid) - before) / (BYTES as f64 / 1e9));
            }
        }
    }
    let how = "512 MiB on one connection into a container, native engine; interleaved rounds";
    rows(page, ways, rates, "published port, Gbit/s", how, false);
    rows(page, ways, costs, "published port, processor seconds of the relay a GB", how, true);
}

fn latency(page: &mut Page, ways: &[Way]) {
    let mut samples = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for (n, way) in ways.iter().enumerate() {
            samples[n].extend((0..EXCHANGES).map(|_| within::exchange(way.echo).expect("the byte comes back")));
        }
    }
    let how = "connect, one byte there and back, close; interleaved rounds";
    rows(page, ways, samples, "published port, one connection, µs", how, true);
}

/// A row for each way, with our ratio to it where it is another's.
fn rows(page: &mut Page, ways: &[Way], samples: Vec<Vec<f64>>, what: &str, how: &str, less_is_better: bool) {
    let summaries: Vec<Option<Summary>> = samples.into_iter().map(Summary::of).collect();
    let Some(ours) = summaries[0].map(|summary| summary.median) else { return };
    for (way, summary) in ways.iter().zip(&summaries) {
        let Some(summary) = summary else { continue };
        let is_ours = std::ptr::eq(way, &ways[0]);
        let figure = match is_ours {
            true => summary.to_string(),
            false => format!("{summary}; cubby is {:.2}× of it", ours / summary.median),
        };
        let budget = match (is_ours, less_is_better) {
            (true, false) => "≥ 1.0× docker-proxy",
            (true, true) => "≤ 1.0× docker-proxy",
            _ => "",
        };
        page.row(&format!("{}: {what}", way.name), figure, budget, how);
    }
}

/// A container with a thousand published ports beside one without.
fn thousand(page: &mut Page, engine: &NativeEngine, docker: &Docker) {
    let base = 20_000;
    let range = format!("127.0.0.1:{base}-{}:{base}-{}", base + MANY - 1, base + MANY - 1);
    let (mut plain, mut many) = (Vec::new(), Vec::new());
    let mut grown = 0;
    for _ in 0..3 {
        for (options, samples) in [(&[][..], &mut plain), (&["-p", &range][..], &mut many)] {
            let create = [&["create", "--name", "bench-many"][..], options, &[IMAGE, "sleep", "100000"]].concat();
            docker.run(create).ok();
            let before = resident_kib(engine.pid());
            let begin = Instant::now();
            docker.run(["start", "bench-many"]).ok();
            samples.push(begin.elapsed().as_secs_f64() * 1000.0);
            grown = resident_kib(engine.pid()).saturating_sub(before);
            docker.run(["rm", "-f", "bench-many"]).ok();
        }
    }
    let how = "docker start of a container that was created";
    let [plain, many] = [plain, many].map(|samples| Summary::of(samples).expect("rounds were run"));
    page.row("start without published ports, ms", plain, "", how);
    page.row(&format!("start with {MANY} published ports, ms"), many, "", how);
    page.row(
        &format!("engine: growth for {MANY} published ports, MiB"),
        format!("{:.1}", grown as f64 / 1024.0),
        "",
        "VmRSS",
    );
}
