//! What a container may and may not.

use std::os::unix::fs::PermissionsExt;

use cubby_runtime::{ExitStatus, Namespace, NamespaceKind, SpawnError, Stdio, Target};
use oci_spec::runtime::{LinuxNamespaceType, PosixRlimitBuilder, PosixRlimitType, RootBuilder, Spec};

use crate::common::{Box, mount, outputs};

fn process(spec: &mut Spec) -> &mut oci_spec::runtime::Process {
    spec.process_mut().as_mut().unwrap()
}

fn add_mount(spec: &mut Spec, mount: oci_spec::runtime::Mount) {
    spec.mounts_mut().get_or_insert_default().push(mount);
}

#[tokio::test]
async fn capabilities_are_exactly_dockers() {
    let b = Box::new().await;
    let status = b.sh("cat /proc/self/status", |_| {}).await;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(set), "00000000a80425fb", "{set}");
    }
    assert_eq!((field("CapInh:"), field("CapAmb:")), ("0".repeat(16), "0".repeat(16)));
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("0".into(), "0".into()));
    let status = b
        .sh("cat /proc/self/status", |spec| {
            let process = process(spec);
            process.set_no_new_privileges(Some(true));
            process.user_mut().set_uid(1000).set_gid(1000).set_additional_gids(Some(vec![7, 8]));
        })
        .await;
    let field = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert_eq!(field("CapEff:"), "CapEff:\t0000000000000000");
    assert_eq!(field("CapBnd:"), "CapBnd:\t00000000a80425fb");
    assert_eq!(field("NoNewPrivs:"), "NoNewPrivs:\t1");
    assert_eq!(field("Uid:"), "Uid:\t1000\t1000\t1000\t1000");
    assert_eq!(field("Groups:").trim_end(), "Groups:\t7 8");
    b.quit().await;
}

#[tokio::test]
async fn the_tree_is_the_containers_alone() {
    let b = Box::new().await;
    let mounts = b.sh("cat /proc/self/mountinfo", |_| {}).await;
    let points: Vec<&str> = mounts.lines().map(|line| line.split(' ').nth(4).unwrap()).collect();
    assert_eq!(points[0], "/");
    assert!(mounts.lines().all(|line| !line.contains("shared:")), "{mounts}");
    assert!(!mounts.contains(b.dir.path().join("keeper.sock").to_str().unwrap()));
    let listing = b.sh("ls /; ls /dev; readlink /dev/ptmx; readlink /dev/fd", |_| {}).await;
    assert!(listing.contains("ptmx") && listing.contains("pts/ptmx\n/proc/self/fd"), "{listing}");
    // No descriptor but stdio, no environment but ours, a session of its own.
    let fds = b.sh("ls /proc/self/fd", |_| {}).await;
    assert_eq!(fds.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"], "3 is ls's own");
    let env = b.sh("env", |_| {}).await;
    let mut env: Vec<&str> = env.lines().collect();
    env.sort_unstable();
    assert_eq!(env, ["HOME=/root", "PATH=/usr/local/bin:/bin", "PWD=/", "SHLVL=1"]);
    assert_eq!(
        b.sh("echo $$; cat /proc/self/stat | head -c 1; ip link | wc -l", |_| {}).await.lines().next(),
        Some("1")
    );
    b.quit().await;
}

#[tokio::test]
async fn masked_and_readonly_paths() {
    let b = Box::new().await;
    let out = b
        .sh(
            "cat /proc/kcore 2>/dev/null | wc -c; ls /sys/firmware | wc -l; \
             touch /sys/firmware/x 2>/dev/null || echo ro1; \
             echo 1 2>/dev/null > /proc/sys/kernel/sysrq || echo ro2; \
             touch /sys/fs/cgroup/x 2>/dev/null || echo ro3; mkdir /sys/x 2>/dev/null || echo ro4; \
             echo rw > /dev/shm/x && cat /dev/shm/x",
            |_| {},
        )
        .await;
    assert_eq!(out, "0\n0\nro1\nro2\nro3\nro4\nrw");
    b.quit().await;
}

#[tokio::test]
async fn a_readonly_root_leaves_mounts_writable() {
    let b = Box::new().await;
    let out = b
        .sh("touch /x 2>/dev/null || echo ro; touch /data/x && echo rw; touch /dev/x && echo dev", |spec| {
            spec.set_root(Some(RootBuilder::default().path("rootfs").readonly(true).build().unwrap()));
            add_mount(spec, mount("/data", "tmpfs", "tmpfs", &["nosuid", "mode=700"]));
        })
        .await;
    assert_eq!(out, "ro\nrw\ndev");
    b.quit().await;
}

#[tokio::test]
async fn binds_files_directories_read_only_and_their_errors() {
    let b = Box::new().await;
    let volume = b.dir.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("file"), "content").unwrap();
    let source = volume.to_str().unwrap().to_owned();
    let file = format!("{source}/file");
    let out = b
        .sh("cat /deep/er/file /etc/hosts; touch /deep/er/x 2>/dev/null || echo ro; touch /rw/y; ls /rw", |spec| {
            add_mount(spec, mount("/deep/er", "bind", &source, &["rbind", "ro", "rprivate"]));
            add_mount(spec, mount("/rw", "bind", &source, &["rbind", "rprivate"]));
            add_mount(spec, mount("/etc/hosts", "bind", &file, &["rbind", "rprivate"]));
        })
        .await;
    assert_eq!(out, "contentcontentro\nfile\ny");
    let run = |source: String, to: &'static str| {
        b.run(b.container("c", &["true"], move |spec| add_mount(spec, mount(to, "bind", &source, &["rbind"]))))
    };
    let err = run("/no/such".into(), "/mnt").await.unwrap_err().to_string();
    assert!(err.contains("error mounting \"/no/such\" to rootfs at \"/mnt\""), "{err}");
    assert!(err.ends_with("no such file or directory"), "{err}");
    let err = run(file, "/etc").await.unwrap_err();
    assert!(err.to_string().ends_with("not a directory"), "{err}");
    assert!(matches!(err, SpawnError::Setup(_)));
    b.quit().await;
}

