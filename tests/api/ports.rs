//! Published ports: both families, many connections, who the container sees, and why one does not answer.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    process::Command,
    sync::Arc,
    time::Duration,
};

use cubby_harness::{Docker, Engine, IMAGE, NativeEngine, Place, busybox_archive, request, resident_kib, wait_for};

use crate::{
    docker, engine,
    neighbour::{Neighbour, echo_datagrams},
    sctp,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// What the allocator may keep of them all.
const GROWTH_KIB: u64 = 4096;
/// A page that says who asks for it.
const PAGE: &str = "mkdir -p /www/cgi-bin; printf '#!/bin/sh\\nprintf \"Content-Type: text/plain\\r\\n\\r\\n$REMOTE_ADDR\"\\n' \
    > /www/cgi-bin/who; chmod +x /www/cgi-bin/who; exec httpd -f -p 80 -h /www";

/// What `GET` of `/cgi-bin/who` gives, if there is an answer.
fn who(at: &str) -> Option<String> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.write_all(b"GET /cgi-bin/who HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

fn report(engine: &Engine, name: &str) -> serde_json::Value {
    let reply = request(&engine.socket(), "GET", &format!("/cubby/containers/{name}/ports"), b"").expect("an answer");
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

#[test]
fn a_port_that_does_not_answer_is_explained() {
    let (docker, engine) = (docker().0, engine());
    let run = |name: &str, script: &str| {
        docker.run(["run", "-d", "--name", name, "-p", "127.0.0.1:0:80", IMAGE, "sh", "-c", script]).ok();
    };
    let problem = |name: &str| report(&engine, name)["ports"][0]["problem"].as_str().map(str::to_owned);
    let says = |name: &str, text: &str| {
        wait_for(text, PATIENCE, || problem(name).filter(|problem| problem.contains(text)));
    };
    run("why-elsewhere", "exec httpd -f -p 127.0.0.1:3000");
    says("why-elsewhere", "nothing in the container listens on 80; it listens on 127.0.0.1:3000");
    run("why-loopback", "exec httpd -f -p 127.0.0.1:80");
    says("why-loopback", "listens on 127.0.0.1:80 only, which nothing outside the container reaches");
    run("why-nothing", "exec sleep 300");
    says("why-nothing", "nothing in the container listens on 80");
    run("why-not", "exec httpd -f -p 80");
    wait_for("no problem", PATIENCE, || problem("why-not").is_none().then_some(()));
    let hops = report(&engine, "why-not")["ports"][0]["hops"].clone();
    let names: Vec<&str> = hops.as_array().expect("hops").iter().filter_map(|hop| hop["name"].as_str()).collect();
    assert_eq!(names, ["container", "published", "bridge", "process", "answer"]);
    docker.run(["kill", "why-not"]).ok();
    docker.run(["wait", "why-not"]).ok();
    says("why-not", "the container does not run: it exited with code 137");
    docker.run(["run", "-d", "--name", "why-host", "--network", "host", "-p", "80:80", IMAGE, "sleep", "300"]);
    says("why-host", "shares the host's network");
    docker.run(["rm", "-f", "why-elsewhere", "why-loopback", "why-nothing", "why-not", "why-host"]).ok();
    let unknown = request(&engine.socket(), "GET", "/cubby/containers/why-nobody/ports", b"").expect("an answer");
    assert_eq!((unknown.status, unknown.message().as_str()), (404, "No such container: why-nobody"));
}

#[test]
fn a_port_is_open_on_every_address_of_both_families() {
    let (docker, _engine) = docker();
    docker.run(["run", "-d", "--name", "port-both", "-p", "80", IMAGE, "sh", "-c", PAGE]).ok();
    let places = docker.run(["port", "port-both", "80/tcp"]).ok();
    let places: Vec<SocketAddr> = places.lines().map(|line| line.parse().expect("an address and a port")).collect();
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(places[0].is_ipv4() && places[1].is_ipv6() && places[0].port() == places[1].port(), "{places:?}");
    let port = places[0].port();
    wait_for("the page", PATIENCE, || who(&format!("127.0.0.1:{port}")));
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        wait_for("the page over IPv6", PATIENCE, || who(&format!("[::1]:{port}")));
    }
    docker.run(["rm", "-f", "port-both"]).ok();
}

#[test]
fn what_is_not_forwarded_is_refused_and_said() {
    let (docker, _engine) = docker();
    let (place, words) = match Place::of_this_run() {
        Place::Native => ("127.0.0.1:9899", "on 127.0.0.1 is not supported: only what comes from outside over IPv4"),
        Place::Guest => ("9899", "publishing sctp ports is not supported: only tcp and udp"),
    };
    let refused = docker.run(["run", "--rm", "-p", &format!("{place}:9899/sctp"), IMAGE, "true"]);
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.stderr.contains(words), "{refused:?}");
}

#[test]
fn networks_have_ipv6_when_asked() {
    let (docker, _engine) = docker();
    docker.run(["network", "create", "--ipv6", "--subnet", "fd00:c0:b1::/64", "port-six"]).ok();
    let shown = docker.run(["network", "inspect", "-f", "{{.EnableIPv6}} {{json .IPAM.Config}}", "port-six"]).ok();
    assert!(shown.starts_with("true ") && shown.contains("\"fd00:c0:b1::/64\""), "{shown}");
    docker
        .run([
            "run",
            "-d",
            "--name",
            "six-web",
            "--network",
            "port-six",
            "--ip6",
            "fd00:c0:b1::80",
            IMAGE,
            "sh",
            "-c",
            PAGE,
        ])
        .ok();
    let format =
        "{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}/{{.GlobalIPv6PrefixLen}} {{.IPv6Gateway}}{{end}}";
    assert_eq!(docker.run(["inspect", "-f", format, "six-web"]).ok(), "fd00:c0:b1::80/64 fd00:c0:b1::1");
    let script = "nslookup -type=aaaa six-web 127.0.0.11 >&2; wget -q -O - 'http://[fd00:c0:b1::80]/cgi-bin/who'";
    let asked = wait_for("the page over IPv6", PATIENCE, || {
        let asked = docker.run(["run", "--rm", "--network", "port-six", IMAGE, "sh", "-c", script]);
        (asked.code == 0).then_some(asked)
    });
    assert!(asked.stdout.contains("fd00:c0:b1::"), "the server saw an IPv6 address: {asked:?}");
    assert!(asked.stderr.contains("Address: fd00:c0:b1::80"), "{asked:?}");
    let outside = ["run", "--rm", "--network", "port-six", "--ip6", "fd00:dead::1", IMAGE, "true"];
    let refused = docker.run(outside);
    assert!(
        refused.stderr.contains("no configured subnet or ip-range contain the IP address fd00:dead::1"),
        "{refused:?}"
    );
    docker.run(["rm", "-f", "six-web"]).ok();
    docker.run(["network", "rm", "port-six"]).ok();
    docker.run(["network", "create", "--ipv6", "port-own"]).ok();
    let chosen = docker.run(["network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", "port-own"]).ok();
    assert!(chosen.split(' ').any(|subnet| subnet.starts_with("fd") && subnet.ends_with("/64")), "{chosen}");
    docker.run(["network", "rm", "port-own"]).ok();
}

#[test]
fn no_connection_is_lost_and_nothing_is_kept_of_them() {
    let (short, long) = match Place::of_this_run() {
        Place::Native => (size("CUBBY_PORTS_SHORT", 10_000), size("CUBBY_PORTS_LONG", 200)),
        Place::Guest => (size("CUBBY_PORTS_SHORT", 400), size("CUBBY_PORTS_LONG", 200)),
    };
    // Natively an engine of its own: what is counted shall be of these connections.
    let engine = match Place::of_this_run() {
        Place::Native => Arc::new(Engine::start()),
        Place::Guest => engine(),
    };
    let docker = engine.docker();
    let options = ["run", "-d", "--name", "port-many", "-p", "127.0.0.1:0:80", "-p", "127.0.0.1:0:81"];
    docker.run([&options[..], &[IMAGE, "sh", "-c", &format!("nc -ll -p 81 -e cat & {PAGE}")]].concat()).ok();
    let page = docker.run(["port", "port-many", "80/tcp"]).ok();
    let echo = docker.run(["port", "port-many", "81/tcp"]).ok();
    wait_for("the page", PATIENCE, || who(&page));
    wait_for("the echo", PATIENCE, || say(&mut TcpStream::connect(&echo).ok()?, "x"));
    let before = descriptors(&engine);
    let memory = resident_of_relay(&engine);

    let mut kept: Vec<TcpStream> = (0..long).map(|_| TcpStream::connect(&echo).expect("a long connection")).collect();
    for (n, stream) in kept.iter_mut().enumerate() {
        assert_eq!(say(stream, &format!("first {n}")), Some(format!("first {n}")));
    }
    let lost: usize = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..short / 8).filter(|_| who(&page).is_none()).count())).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
    });
    assert_eq!(lost, 0, "of {short} short connections");
    for (n, stream) in kept.iter_mut().enumerate() {
        assert_eq!(say(stream, &format!("second {n}")), Some(format!("second {n}")));
    }
    // Half-close: the far end learns of it, and ends too.
    for mut stream in kept {
        stream.shutdown(std::net::Shutdown::Write).expect("still open");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("a clean end");
        assert_eq!(rest, "");
    }
    wait_for("descriptors as before", PATIENCE, || (descriptors(&engine) <= before).then_some(()));
    if let Some(before) = memory {
        let grown = wait_for("memory as before", PATIENCE, || {
            let now = resident_of_relay(&engine)?;
            (now < before + GROWTH_KIB).then_some(now.saturating_sub(before))
        });
        println!("{short} short and {long} long connections: {grown} KiB more");
    }
    docker.run(["rm", "-f", "port-many"]).ok();
}

