//! `docker exec`: with and without a terminal, exit codes, many at once.

use cubby_harness::IMAGE;

use crate::docker;

#[test]
fn exec_runs_beside_the_containers_process() {
    let (docker, _engine) = docker();
    docker.run(["run", "-d", "--name", "exec-host", "--hostname", "inside", IMAGE, "sleep", "1000"]).ok();
    let output =
        docker.run(["exec", "-e", "A=1", "-w", "/tmp", "exec-host", "sh", "-c", "hostname; pwd; echo $A; exit 4"]);
    assert_eq!((output.code, output.stdout.as_str()), (4, "inside\n/tmp\n1\n"), "{output:?}");
    let piped = docker.run_with_input(["exec", "-i", "exec-host", "cat"], b"through");
    assert_eq!(piped.ok(), "through");
    let terminal = docker.run(["exec", "-t", "exec-host", "tty"]).ok();
    assert!(terminal.starts_with("/dev/pts/"), "{terminal}");
    assert_eq!(docker.run(["exec", "-u", "guest", "exec-host", "id", "-u"]).ok(), "1000");
    let missing = docker.run(["exec", "exec-host", "no-such-command"]);
    assert_eq!(missing.code, 127, "{missing:?}");
    docker.run(["rm", "-f", "exec-host"]).ok();
}

#[test]
fn exec_needs_a_running_container() {
    let (docker, _engine) = docker();
    let id = docker.run(["create", "--name", "exec-stopped", IMAGE, "true"]).ok();
    let refused = docker.run(["exec", "exec-stopped", "true"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains(&format!("container {id} is not running")), "{refused:?}");
    docker.run(["rm", "exec-stopped"]).ok();
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    let (docker, _engine) = docker();
    docker.run(["run", "-d", "--name", "exec-many", IMAGE, "sleep", "1000"]).ok();
    std::thread::scope(|scope| {
        for n in 0..12 {
            let docker = &docker;
            scope.spawn(move || {
                let output = docker.run(["exec", "exec-many", "sh", "-c", &format!("echo {n}; exit {n}")]);
                assert_eq!((output.code, output.stdout), (n, format!("{n}\n")));
            });
        }
    });
    docker.run(["rm", "-f", "exec-many"]).ok();
}
