//! `cubby ports`: which hop of a published port is broken, in words for a person.

use std::{net::TcpListener, process::Command, time::Duration};

use cubby_harness::{Engine, IMAGE, Output, binary, wait_for};

use crate::{docker, engine};

const PATIENCE: Duration = Duration::from_secs(60);

/// `cubby` beside this run's engine: the machine's own, or one whose socket lies where a machine's would.
struct Cubby(Option<tempfile::TempDir>);

impl Cubby {
    fn beside(engine: &Engine) -> Self {
        if matches!(engine, Engine::Guest(_)) {
            return Self(None);
        }
        let home = tempfile::Builder::new().prefix("cubby-ports-").tempdir().expect("a temporary directory");
        let run = home.path().join("default/run");
        std::fs::create_dir_all(&run).expect("a directory");
        std::os::unix::fs::symlink(engine.socket(), run.join("docker.sock")).expect("a link");
        Self(Some(home))
    }

    fn ports(&self, engine: &Engine, arguments: &[&str]) -> Output {
        if let Engine::Guest(machine) = engine {
            return match *arguments {
                [] => machine.cubby(["ports"]),
                [one] => machine.cubby(["ports", one]),
                [one, two] => machine.cubby(["ports", one, two]),
                _ => panic!("two arguments at most"),
            };
        }
        let home = self.0.as_ref().expect("a home where there is no machine");
        let mut command = Command::new(binary("cubby"));
        let output = command.arg("ports").args(arguments).env("CUBBY_HOME", home.path()).output();
        let output = output.expect("cubby starts");
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

#[test]
fn each_broken_hop_is_named() {
    let (docker, engine) = (docker().0, engine());
    let cubby = Cubby::beside(&engine);
    let run = |name: &str, script: &str| {
        docker.run(["run", "-d", "--name", name, "-p", "127.0.0.1:0:80", IMAGE, "sh", "-c", script]).ok();
        docker.run(["port", name, "80/tcp"]).ok()
    };
    // What a person reads; the failed hop stands in the first line and among the hops.
    let fails = |name: &str, hop: &str, text: &str| {
        let said = wait_for(text, PATIENCE, || {
            let said = cubby.ports(&engine, &[name]);
            (said.stdout.contains(&format!("FAIL {hop}: ")) && said.stdout.contains(text)).then_some(said)
        });
        assert_eq!(said.code, 1, "{said:?}");
        let problem = said.stdout.lines().find(|line| line.contains(" -> ")).expect("a line for the port");
        assert!(problem.contains(text), "{said:?}");
    };
    run("cli-nothing", "exec sleep 300");
    fails("cli-nothing", "process", "nothing in the container listens on 80");
    run("cli-loopback", "exec httpd -f -p 127.0.0.1:80");
    fails("cli-loopback", "process", "listens on 127.0.0.1:80 only, which nothing outside the container reaches");
    run("cli-stopped", "exec sleep 300");
    docker.run(["kill", "cli-stopped"]).ok();
    docker.run(["wait", "cli-stopped"]).ok();
    fails("cli-stopped", "container", "the container does not run: it exited with code 137");

    // Somebody else has the port: the start says who, and so does the command later.
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = other.local_addr().expect("it is bound");
    let taken = docker.run(["run", "-d", "--name", "cli-taken", "-p", &format!("{at}:80"), IMAGE, "sleep", "300"]);
    let own = std::process::id().to_string();
    assert!(taken.stderr.contains("address already in use") && taken.stderr.contains(&own), "{taken:?}");
    fails("cli-taken", "container", "the container does not run: its start failed: ");
    let said = cubby.ports(&engine, &["cli-taken"]);
    assert!(said.stdout.contains("address already in use") && said.stdout.contains(&own), "{said:?}");
    drop(other);

    let at = run("cli-works", "exec httpd -f -p 80");
    let works =
        wait_for("it works", PATIENCE, || Some(cubby.ports(&engine, &["cli-works"])).filter(|said| said.code == 0));
    assert!(works.stdout.contains(&format!("  {at} -> 80/tcp: works\n")), "{works:?}");
    assert!(works.stdout.contains("ok   listener: ") && works.stdout.contains("ok   through: "), "{works:?}");
    let json = cubby.ports(&engine, &["--json", "cli-works"]).ok();
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(report[0]["ports"][0]["problem"], serde_json::Value::Null, "{report}");
    let all = cubby.ports(&engine, &[]);
    assert!(all.stdout.contains("cli-works (running)") && all.stdout.contains("cli-nothing (running)"), "{all:?}");
    let unknown = cubby.ports(&engine, &["cli-nobody"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("No such container: cli-nobody"), "{unknown:?}");
    docker.run(["rm", "-f", "cli-nothing", "cli-loopback", "cli-stopped", "cli-taken", "cli-works"]).ok();
}
