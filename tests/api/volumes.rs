//! `docker volume`, and what containers find in volumes.

use cubby_harness::IMAGE;

use crate::docker;

#[test]
fn a_volume_outlives_its_containers_and_goes_when_nobody_uses_it() {
    let (docker, _engine) = docker();
    docker.run(["volume", "create", "--label", "of=test", "vol-kept"]).ok();
    let sh = |script: &str| docker.run(["run", "--rm", "-v", "vol-kept:/data", IMAGE, "sh", "-c", script]).ok();
    sh("echo kept > /data/file");
    assert_eq!(sh("cat /data/file"), "kept");
    assert_eq!(docker.run(["volume", "ls", "-q", "--filter", "label=of=test"]).ok(), "vol-kept");

    docker.run(["create", "--name", "vol-user", "-v", "vol-kept:/data", IMAGE, "true"]).ok();
    let used = docker.run(["volume", "rm", "vol-kept"]);
    assert_eq!(used.code, 1, "{used:?}");
    assert!(used.stderr.contains("remove vol-kept: volume is in use - ["), "{used:?}");
    docker.run(["rm", "vol-user"]).ok();
    docker.run(["volume", "rm", "vol-kept"]).ok();
    let gone = docker.run(["volume", "inspect", "vol-kept"]);
    assert!(gone.stderr.contains("get vol-kept: no such volume"), "{gone:?}");
}

#[test]
fn a_new_volume_has_what_the_image_has_there() {
    let (docker, _engine) = docker();
    let passwd = docker.run(["run", "--rm", "-v", "vol-etc:/etc", IMAGE, "cat", "/etc/passwd"]).ok();
    assert!(passwd.starts_with("root:x:0:0:"), "{passwd}");
    assert_eq!(
        docker.run(["run", "--rm", "-v", "vol-etc:/other:ro", IMAGE, "head", "-n1", "/other/passwd"]).ok(),
        "root:x:0:0:root:/root:/bin/sh"
    );
    let refused = docker.run(["run", "--rm", "-v", "vol-etc:/other:ro", IMAGE, "touch", "/other/new"]);
    assert_ne!(refused.code, 0);
    docker.run(["volume", "rm", "vol-etc"]).ok();
}

#[test]
fn anonymous_volumes_go_with_rm_and_filesystems_are_mounted_while_used() {
    let (docker, _engine) = docker();
    docker.run(["create", "--name", "vol-anonymous", "-v", "/data", IMAGE, "true"]).ok();
    let name = docker.run(["inspect", "-f", "{{(index .Mounts 0).Name}}", "vol-anonymous"]).ok();
    assert_eq!((name.len(), docker.run(["volume", "inspect", &name]).code), (64, 0));
    docker.run(["rm", "-v", "vol-anonymous"]).ok();
    assert_ne!(docker.run(["volume", "inspect", &name]).code, 0);

    let tmpfs = ["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "vol-memory"];
    docker.run(tmpfs).ok();
    let mounted = docker.run(["run", "--rm", "-v", "vol-memory:/data", IMAGE, "grep", " /data ", "/proc/mounts"]).ok();
    assert!(mounted.contains(" tmpfs ") && mounted.contains("size=1024k"), "{mounted}");
    docker.run(["volume", "rm", "vol-memory"]).ok();
    let bad = docker.run(["volume", "create", "v/../x"]);
    assert!(bad.stderr.contains("includes invalid characters for a local volume name"), "{bad:?}");
}