#[tokio::test]
async fn links_in_the_image_do_not_lead_out() {
    let b = Box::new().await;
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), b.rootfs.join("escape")).unwrap();
    b.sh("touch /escape/made/x", |spec| add_mount(spec, mount("/escape/made", "tmpfs", "tmpfs", &[]))).await;
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    std::fs::remove_dir(b.rootfs.join("proc")).unwrap();
    std::os::unix::fs::symlink("/tmp", b.rootfs.join("proc")).unwrap();
    let err = b.run(b.container("c", &["true"], |_| {})).await.unwrap_err().to_string();
    assert!(err.ends_with("filesystem \"proc\" must be mounted on ordinary directory"), "{err}");
    b.quit().await;
}

#[tokio::test]
async fn limits_umask_names_and_sysctls() {
    let b = Box::new().await;
    let out = b
        .sh(
            "umask; ulimit -n; ulimit -Hn; hostname; cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj",
            |spec| {
                let limit = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).soft(100u64).hard(200u64);
                let process = process(spec);
                process.set_rlimits(Some(vec![limit.build().unwrap()]));
                process.user_mut().set_umask(Some(0o027));
                process.set_oom_score_adj(Some(321));
                let linux = spec.linux_mut().as_mut().unwrap();
                linux.set_sysctl(Some([("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into()));
            },
        )
        .await;
    assert_eq!(out, "0027\n100\n200\nbox\n1\n321");
    let ours = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
    assert_eq!(b.sh("ulimit -n", |_| {}).await, ours.to_string(), "not what the keeper has");
    b.quit().await;
}

#[tokio::test]
async fn the_working_directory_may_be_reachable_by_either_user() {
    let b = Box::new().await;
    let private = b.rootfs.join("private");
    std::fs::create_dir(&private).unwrap();
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700)).unwrap();
    let out = b
        .sh("pwd", |spec| {
            let process = process(spec);
            process.user_mut().set_uid(1000);
            process.set_cwd("/private".into());
        })
        .await;
    assert_eq!(out, "/private");
    let escape = b.container("c", &["true"], |spec| {
        process(spec).set_cwd("/proc/self/fd/3".into());
    });
    assert!(b.run(escape).await.is_err());
    b.quit().await;
}

#[tokio::test]
async fn a_user_can_reopen_its_output() {
    let b = Box::new().await;
    let out = b
        .sh("echo again > /dev/stdout", |spec| {
            process(spec).user_mut().set_uid(1000);
        })
        .await;
    assert_eq!(out, "again");
    b.quit().await;
}

#[tokio::test]
async fn tmpfs_copies_up_and_keeps_modes() {
    let b = Box::new().await;
    std::fs::create_dir_all(b.rootfs.join("var/lib/deep")).unwrap();
    std::fs::write(b.rootfs.join("var/lib/deep/file"), "text").unwrap();
    std::fs::set_permissions(b.rootfs.join("var/lib"), std::fs::Permissions::from_mode(0o750)).unwrap();
    let out = b
        .sh("cat /var/lib/deep/file; stat -c %a /var/lib /tmp; echo new > /var/lib/deep/file", |spec| {
            add_mount(spec, mount("/var/lib", "tmpfs", "tmpfs", &["tmpcopyup"]));
            add_mount(spec, mount("/tmp", "tmpfs", "tmpfs", &["mode=1777"]));
        })
        .await;
    assert_eq!(out, "text750\n1777");
    assert_eq!(std::fs::read_to_string(b.rootfs.join("var/lib/deep/file")).unwrap(), "text");
    b.quit().await;
}

#[tokio::test]
async fn devices_exist_and_nothing_is_left_open_for_a_host_escape() {
    let b = Box::new().await;
    let out =
        b.sh("stat -c '%n %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty", |_| {}).await;
    assert_eq!(
        out,
        "/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/full 1:7 666\n/dev/random 1:8 666\n/dev/urandom 1:9 666\n/dev/tty 5:0 666"
    );
    // chroot's classic way out ends at our own root.
    let (status, out, _) =
        b.run(b.container("c", &["sh", "-c", "cd /../../..; ls -d keeper.sock"], |_| {})).await.unwrap();
    assert_eq!((status, out.as_str()), (ExitStatus::Code(1), ""));
    b.quit().await;
}

#[tokio::test]
async fn seccomp_refuses_what_the_default_profile_refuses() {
    let b = Box::new().await;
    let caps: Vec<String> = crate::common::DOCKER_CAPS.iter().map(|cap| format!("CAP_{cap}")).collect();
    let filter = cubby_runtime::seccomp::default_profile(&caps);
    let script = "grep Seccomp: /proc/self/status; unshare -U true 2>&1; mount -t tmpfs x /tmp 2>&1; chmod 700 /tmp && echo fine";
    std::os::unix::fs::symlink("busybox", b.rootfs.join("bin/grep")).unwrap();
    // With and without no_new_privileges, as root and as a user: the filter is loaded at different moments.
    for (nnp, uid) in [(false, 0), (true, 0), (false, 1000), (true, 1000)] {
        let mut request = b.container("c", &["sh", "-c", script], |spec| {
            process(spec).set_no_new_privileges(Some(nnp));
            process(spec).user_mut().set_uid(uid);
        });
        request.seccomp = Some(filter.clone());
        let (_, out, _) = b.run(request).await.unwrap();
        assert!(out.starts_with("Seccomp:\t2\n"), "{out}");
        assert!(out.contains("unshare(0x10000000): Operation not permitted"), "{out}");
        assert!(out.contains("ermission denied (are you root?)") || out.contains("not permitted"), "{out}");
        assert_eq!(out.contains("fine"), uid == 0, "{out}");
    }
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#;
    let mut request = b.container("c", &["sh", "-c", "chmod 700 /tmp 2>&1"], |_| {});
    request.seccomp = Some(cubby_runtime::seccomp::compile_json(profile, &caps).unwrap());
    let (status, out, _) = b.run(request).await.unwrap();
    assert_eq!(status, ExitStatus::Code(1));
    assert!(out.contains("No space left on device"), "{out}");
    b.quit().await;
}

#[tokio::test]
async fn namespaces_can_be_shared_with_another_container_or_the_host() {
    let b = Box::new().await;
    let first = b.runtime.spawn(b.container("first", &["sleep", "1000"], |_| {})).await.unwrap();
    let kinds = [NamespaceKind::Network, NamespaceKind::Pid, NamespaceKind::Ipc, NamespaceKind::Uts];
    let links = "for k in net pid ipc uts; do readlink /proc/self/ns/$k; done";
    let mut request = b.container("second", &["sh", "-c", links], |_| {});
    if let Target::Container { join, .. } = &mut request.target {
        *join = kinds.into_iter().map(|kind| Namespace::of(&first.pidfd, kind).unwrap()).collect();
    }
    let (_, out, err) = b.run(request).await.unwrap();
    let expected: Vec<String> = ["net", "pid", "ipc", "uts"]
        .iter()
        .map(|name| std::fs::read_link(format!("/proc/{}/ns/{name}", first.pid)).unwrap().display().to_string())
        .collect();
    assert_eq!(out.lines().collect::<Vec<_>>(), expected, "{err}");
    // What is not in the list is the host's.
    let out = b
        .sh("readlink /proc/self/ns/net; readlink /proc/self/ns/pid; cat /proc/1/comm", |spec| {
            let private = |n: &oci_spec::runtime::LinuxNamespace| {
                !matches!(n.typ(), LinuxNamespaceType::Network | LinuxNamespaceType::Pid)
            };
            let linux = spec.linux_mut().as_mut().unwrap();
            let left = linux.namespaces().clone().unwrap().into_iter().filter(private).collect::<Vec<_>>();
            linux.set_namespaces(Some(left));
        })
        .await;
    let host = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    assert!(out.starts_with(&format!("{}\n{}\n", host("net"), host("pid"))), "{out}");
    b.quit().await;
}

#[tokio::test]
async fn the_keepers_executable_cannot_be_opened_for_writing() {
    let b = Box::new().await;
    // The classic attack: the image names the runtime's own executable as its program.
    std::os::unix::fs::symlink("/proc/self/exe", b.rootfs.join("bin/evil")).unwrap();
    let err = b.run(b.container("c", &["evil", "keeper"], |_| {})).await;
    // It runs as a useless program, or is refused; what counts is that the file is out of reach.
    assert!(err.is_err() || err.is_ok_and(|(status, ..)| status != ExitStatus::Code(0)));
    let keeper = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()))
        .find(|pid| {
            let args = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&args).contains(b.socket().to_str().unwrap())
        })
        .unwrap();
    let flags = rustix::fs::OFlags::PATH;
    let exe = rustix::fs::open(format!("/proc/{keeper}/exe"), flags, rustix::fs::Mode::empty()).unwrap();
    let mount = rustix::fs::fstatvfs(&exe).unwrap().f_flag;
    assert!(mount.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{mount:?}");
    b.quit().await;
}

