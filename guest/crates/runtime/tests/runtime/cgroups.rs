//! Limits, freezing, killing, figures; on whatever cgroup version this machine has.

use std::time::Duration;

use cubby_runtime::cgroup::{Cgroup, CgroupError, Cgroups};
use cubby_runtime::{ExitStatus, Spawn, signal};
use oci_spec::runtime::{LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder};

use crate::common::{Box, PATIENCE, cgroup, unique, wait_for};

fn resources() -> LinuxResources {
    LinuxResourcesBuilder::default()
        .memory(LinuxMemoryBuilder::default().limit(64 << 20).swap(64 << 20).build().unwrap())
        .cpu(LinuxCpuBuilder::default().shares(512u64).quota(50_000).period(100_000u64).build().unwrap())
        .pids(LinuxPidsBuilder::default().limit(20).build().unwrap())
        .build()
        .unwrap()
}

fn within(mut request: Spawn, cgroup: &Cgroup) -> Spawn {
    request.cgroup = Some(cgroup.path().clone());
    request
}

fn exists(cgroup: &Cgroup) -> bool {
    let path = cgroup.path();
    path.v2.iter().chain(&path.v1).any(|dir| dir.exists())
}

#[tokio::test]
async fn limits_are_visible_inside_and_outside() {
    let b = Box::new().await;
    let group = cgroup(Some(&resources()));
    let v1 = Cgroups::detect().unwrap().version() == 1;
    let files =
        if v1 { "memory/memory.limit_in_bytes pids/pids.max cpu/cpu.shares" } else { "memory.max pids.max cpu.weight" };
    let script = format!("cd /sys/fs/cgroup && cat {files} && cat /proc/self/cgroup");
    let (status, out, err) = b.run(within(b.container("c", &["sh", "-c", &script], |_| {}), &group)).await.unwrap();
    assert_eq!(status, ExitStatus::Code(0), "{out}{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], ["67108864", "20", if v1 { "512" } else { "20" }]);
    // Its own cgroups are the roots of what it sees.
    assert!(
        lines[3..].iter().filter(|l| l.contains("memory") || l.starts_with("0::")).all(|l| l.ends_with(":/")),
        "{out}"
    );
    let stats = group.stats().unwrap();
    assert_eq!((stats.memory_limit_bytes, stats.pids_limit), (Some(64 << 20), Some(20)));
    assert!(stats.cpu_usage_ns > 0);
    let more = LinuxResourcesBuilder::default()
        .memory(LinuxMemoryBuilder::default().limit(128 << 20).swap(128 << 20).build().unwrap())
        .build()
        .unwrap();
    group.apply(&more).unwrap();
    assert_eq!(group.stats().unwrap().memory_limit_bytes, Some(128 << 20));
    group.remove(PATIENCE).unwrap();
    assert!(!exists(&group));
    group.remove(PATIENCE).unwrap();
    b.quit().await;
}

#[tokio::test]
async fn execs_live_in_the_containers_cgroup_and_all_of_it_can_be_killed() {
    let b = Box::new().await;
    let group = cgroup(None);
    let first = b.runtime.spawn(within(b.container("c", &["sleep", "1000"], |_| {}), &group)).await.unwrap();
    let second = b.runtime.spawn(within(b.exec("e", "c", &["sleep", "1000"]), &group)).await.unwrap();
    let mut pids = vec![first.pid, second.pid];
    pids.sort_unstable();
    assert_eq!(group.pids().unwrap(), pids);
    assert_eq!(group.stats().unwrap().pids_current, 2);
    assert!(matches!(group.remove(Duration::from_millis(20)), Err(CgroupError::Busy(_))));
    group.kill_all().unwrap();
    for key in ["c", "e"] {
        let end = tokio::time::timeout(PATIENCE, b.runtime.exited(key)).await.unwrap().unwrap();
        assert_eq!(end.status.docker_code(), 137);
    }
    group.remove(PATIENCE).unwrap();
    assert!(!exists(&group));
    b.quit().await;
}

#[tokio::test]
async fn freezing_stops_and_thawing_continues() {
    let b = Box::new().await;
    let group = cgroup(None);
    let script = "while :; do echo x; done";
    let process = b.runtime.spawn(within(b.container("c", &["sh", "-c", script], |_| {}), &group)).await.unwrap();
    let out = process.stdout.as_ref().unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut drain = || {
        let mut total = 0;
        while let Ok(n @ 1..) = rustix::io::read(out, &mut buffer) {
            total += n;
        }
        total
    };
    wait_for("output", || drain() > 0);
    group.freeze().unwrap();
    drain();
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(drain(), 0, "it still runs");
    group.thaw().unwrap();
    wait_for("output again", || drain() > 0);
    // A frozen one can be killed.
    group.freeze().unwrap();
    signal(&process.pidfd, libc::SIGKILL).unwrap();
    group.kill_all().unwrap();
    tokio::time::timeout(PATIENCE, b.runtime.exited("c")).await.unwrap().unwrap();
    group.remove(PATIENCE).unwrap();
    b.quit().await;
}

#[tokio::test]
async fn too_much_memory_is_an_oom_kill() {
    let b = Box::new().await;
    let group = cgroup(Some(&resources()));
    assert_eq!(group.oom_kills(), 0);
    // One variable that doubles until the limit; swap is not allowed to help.
    let script = "x=0123456789abcdef; while :; do x=$x$x; done";
    let (status, ..) = b.run(within(b.container("c", &["sh", "-c", script], |_| {}), &group)).await.unwrap();
    assert_eq!(status, ExitStatus::Signal { signal: 9, core: false });
    assert!(group.oom_kills() >= 1);
    group.remove(PATIENCE).unwrap();
    b.quit().await;
}

#[tokio::test]
async fn devices_are_refused_unless_allowed() {
    let b = Box::new().await;
    let group = cgroup(None);
    // Nodes may be made, but not used: /dev/mem stands for every device of the host.
    let script = "mknod /tmp/n c 1 3 && echo x > /tmp/n && echo null; \
                  mknod /tmp/m c 1 1 && (head -c 1 /tmp/m >/dev/null 2>&1 || echo refused)";
    std::os::unix::fs::symlink("busybox", b.rootfs.join("bin/mknod")).unwrap();
    let (_, out, err) = b.run(within(b.container("c", &["sh", "-c", script], |_| {}), &group)).await.unwrap();
    assert_eq!(out, "null\nrefused\n", "{err}");
    group.remove(PATIENCE).unwrap();
    b.quit().await;
}

#[tokio::test]
async fn a_refused_limit_is_told_and_leaves_nothing() {
    let cgroups = Cgroups::detect().unwrap();
    let parent = format!("cubby-{}", unique());
    let bad =
        LinuxResourcesBuilder::default().cpu(LinuxCpuBuilder::default().cpus("9999").build().unwrap()).build().unwrap();
    let err = cgroups.create(&parent, "container", Some(&bad)).unwrap_err().to_string();
    assert!(err.contains("failed to write \"9999\"") && err.contains("cpuset.cpus"), "{err}");
    assert!(!exists(&cgroups.open(&parent, "container").unwrap()));
    cgroups.forget(&parent);
}

#[tokio::test]
async fn the_pids_limit_stops_a_fork_bomb() {
    let b = Box::new().await;
    let group = cgroup(Some(&resources()));
    let script = "for i in 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3; do sleep 1000 & done; echo all";
    let (_, out, _) = b.run(within(b.container("c", &["sh", "-c", script], |_| {}), &group)).await.unwrap();
    assert!(!out.contains("all"), "{out}");
    group.remove(PATIENCE).unwrap();
    b.quit().await;
}
