//! Create and update: what is refused and what is warned of, in dockerd's words.

use cubby_harness::{IMAGE, request};
use serde_json::{Value, json};

use crate::{docker, engine};

/// Asks for a container that must not come to be.
fn refusal(config: Value) -> (u16, String) {
    let mut body = json!({ "Image": IMAGE, "Cmd": ["true"] });
    for (key, value) in config.as_object().expect("an object") {
        body[key] = value.clone();
    }
    let reply = request(&engine().socket(), "POST", "/containers/create", body.to_string().as_bytes());
    let reply = reply.expect("an answer");
    (reply.status, reply.json()["message"].as_str().unwrap_or_else(|| panic!("created: {body}")).to_owned())
}

fn host(config: Value) -> (u16, String) {
    refusal(json!({ "HostConfig": config }))
}

#[test]
fn limits_out_of_range_and_conflicts_are_refused() {
    let _engine = engine();
    for (config, message) in [
        (json!({"Memory": 1}), "Minimum memory limit allowed is 6MB"),
        (
            json!({"Memory": 1 << 24, "MemorySwap": 1 << 23}),
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            json!({"MemorySwap": 1 << 24}),
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (json!({"MemoryReservation": 5}), "Minimum memory reservation allowed is 6MB"),
        (
            json!({"NanoCpus": 1_000_000_000, "CpuPeriod": 1000}),
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ),
        (
            json!({"NanoCpus": 1_000_000_000, "CpuQuota": 1000}),
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            json!({"CpuPeriod": 1}),
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        (json!({"CpuQuota": 1}), "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        (json!({"CpuShares": -1}), "invalid CPU shares (-1): value must be a positive integer"),
        (json!({"CpusetCpus": "a"}), "Invalid value a for cpuset cpus: invalid format: a"),
        (
            json!({"IOMaximumBandwidth": 1}),
            "invalid option: QoS maximum bandwidth configuration is not supported on linux",
        ),
        (json!({"IOMaximumIOps": 1}), "invalid option: QoS maximum IOPs configuration is not supported on linux"),
        (json!({"ShmSize": -1}), "SHM size can not be less than 0"),
        (json!({"OomScoreAdj": 2000}), "Invalid value 2000, range for oom score adj is [-1000, 1000]"),
        (json!({"IpcMode": "bogus"}), "invalid IPC mode: bogus"),
        (json!({"PidMode": "bogus"}), "invalid PID mode: bogus"),
        (json!({"UTSMode": "bogus"}), "invalid UTS mode: bogus"),
        (json!({"CgroupnsMode": "bogus"}), "invalid cgroup namespace mode: bogus"),
        (json!({"Isolation": "hyperv"}), "invalid isolation (hyperv): linux only supports 'default'"),
        (json!({"Runtime": "bogus"}), "unknown or invalid runtime name: bogus"),
        (json!({"CapAdd": ["BOGUS"]}), "invalid CapAdd: unknown capability: \"CAP_BOGUS\""),
        (json!({"LogConfig": {"Type": "bogus"}}), "logger: no log driver named 'bogus' is registered"),
        (
            json!({"LogConfig": {"Type": "json-file", "Config": {"bogus": "1"}}}),
            "unknown log opt 'bogus' for json-file log driver",
        ),
        (
            json!({"AutoRemove": true, "RestartPolicy": {"Name": "always"}}),
            "can't create 'AutoRemove' container with restart policy",
        ),
    ] {
        assert_eq!(host(config.clone()), (400, message.to_owned()), "{config}");
    }
}

#[test]
fn what_is_dockerds_own_failure_is_a_500() {
    let _engine = engine();
    assert_eq!(
        host(json!({"StorageOpt": {"size": "10G"}})),
        (500, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option".to_owned())
    );
    assert_eq!(host(json!({"SecurityOpt": ["bogus"]})), (500, "invalid --security-opt 1: \"bogus\"".to_owned()));
}

#[test]
fn configurations_are_checked() {
    let _engine = engine();
    for (config, message) in [
        (json!({"StopSignal": "SIGBOGUS"}), "invalid signal: SIGBOGUS"),
        (json!({"Env": ["=x"]}), "invalid environment variable: =x"),
        (json!({"Healthcheck": {"Interval": 1}}), "Interval in Healthcheck cannot be less than 1ms"),
        (json!({"Healthcheck": {"Retries": -1}}), "Retries in Healthcheck cannot be negative"),
        (json!({"WorkingDir": "here"}), "the working directory 'here' is invalid, it needs to be an absolute path"),
        (
            json!({"Hostname": "h", "HostConfig": {"NetworkMode": "container:x"}}),
            "conflicting options: hostname and the network mode",
        ),
    ] {
        assert_eq!(refusal(config.clone()), (400, message.to_owned()), "{config}");
    }
    for wrong in [json!({"Tty": "yes"}), json!({"HostConfig": {"Memory": "a lot"}}), json!({"Labels": ["a"]})] {
        let (status, message) = refusal(wrong.clone());
        assert!(status == 400 && message.starts_with("invalid JSON: "), "{wrong}: {message}");
    }
}

#[test]
fn parameters_of_the_whole_machine_are_nobodys_to_set() {
    let (docker, engine) = docker();
    // The CLI has a list of its own; others have not.
    let config = json!({ "Image": IMAGE, "Cmd": ["true"], "HostConfig": { "Sysctls": { "kernel.panic": "1" } } });
    let path = "/containers/create?name=parameters";
    let created = request(&engine.socket(), "POST", path, config.to_string().as_bytes()).expect("an answer");
    assert_eq!(created.status, 201, "{created:?}");
    let refused = request(&engine.socket(), "POST", "/containers/parameters/start", b"").expect("an answer").message();
    assert!(refused.contains("sysctl \"kernel.panic\" is not in a separate kernel namespace"), "{refused}");
    docker.run(["rm", "parameters"]).ok();
    let own = ["run", "--rm", "--sysctl", "kernel.msgmax=9000", IMAGE, "cat", "/proc/sys/kernel/msgmax"];
    assert_eq!(docker.run(own).ok(), "9000");
    let gpus = docker.run(["run", "--rm", "--gpus", "all", IMAGE, "true"]);
    assert!(gpus.stderr.contains("could not select device driver \"\" with capabilities: [[gpu]]"), "{gpus:?}");
}

#[test]
fn every_limit_is_updated_in_a_running_container() {
    let (docker, _engine) = docker();
    docker.run(["run", "-d", "--name", "updated", "--memory", "64m", IMAGE, "sleep", "1000"]).ok();
    let limits = ["--memory", "96m", "--memory-swap", "128m", "--cpus", "0.5", "--pids-limit", "33"];
    docker.run(["update"].into_iter().chain(limits).chain(["updated"])).ok();
    let script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max 2>/dev/null || \
                  cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max \
                  /sys/fs/cgroup/cpu/cpu.cfs_quota_us";
    let seen = docker.run(["exec", "updated", "sh", "-c", script]).ok();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!((lines[0], lines[1]), ("100663296", "33"), "{seen}");
    assert!(lines[2].starts_with("50000"), "{seen}");
    let conflict = docker.run(["update", "--cpu-quota", "1000", "updated"]);
    assert!(conflict.stderr.contains("CPU Quota cannot be updated as NanoCPUs has already been set"), "{conflict:?}");
    let shown =
        ["inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}", "updated"];
    assert_eq!(docker.run(shown).ok(), "100663296 500000000 33");
    docker.run(["rm", "-f", "updated"]).ok();
}

#[test]
fn log_options_are_read_at_the_start_and_entries_carry_what_was_chosen() {
    let (docker, _engine) = docker();
    let options = ["--log-opt", "max-file=3", "--log-opt", "tag={{.Name}}", "--log-opt", "labels=a", "--label", "a=b"];
    let run = ["run", "--name", "log-options"].into_iter().chain(options).chain([IMAGE, "echo", "said"]);
    docker.run(run).ok();
    assert_eq!(docker.run(["logs", "--details", "log-options"]).ok(), "a=b,tag=log-options said");
    docker.run(["rm", "log-options"]).ok();
    let bad = docker.run(["run", "--rm", "--log-opt", "max-file=none", IMAGE, "true"]);
    assert!(bad.code == 125 && bad.stderr.contains("failed to initialize logging driver"), "{bad:?}");
    let buffered = ["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=4m", "--log-driver", "local"];
    let run = ["run", "--name", "log-local"].into_iter().chain(buffered).chain([IMAGE, "echo", "kept"]);
    docker.run(run).ok();
    assert_eq!(docker.run(["logs", "log-local"]).ok(), "kept");
    docker.run(["rm", "log-local"]).ok();
    let none = docker.run(["run", "--name", "log-none", "--log-driver", "none", IMAGE, "true"]);
    assert_eq!(none.code, 0, "{none:?}");
    let unread = docker.run(["logs", "log-none"]);
    assert!(unread.stderr.contains("configured logging driver does not support reading"), "{unread:?}");
    docker.run(["rm", "log-none"]).ok();
}

#[test]
fn disks_are_slowed_down_or_it_is_said_that_they_cannot_be() {
    let (docker, engine) = docker();
    let disks = docker.run(["run", "--rm", IMAGE, "ls", "/sys/block"]).ok();
    let disk = disks.lines().find(|name| matches!(*name, "loop0" | "vda" | "sda"));
    let disk = disk.unwrap_or_else(|| panic!("a disk among {disks}")).trim().to_owned();
    let number = docker.run(["run", "--rm", IMAGE, "cat", &format!("/sys/block/{disk}/dev")]).ok();
    let throttle = |rate: u64| json!([{ "Path": format!("/dev/{disk}"), "Rate": rate }]);
    let config = json!({ "Image": IMAGE, "Cmd": ["sleep", "1000"], "HostConfig": {
        "BlkioDeviceWriteBps": throttle(1_048_576), "BlkioDeviceReadIOps": throttle(50),
    } });
    let path = "/containers/create?name=slow-disks";
    let created = request(&engine.socket(), "POST", path, config.to_string().as_bytes()).expect("an answer").json();
    docker.run(["start", "slow-disks"]).ok();
    let warned = created["Warnings"].to_string();
    let script = "cat /sys/fs/cgroup/io.max 2>/dev/null || cat /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device \
                  /sys/fs/cgroup/blkio/blkio.throttle.read_iops_device";
    if warned.contains("Your kernel does not support BPS Block I/O write limit") {
        let shown = docker.run(["inspect", "-f", "{{json .HostConfig.BlkioDeviceWriteBps}}", "slow-disks"]).ok();
        assert_eq!(shown, "null");
    } else {
        let limits = docker.run(["exec", "slow-disks", "sh", "-c", script]).ok();
        assert!(limits.contains(&number) && limits.contains("1048576") && limits.contains("50"), "{limits}");
    }
    docker.run(["rm", "-f", "slow-disks"]).ok();
    let nowhere = docker.run(["run", "--rm", "--device-write-bps", "/dev/nowhere:1mb", IMAGE, "true"]);
    assert!(nowhere.stderr.contains("stat /dev/nowhere") || warned.contains("BPS"), "{nowhere:?}");
}

#[test]
fn time_for_real_time_processes_is_kept_or_refused() {
    let (docker, engine) = docker();
    let create = |period: u64, runtime: u64| {
        let config = json!({ "Image": IMAGE, "Cmd": ["true"], "HostConfig": {
            "CpuRealtimePeriod": period, "CpuRealtimeRuntime": runtime,
        } });
        let path = "/containers/create?name=real-time";
        request(&engine.socket(), "POST", path, config.to_string().as_bytes()).expect("an answer")
    };
    let created = create(1_000_000, 95_000);
    if created.status == 400 {
        assert_eq!(created.message(), "kernel does not support CPU real-time scheduler");
        return;
    }
    let shown = docker.run([
        "inspect",
        "-f",
        "{{.HostConfig.CpuRealtimePeriod}} {{.HostConfig.CpuRealtimeRuntime}}",
        "real-time",
    ]);
    assert_eq!(shown.ok(), "1000000 95000");
    docker.run(["rm", "real-time"]).ok();
    assert_eq!(create(1000, 2000).message(), "cpu real-time runtime cannot be higher than cpu real-time period");
}

#[test]
fn rotated_logs_are_packed_and_read_as_one() {
    let (docker, _engine) = docker();
    let options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=9", "--log-opt", "compress=true"];
    let print = [IMAGE, "sh", "-c", "seq 1000 1999 | sed 's/^/line /'"];
    docker.run(["run", "--name", "log-packed"].into_iter().chain(options).chain(print)).ok();
    let all = docker.run(["logs", "log-packed"]).ok();
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[999]), (1000, "line 1000", "line 1999"));
    assert_eq!(docker.run(["logs", "-n", "700", "log-packed"]).ok().lines().next(), Some("line 1300"));
    docker.run(["rm", "log-packed"]).ok();
    let one = docker.run(["run", "--rm", "--log-opt", "compress=true", IMAGE, "true"]);
    assert!(
        one.stderr.contains("compress cannot be true when max-file is less than 2 or max-size is not set"),
        "{one:?}"
    );
}

#[test]
fn control_groups_are_read_only_unless_asked_for() {
    let (docker, _engine) = docker();
    let make = "[ -e /sys/fs/cgroup/cgroup.procs ] && d=/sys/fs/cgroup/own || d=/sys/fs/cgroup/pids/own; mkdir $d";
    let run = |options: &[&str]| docker.run([&["run", "--rm"], options, &[IMAGE, "sh", "-c", make]].concat());
    let refused = run(&[]);
    assert!(refused.code != 0 && refused.stderr.contains("Read-only file system"), "{refused:?}");
    run(&["--security-opt", "writable-cgroups=true"]).ok();
    run(&["--privileged"]).ok();
    let told = run(&["--privileged", "--security-opt", "writable-cgroups=false"]);
    assert!(told.code != 0, "{told:?}");
    let potato = run(&["--security-opt", "writable-cgroups=potato"]);
    assert!(potato.stderr.contains("invalid --security-opt 2: \"writable-cgroups=potato\""), "{potato:?}");
}