#[tokio::test]
async fn mounts_of_the_host_reach_only_those_who_want_them() {
    let b = Box::new().await;
    let shared = b.dir.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let source = shared.to_str().unwrap().to_owned();
    // A mount of its own, shared: as on most distributions.
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", &shared, "tmpfs", flags, None).unwrap();
    rustix::mount::mount_change(&shared, rustix::mount::MountPropagationFlags::SHARED).unwrap();
    std::fs::create_dir(shared.join("late")).unwrap();
    let start = |key: &'static str, root: &'static str, option: &'static str| {
        b.container(key, &["sh", "-c", "read x; ls /mnt/late"], |spec| {
            add_mount(spec, mount("/mnt", "bind", &source, &["rbind", option]));
            spec.linux_mut().as_mut().unwrap().set_rootfs_propagation(Some(root.to_owned()));
        })
    };
    let mut outs = Vec::new();
    for (key, root, option, sees) in [("slave", "rslave", "rslave", true), ("private", "rprivate", "rprivate", false)] {
        let mut request = start(key, root, option);
        request.stdio = Stdio { tty: None, stdin: true };
        let process = b.runtime.spawn(request).await.unwrap();
        outs.push((process, sees));
    }
    rustix::mount::mount("tmpfs", shared.join("late"), "tmpfs", flags, None).unwrap();
    std::fs::write(shared.join("late/file"), "").unwrap();
    for (process, sees) in outs {
        rustix::io::write(process.stdin.as_ref().unwrap(), b"\n").unwrap();
        let (out, err) = outputs(process).await;
        assert_eq!(out == "file\n", sees, "{out}{err}");
    }
    let detach = rustix::mount::UnmountFlags::DETACH;
    rustix::mount::unmount(shared.join("late"), detach).unwrap();
    rustix::mount::unmount(&shared, detach).unwrap();
    b.quit().await;
}
