use std::{collections::BTreeMap, path::Path, time::UNIX_EPOCH};

use oci_spec::runtime::{Capability, LinuxNamespaceType};

use super::*;
use crate::containers::model::{Config, HostConfig, Resources, Sequence, State, Ulimit};

pub fn record(config: Config, host_config: HostConfig) -> Record {
    Record {
        id: "a".repeat(64),
        name: "test".into(),
        created: UNIX_EPOCH,
        path: "sh".into(),
        args: vec!["-c".into(), "true".into()],
        config: Config { hostname: "box".into(), ..config },
        host_config,
        image_id: String::new(),
        state: State::default(),
        restart_count: 0,
        mounts: Vec::new(),
        networks: BTreeMap::new(),
        ports: BTreeMap::new(),
        sandbox_key: String::new(),
        links: BTreeMap::new(),
        linked_env: Vec::new(),
        started_before: false,
        manually_stopped: false,
        starting: false,
        remove_volumes: false,
        complete: true,
    }
}

fn spec_of(record: &Record, mounts: Vec<ReadyMount>) -> Result<Spec, String> {
    let user = User { home: "/root".into(), ..User::default() };
    let security = Security::parse(&record.host_config).unwrap();
    let files = FileMounts { hosts: Some("/x/hosts".into()), ..FileMounts::default() };
    build(Context { record, user: &user, security: &security, mounts, files })
}

fn kinds(spec: &Spec) -> Vec<LinuxNamespaceType> {
    spec.linux().as_ref().unwrap().namespaces().as_ref().unwrap().iter().map(|n| n.typ()).collect()
}

#[test]
fn the_default_container_is_confined() {
    let host = HostConfig {
        masked_paths: Some(defaults::masked_paths()),
        readonly_paths: Some(defaults::readonly_paths()),
        shm_size: 1 << 20,
        cgroupns_mode: "private".into(),
        ..HostConfig::default()
    };
    let spec = spec_of(&record(Config::default(), host), Vec::new()).unwrap();
    let process = spec.process().as_ref().unwrap();
    let caps = process.capabilities().as_ref().unwrap();
    assert_eq!(caps.effective().as_ref().unwrap().len(), 14);
    assert!(!caps.bounding().as_ref().unwrap().contains(&Capability::SysAdmin));
    assert_eq!(process.args().as_ref().unwrap(), &["sh", "-c", "true"]);
    assert!(process.env().as_ref().unwrap().contains(&"HOME=/root".to_owned()));
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.masked_paths().as_ref().unwrap().contains(&"/proc/kcore".to_owned()));
    assert_eq!(kinds(&spec).len(), 6);
    let shm = spec.mounts().as_ref().unwrap().iter().find(|m| m.destination() == Path::new("/dev/shm")).unwrap();
    assert!(shm.options().as_ref().unwrap().contains(&"size=1048576".to_owned()));
}

#[test]
fn shared_namespaces_are_not_created() {
    let host = HostConfig {
        network_mode: "host".into(),
        pid_mode: "container:x".into(),
        ipc_mode: "host".into(),
        uts_mode: "host".into(),
        ..HostConfig::default()
    };
    let spec = spec_of(&record(Config::default(), host), Vec::new()).unwrap();
    assert_eq!(kinds(&spec), [LinuxNamespaceType::Mount]);
    assert_eq!(spec.hostname(), &None);
}

#[test]
fn limits_are_translated() {
    let resources = Resources {
        memory: 64 << 20,
        memory_swap: -1,
        nano_cpus: 500_000_000,
        pids_limit: Some(20),
        ulimits: Some(vec![Ulimit { name: "nofile".into(), soft: 10, hard: 20 }]),
        ..Resources::default()
    };
    let record = record(Config::default(), HostConfig { resources, ..HostConfig::default() });
    let resources = super::resources(&record).unwrap();
    assert_eq!(resources.memory().as_ref().unwrap().limit(), Some(64 << 20));
    assert_eq!(resources.cpu().as_ref().unwrap().quota(), Some(50_000));
    assert_eq!(resources.pids().as_ref().unwrap().limit(), 20);
    let spec = spec_of(&record, Vec::new()).unwrap();
    assert_eq!(spec.process().as_ref().unwrap().rlimits().as_ref().unwrap()[0].hard(), 20);
}

#[test]
fn a_users_mount_replaces_ours_and_parents_come_first() {
    let bind = |destination: &str| ReadyMount::Bind {
        source: "/src".into(),
        destination: destination.into(),
        read_only: true,
        read_only_below: false,
        recursive: true,
        propagation: "rslave".into(),
    };
    let mounts = vec![bind("/a/b"), bind("/a"), bind("/etc/hosts"), bind("/dev/shm")];
    let spec = spec_of(&record(Config::default(), HostConfig::default()), mounts).unwrap();
    let places: Vec<&Path> = spec.mounts().as_ref().unwrap().iter().map(|m| m.destination().as_path()).collect();
    let place = |path: &str| places.iter().position(|p| *p == Path::new(path)).unwrap();
    assert!(place("/a") < place("/a/b"));
    for once in ["/etc/hosts", "/dev/shm"] {
        assert_eq!(places.iter().filter(|p| **p == Path::new(once)).count(), 1, "{once}");
    }
    assert_eq!(spec.linux().as_ref().unwrap().rootfs_propagation().as_deref(), Some("rslave"));
}

#[test]
fn privileged_is_everything() {
    let host = HostConfig {
        privileged: true,
        masked_paths: Some(vec!["/x".into()]),
        cap_drop: Some(Sequence(vec!["ALL".into()])),
        ..HostConfig::default()
    };
    let spec = spec_of(&record(Config::default(), host), Vec::new()).unwrap();
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.masked_paths().as_ref().unwrap().is_empty());
    assert!(linux.devices().as_ref().unwrap().iter().any(|d| d.path() == Path::new("/dev/null")));
    let caps = spec.process().as_ref().unwrap().capabilities().as_ref().unwrap();
    assert!(caps.effective().as_ref().unwrap().contains(&Capability::SysAdmin));
}

#[test]
fn the_environment_is_overridden_and_shortened() {
    let config = Config { env: Some(vec!["PATH=/x".into(), "HOSTNAME".into(), "A=1".into()]), ..Config::default() };
    let env = ProcessWish::of(&record(config, HostConfig::default())).env;
    assert_eq!(env, ["PATH=/x", "A=1"]);
}
