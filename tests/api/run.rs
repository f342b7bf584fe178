//! `docker run`: output, exit codes, terminal, isolation.

use cubby_harness::IMAGE;

use crate::docker;

#[test]
fn output_and_exit_code_are_the_containers_own() {
    let (docker, _engine) = docker();
    let output = docker.run(["run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (3, "out\n", "err\n"));
}

#[test]
fn death_by_signal_is_128_plus_its_number() {
    let (docker, _engine) = docker();
    // Why: pid 1 of a namespace ignores signals it sends itself; its child does not.
    let output = docker.run(["run", "--rm", IMAGE, "sh", "-c", "sh -c 'kill -TERM $$'; exit $?"]);
    assert_eq!(output.code, 143, "{output:?}");
}

#[test]
fn a_command_that_is_not_there_is_127_and_one_that_cannot_run_126() {
    let (docker, _engine) = docker();
    let missing = docker.run(["run", "--rm", IMAGE, "no-such-command"]);
    assert_eq!(missing.code, 127, "{missing:?}");
    assert!(missing.stderr.contains("executable file not found in $PATH"), "{missing:?}");
    let forbidden = docker.run(["run", "--rm", IMAGE, "/etc/passwd"]);
    assert_eq!(forbidden.code, 126, "{forbidden:?}");
    assert!(forbidden.stderr.contains("permission denied"), "{forbidden:?}");
}

#[test]
fn an_unknown_option_value_is_125() {
    let (docker, _engine) = docker();
    let output = docker.run(["run", "--rm", "--memory", "1", IMAGE, "true"]);
    assert_eq!(output.code, 125, "{output:?}");
    assert!(output.stderr.contains("Minimum memory limit allowed is 6MB"), "{output:?}");
}

#[test]
fn standard_input_reaches_the_container_and_its_end_too() {
    let (docker, _engine) = docker();
    let output = docker.run_with_input(["run", "--rm", "-i", IMAGE, "wc", "-c"], &vec![b'x'; 300_000]);
    assert_eq!(output.ok().trim(), "300000");
}

#[test]
fn a_large_output_arrives_whole() {
    let (docker, _engine) = docker();
    let output = docker.run(["run", "--rm", IMAGE, "sh", "-c", "yes 0123456789 | head -n 200000"]);
    assert_eq!(output.ok().len() + 1, 200_000 * 11);
}

#[test]
fn a_container_has_its_own_processes_names_and_files() {
    let (docker, _engine) = docker();
    let script = "echo $$; hostname; ls /proc | grep -c '^[0-9]'; cat /proc/1/comm; true";
    let output = docker.run(["run", "--rm", "--hostname", "box", IMAGE, "sh", "-c", script]).ok();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!((lines[0], lines[1], lines[3]), ("1", "box", "sh"), "{output}");
    assert!(lines[2].parse::<u32>().expect("a count") < 6, "{output}");
}

#[test]
fn a_container_is_confined() {
    let (docker, _engine) = docker();
    let status =
        docker.run(["run", "--rm", IMAGE, "grep", "-E", "^(CapEff|Seccomp|NoNewPrivs):", "/proc/self/status"]).ok();
    assert!(status.contains("CapEff:\t00000000a80425fb"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let denied = docker.run(["run", "--rm", IMAGE, "sh", "-c", "mount -t tmpfs none /tmp || echo denied"]);
    assert!(denied.stdout.contains("denied"), "{denied:?}");
    let masked = docker.run([
        "run",
        "--rm",
        IMAGE,
        "sh",
        "-c",
        "wc -c < /proc/timer_list; echo x > /proc/sys/kernel/domainname || echo read-only",
    ]);
    assert!(masked.stdout == "0\nread-only\n", "{masked:?}");
}

#[test]
fn changes_are_lost_with_the_container_and_never_reach_the_image() {
    let (docker, _engine) = docker();
    docker.run(["run", "--rm", IMAGE, "sh", "-c", "echo changed > /etc/passwd; rm -r /home"]).ok();
    let output = docker.run(["run", "--rm", IMAGE, "sh", "-c", "head -n1 /etc/passwd; ls -d /home"]).ok();
    assert_eq!(output, "root:x:0:0:root:/root:/bin/sh\n/home");
}

#[test]
fn users_environment_and_directory_are_as_asked() {
    let (docker, _engine) = docker();
    let arguments = ["run", "--rm", "-u", "guest", "-w", "/tmp", "-e", "A=b c", "--group-add", "2000", IMAGE];
    let output = docker.run(arguments.into_iter().chain(["sh", "-c", "id -u; id -G; pwd; echo $A; echo $HOME"])).ok();
    assert_eq!(output.lines().collect::<Vec<_>>(), ["1000", "1000 2000", "/tmp", "b c", "/home"], "{output}");
}

#[test]
fn a_terminal_is_a_terminal() {
    let (docker, _engine) = docker();
    let output = docker.run(["run", "--rm", "-t", IMAGE, "sh", "-c", "tty; test -t 1 && echo output"]).ok();
    assert_eq!(output, "/dev/pts/0\r\noutput\r");
}

#[test]
fn an_unknown_image_is_refused_and_nothing_is_left() {
    let (docker, _engine) = docker();
    let output = docker.run(["run", "--pull", "never", "--name", "unknown-image", "no-such-image"]);
    assert_eq!(output.code, 125, "{output:?}");
    assert!(output.stderr.contains("No such image: no-such-image:latest"), "{output:?}");
    assert_eq!(docker.run(["ps", "-aq", "--filter", "name=unknown-image"]).ok(), "");
}

#[test]
fn limits_are_set_in_the_containers_cgroup() {
    let (docker, _engine) = docker();
    let limits = ["--memory", "64m", "--pids-limit", "20", "--cpus", "0.5"];
    let script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max 2>/dev/null || \
                  cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max";
    let output = docker.run(["run", "--rm"].into_iter().chain(limits).chain([IMAGE, "sh", "-c", script])).ok();
    assert!(output.contains("67108864") && output.contains("20"), "{output}");
}