/// Resident memory of the engine that relays. None where the machine's memory is part of the relaying process.
fn resident_of_relay(engine: &Engine) -> Option<u64> {
    match engine {
        Engine::Native(engine) => Some(resident_kib(engine.pid())),
        Engine::Guest(_) => None,
    }
}

fn size(variable: &str, of_ci: usize) -> usize {
    std::env::var(variable).map_or(of_ci, |text| text.parse().expect("a number"))
}

fn say(stream: &mut TcpStream, line: &str) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(format!("{line}\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).ok()? == 1 && byte[0] != b'\n' {
        answer.push(byte[0]);
    }
    String::from_utf8(answer).ok()
}

/// Open descriptors of the process that relays: the engine, or the host's daemon.
fn descriptors(engine: &Engine) -> usize {
    let pid = match engine {
        Engine::Native(engine) => u64::from(engine.pid()),
        Engine::Guest(machine) => machine.status()["daemon_pid"].as_u64().expect("the daemon's pid"),
    };
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

#[test]
fn a_container_sees_who_asks_also_after_the_engine_was_killed() {
    if Place::of_this_run() == Place::Guest {
        println!("not in the guest: the host's process relays, and the container sees the machine");
        return;
    }
    let mut engine = NativeEngine::start();
    let docker: Docker = engine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    docker.run(["run", "-d", "--name", "seen", "-p", "0.0.0.0:0:80", IMAGE, "sh", "-c", PAGE]).ok();
    let port = docker.run(["port", "seen", "80/tcp"]).ok().replace("0.0.0.0:", "");
    let local = format!("127.0.0.1:{port}");
    wait_for("the page", PATIENCE, || who(&local));
    docker.run(["run", "-d", "--name", "seen-both", "-p", "80", IMAGE, "sh", "-c", PAGE]).ok();
    let both = docker.run(["port", "seen-both", "80/tcp"]).ok();
    let port_of_both = both.lines().next().and_then(|line| line.rsplit(':').next()).expect("a port").to_owned();
    docker.run(["run", "-d", "--name", "seen-udp", "-p", "0.0.0.0:0:53/udp", IMAGE, "sleep", "300"]).ok();
    let pid = docker.run(["inspect", "-f", "{{.State.Pid}}", "seen-udp"]).ok();
    echo_datagrams(&format!("/proc/{pid}/ns/net"), 53);

    let neighbour = Neighbour::new();
    let url = format!("http://198.51.100.1:{port}/cgi-bin/who");
    assert_eq!(
        wait_for("the page from outside", PATIENCE, || neighbour.fetch(&url)),
        "198.51.100.2",
        "{}",
        engine.log()
    );

    // What the kernel does not forward goes through the relay: IPv6, and UDP.
    if neighbour.has_ipv6() {
        let url = format!("http://[fd00:c0:ffee::1]:{port_of_both}/cgi-bin/who");
        assert!(wait_for("the page over IPv6", PATIENCE, || neighbour.fetch(&url)).len() > 2);
    }
    let datagrams = docker.run(["port", "seen-udp", "53/udp"]).ok().replace("0.0.0.0:", "198.51.100.1:");
    assert_eq!(wait_for("the echo over UDP", PATIENCE, || neighbour.ask(&datagrams, "hello\n")), "hello\n");
    docker.run(["rm", "-f", "seen-both", "seen-udp"]).ok();

    docker.run(["run", "-d", "--name", "seen-sctp", "-p", "9899/sctp", IMAGE, "sleep", "300"]).ok();
    let pid = docker.run(["inspect", "-f", "{{.State.Pid}}", "seen-sctp"]).ok();
    sctp::answer(&format!("/proc/{pid}/ns/net"), 9899);
    let published = docker.run(["port", "seen-sctp", "9899/sctp"]).ok();
    let number = published.strip_prefix("0.0.0.0:").and_then(|port| port.parse().ok()).expect("an IPv4 place");
    let at = SocketAddrV4::new([198, 51, 100, 1].into(), number);
    let seen = wait_for("an answer over SCTP", PATIENCE, || sctp::begin(&neighbour.netns(), at));
    assert_eq!(seen, Ipv4Addr::new(198, 51, 100, 2));
    let taken = format!("{number}:9899/sctp");
    let refused = docker.run(["run", "--rm", "-p", &taken, IMAGE, "true"]);
    let words = format!("Bind for 0.0.0.0:{number} failed: port is already allocated (container seen-sctp has it)");
    assert!(refused.code == 125 && refused.stderr.contains(&words), "{refused:?}");
    docker.run(["rm", "-f", "seen-sctp"]).ok();
    docker.run(["run", "-d", "--name", "seen-sctp", "-p", &taken, IMAGE, "sleep", "300"]).ok();
    docker.run(["rm", "-f", "seen-sctp"]).ok();

    engine.kill();
    engine.restart();
    assert_eq!(docker.run(["port", "seen", "80/tcp"]).ok(), format!("0.0.0.0:{port}"));
    wait_for("the page again", PATIENCE, || who(&local));
    assert_eq!(wait_for("the page from outside again", PATIENCE, || neighbour.fetch(&url)), "198.51.100.2");

    docker.run(["rm", "-f", "seen"]).ok();
    assert_eq!(neighbour.fetch(&url), None, "the port is closed with its container");
    let id: String = engine.id().chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    engine.stop();
    let left = Command::new("nft").args(["list", "tables"]).output().expect("nftables is installed");
    assert!(!String::from_utf8_lossy(&left.stdout).contains(&format!("cubby-{id}")), "no rule is left behind");
}
