//! `docker network`, names between containers, published ports.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use cubby_harness::{Docker, IMAGE, wait_for};

use crate::docker;

const SLEEP: [&str; 3] = [IMAGE, "sleep", "300"];

/// Runs a container that stays, with these options before the image.
fn start(docker: &Docker, name: &str, options: &[&str]) {
    docker.run([&["run", "-d", "--name", name][..], options, &SLEEP].concat()).ok();
}

fn address(docker: &Docker, name: &str, network: &str) -> String {
    let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    docker.run(["inspect", "-f", &format, name]).ok()
}

fn looked_up(docker: &Docker, from: &str, name: &str) -> String {
    docker.run(["exec", from, "nslookup", name]).stdout
}

#[test]
fn containers_of_a_user_network_find_each_other_and_others_do_not_reach_them() {
    let (docker, _engine) = docker();
    for network in ["net-inner", "net-other"] {
        docker.run(["network", "create", network]).ok();
    }
    start(&docker, "net-web", &["--network", "net-inner", "--network-alias", "www"]);
    start(&docker, "net-db", &["--network", "net-inner"]);
    start(&docker, "net-far", &["--network", "net-other"]);
    let db = address(&docker, "net-db", "net-inner");
    assert!(looked_up(&docker, "net-web", "net-db").contains(&db));
    assert!(looked_up(&docker, "net-db", "www").contains(&address(&docker, "net-web", "net-inner")));
    assert!(!looked_up(&docker, "net-far", "net-db").contains(&db));
    let reach = |from: &str| docker.run(["exec", from, "ping", "-c1", "-W2", &db]).code;
    assert_eq!(reach("net-web"), 0);
    assert_ne!(reach("net-far"), 0);

    docker.run(["network", "connect", "net-inner", "net-far"]).ok();
    assert_eq!(reach("net-far"), 0);
    docker.run(["network", "disconnect", "net-inner", "net-far"]).ok();
    assert_ne!(reach("net-far"), 0);

    let busy = docker.run(["network", "rm", "net-inner"]);
    assert_eq!(busy.code, 1, "{busy:?}");
    assert!(busy.stderr.contains("network net-inner has active endpoints"), "{busy:?}");
    docker.run(["rm", "-f", "net-web", "net-db", "net-far"]).ok();
    docker.run(["network", "rm", "net-inner", "net-other"]).ok();
    let gone = docker.run(["network", "inspect", "net-inner"]);
    assert!(gone.stderr.contains("network net-inner not found"), "{gone:?}");
}

#[test]
fn addresses_are_the_users_choice_on_a_subnet_of_theirs() {
    let (docker, _engine) = docker();
    docker.run(["network", "create", "--subnet", "10.201.7.0/24", "--label", "of=test", "net-fixed"]).ok();
    start(&docker, "net-first", &["--network", "net-fixed", "--ip", "10.201.7.40"]);
    assert_eq!(address(&docker, "net-first", "net-fixed"), "10.201.7.40");
    let arguments = ["run", "--rm", "--network", "net-fixed", "--ip", "10.201.7.40", IMAGE, "true"];
    let taken = docker.run(arguments);
    assert_eq!(taken.code, 125, "{taken:?}");
    assert!(taken.stderr.contains("Address already in use"), "{taken:?}");
    let overlapping = docker.run(["network", "create", "--subnet", "10.201.0.0/16", "net-overlap"]);
    assert!(overlapping.stderr.contains("Pool overlaps with other one on this address space"), "{overlapping:?}");
    assert_eq!(docker.run(["network", "ls", "-q", "--filter", "label=of=test"]).ok().lines().count(), 1);
    docker.run(["rm", "-f", "net-first"]).ok();
    docker.run(["network", "rm", "net-fixed"]).ok();
}

#[test]
fn modes_without_a_network_of_their_own() {
    let (docker, _engine) = docker();
    let links = |options: &[&str]| {
        let listed = docker.run([&["run", "--rm"][..], options, &[IMAGE, "ip", "-o", "link"]].concat()).ok();
        listed.lines().count()
    };
    assert_eq!(links(&["--network", "none"]), 1);
    assert_eq!(links(&[]), 2);
    start(&docker, "net-owner", &[]);
    let own = docker.run(["exec", "net-owner", "ip", "-o", "addr"]).ok();
    assert_eq!(docker.run(["run", "--rm", "--network", "container:net-owner", IMAGE, "ip", "-o", "addr"]).ok(), own);
    docker.run(["rm", "-f", "net-owner"]).ok();
    let hosts = docker.run(["run", "--rm", "--add-host", "friend:10.1.2.3", IMAGE, "cat", "/etc/hosts"]).ok();
    assert!(hosts.contains("10.1.2.3\tfriend"), "{hosts}");
    let unknown = docker.run(["run", "--rm", "--network", "net-nowhere", IMAGE, "true"]);
    assert_eq!(unknown.code, 125, "{unknown:?}");
    assert!(unknown.stderr.contains("network net-nowhere not found"), "{unknown:?}");
}

#[test]
fn a_published_port_serves_is_refused_twice_and_closes_with_its_container() {
    let (docker, _engine) = docker();
    let script = "mkdir /www; echo served > /www/page; exec httpd -f -p 80 -h /www";
    docker.run(["run", "-d", "--name", "net-page", "-p", "127.0.0.1:0:80", IMAGE, "sh", "-c", script]).ok();
    let at = docker.run(["port", "net-page", "80/tcp"]).ok();
    let page = wait_for("the page", Duration::from_secs(60), || fetch(&at));
    assert!(page.starts_with("HTTP/1.") && page.ends_with("served\n"), "{page}");

    let taken = docker.run(["run", "--rm", "-p", &format!("{at}:80"), IMAGE, "true"]);
    assert_eq!(taken.code, 125, "{taken:?}");
    let said = ["port is already allocated", "address already in use"].iter().any(|text| taken.stderr.contains(text));
    assert!(said, "{taken:?}");
    docker.run(["rm", "-f", "net-page"]).ok();
    assert!(TcpStream::connect(&at).is_err());
}

fn fetch(at: &str) -> Option<String> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}
