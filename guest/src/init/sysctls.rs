//! Kernel settings that containers and their usual programs expect. One that is missing is said and skipped.

use std::fs;

const SETTINGS: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/rp_filter", "2"),
    ("net/ipv4/ip_unprivileged_port_start", "0"),
    ("net/ipv4/ping_group_range", "0 2147483647"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/forwarding", "1"),
    // Frames between two containers of one bridge are not the firewall's business (ports of a bridge are isolated instead),
    // and they are faster without it. The kernel's default is 1.
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
    ("net/bridge/bridge-nf-call-arptables", "0"),
    ("net/core/somaxconn", "4096"),
    // Elasticsearch, OpenSearch and MongoDB refuse to start with less.
    ("vm/max_map_count", "262144"),
    // Fork-heavy and Redis-like programs rely on it, and Redis says so at every start.
    ("vm/overcommit_memory", "1"),
    ("fs/inotify/max_user_instances", "8192"),
    ("fs/inotify/max_user_watches", "1048576"),
    ("fs/file-max", "1048576"),
    ("fs/aio-max-nr", "1048576"),
    ("kernel/keys/maxkeys", "20000"),
    ("kernel/keys/maxbytes", "400000"),
    ("kernel/pid_max", "4194304"),
    ("kernel/threads-max", "262144"),
    ("kernel/kptr_restrict", "1"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/yama/ptrace_scope", "0"),
    // A kernel that is confused had better restart than go on with somebody's data.
    ("kernel/panic_on_oops", "1"),
];

/// Applies them.
pub fn set() {
    for (name, value) in SETTINGS {
        if let Err(err) = fs::write(format!("/proc/sys/{name}"), value) {
            super::console::say(&format!("init: sysctl {name}: {err}"));
        }
    }
}
