//! What containers share: images as mounts, shared memory, legacy links, control groups.

use std::{process::Command, time::Duration};

use cubby_harness::{IMAGE, Place, request, wait_for};

use crate::docker;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn an_image_is_a_read_only_mount_whole_or_in_part() {
    let (docker, _engine) = docker();
    let whole = format!("type=image,source={IMAGE},target=/image");
    let part = format!("type=image,source={IMAGE},target=/accounts,image-subpath=etc");
    let file = format!("type=image,source={IMAGE},target=/opt/passwd,image-subpath=etc/passwd");
    let script = "ls /image/bin/busybox; head -n1 /accounts/passwd; head -n1 /opt/passwd; ls /accounts/bin; \
                  touch /image/x || echo read-only";
    let mounts = ["--mount", &whole, "--mount", &part, "--mount", &file];
    let arguments = ["run", "--name", "image-mounts"].into_iter().chain(mounts).chain([IMAGE, "sh", "-c", script]);
    let output = docker.run(arguments);
    let lines: Vec<&str> = output.stdout.lines().collect();
    let root = "root:x:0:0:root:/root:/bin/sh";
    assert_eq!(lines, ["/image/bin/busybox", root, root, "read-only"], "{output:?}");
    let shown = "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}\n{{end}}";
    let inspected = docker.run(["inspect", "-f", shown, "image-mounts"]).ok();
    assert!(inspected.contains(&format!("image {IMAGE} /image false")), "{inspected}");
    docker.run(["rm", "image-mounts"]).ok();
    let missing = ["create", "--pull", "never", "--mount", "type=image,source=no-such-image,target=/x", IMAGE, "true"];
    let missing = docker.run(missing);
    assert!(missing.stderr.contains("No such image: no-such-image:latest"), "{missing:?}");
    let escaping = format!("type=image,source={IMAGE},target=/x,image-subpath=../up");
    assert_eq!(docker.run(["run", "--rm", "--mount", &escaping, IMAGE, "true"]).code, 125);
}

#[test]
fn shared_memory_is_shared_only_by_those_who_share_it() {
    let (docker, _engine) = docker();
    let write = "echo told > /dev/shm/note; sleep 1000";
    docker.run(["run", "-d", "--name", "shm-open", "--ipc", "shareable", IMAGE, "sh", "-c", write]).ok();
    docker.run(["run", "-d", "--name", "shm-closed", IMAGE, "sleep", "1000"]).ok();
    wait_for("the note", PATIENCE, || {
        let output = docker.run(["run", "--rm", "--ipc", "container:shm-open", IMAGE, "cat", "/dev/shm/note"]);
        (output.code == 0 && output.stdout == "told\n").then_some(())
    });
    let refused = docker.run(["run", "--rm", "--ipc", "container:shm-closed", IMAGE, "true"]);
    assert!(refused.stderr.contains("non-shareable IPC (hint: use IpcMode:shareable for the donor"), "{refused:?}");
    docker.run(["rm", "-f", "shm-open", "shm-closed"]).ok();
}

#[test]
fn a_linked_container_is_known_by_name_variables_and_one_more_name() {
    let (docker, engine) = docker();
    docker.run(["run", "-d", "--name", "link-child", "-e", "A=b", "--expose", "80", IMAGE, "sleep", "1000"]).ok();
    let parent = ["run", "-d", "--name", "link-parent", "--link", "link-child:db", IMAGE, "sleep", "1000"];
    docker.run(parent).ok();
    let env = docker.run(["exec", "link-parent", "env"]).ok();
    for pair in ["DB_NAME=/link-parent/db", "DB_ENV_A=b", "DB_PORT_80_TCP_PROTO=tcp"] {
        assert!(env.lines().any(|line| line == pair), "{pair}: {env}");
    }
    let hosts = docker.run(["exec", "link-parent", "cat", "/etc/hosts"]).ok();
    assert!(hosts.contains("db"), "{hosts}");
    let links = ["inspect", "-f", "{{json .HostConfig.Links}}", "link-parent"];
    assert_eq!(docker.run(links).ok(), r#"["/link-child:/link-parent/db"]"#);
    let names = ["ps", "--no-trunc", "--filter", "name=link-child", "--format", "{{.Names}}"];
    assert_eq!(docker.run(names).ok(), "link-child,link-parent/db");
    let removed = request(&engine.socket(), "DELETE", "/containers/link-parent/db?link=1", b"").expect("an answer");
    assert_eq!(removed.status, 204, "{removed:?}");
    assert_eq!(docker.run(links).ok(), "null");
    let itself = request(&engine.socket(), "DELETE", "/containers/link-child?link=1", b"").expect("an answer");
    assert_eq!(itself.message(), "Conflict, cannot remove the default link name of the container");
    docker.run(["rm", "-f", "link-parent", "link-child"]).ok();
}

#[test]
fn a_container_lives_below_the_cgroup_it_asks_for() {
    let (docker, _engine) = docker();
    let group = ["--cgroup-parent", "/cubby-api-tests", "--cgroupns", "host"];
    let output = docker.run(["run", "--rm"].into_iter().chain(group).chain([IMAGE, "cat", "/proc/self/cgroup"])).ok();
    assert!(output.lines().all(|line| !line.contains("/cubby/")), "{output}");
    assert!(output.contains("/cubby-api-tests/"), "{output}");
    let refused = docker.run(["create", "--cgroup-parent", "/a/../b", IMAGE, "true"]);
    assert!(refused.stderr.contains("invalid cgroup parent"), "{refused:?}");
    if Place::of_this_run() == Place::Native {
        // The parent is the user's to remove, as with dockerd.
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("cgroups are mounted").flatten() {
            let _ = std::fs::remove_dir(hierarchy.path().join("cubby-api-tests"));
        }
        let _ = std::fs::remove_dir("/sys/fs/cgroup/cubby-api-tests");
    }
}

#[test]
fn shared_mounts_are_shared_and_others_are_not() {
    if Place::of_this_run() == Place::Guest {
        return println!("not in the guest: its folders come from the host");
    }
    let (docker, _engine) = docker();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let place = dir.path().to_str().expect("text").to_owned();
    let run = |program: &str, arguments: &[&str]| {
        assert!(Command::new(program).args(arguments).status().expect("it runs").success(), "{program} {arguments:?}");
    };
    // Why only these: others on this machine mount and unmount meanwhile.
    let mounts = || {
        let all = std::fs::read_to_string("/proc/self/mounts").expect("procfs");
        all.lines().filter(|line| line.contains(&place)).map(str::to_owned).collect::<Vec<_>>()
    };
    let bind = format!("{place}:/shared:rshared");
    run("mount", &["-t", "tmpfs", "cubby-shared", &place]);
    run("mount", &["--make-private", &place]);
    let refused = docker.run(["run", "--rm", "-v", &bind, IMAGE, "true"]);
    assert!(refused.stderr.contains("but it is not a shared mount"), "{refused:?}");
    run("mount", &["--make-shared", &place]);
    let before = mounts().len();
    let script = "mkdir /shared/in; mount -t tmpfs inner /shared/in && echo told > /shared/in/note";
    docker.run(["run", "--rm", "--privileged", "-v", &bind, IMAGE, "sh", "-c", script]).ok();
    assert_eq!(std::fs::read_to_string(dir.path().join("in/note")).expect("the container's mount is here"), "told\n");
    assert_eq!(mounts().len(), before + 1, "{:?}", mounts());
    let slave = format!("{place}:/shared:rslave");
    let script = "mount -t tmpfs inner /shared/in && cat /shared/in/note || true";
    docker.run(["run", "--rm", "--privileged", "-v", &slave, IMAGE, "sh", "-c", script]).ok();
    assert_eq!(mounts().len(), before + 1, "{:?}", mounts());
    run("umount", &[&format!("{place}/in")]);
    run("umount", &[&place]);
}
