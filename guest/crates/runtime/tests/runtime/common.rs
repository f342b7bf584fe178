//! A keeper, a root filesystem with busybox, a Docker-like spec, and what comes out of a container.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cubby_runtime::cgroup::{Cgroup, Cgroups};
use cubby_runtime::{ExitStatus, Runtime, Spawn, SpawnError, Spawned, Stdio, Target};
use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxNamespaceBuilder, LinuxNamespaceType, Mount, MountBuilder,
    Process, ProcessBuilder, Spec, SpecBuilder,
};
use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Box {
    pub runtime: Runtime,
    pub dir: TempDir,
    pub rootfs: PathBuf,
    quit: bool,
}

const APPLETS: [&str; 24] = [
    "sh", "true", "false", "echo", "cat", "sleep", "id", "ls", "pwd", "env", "kill", "mount", "hostname", "stat",
    "touch", "mkdir", "tty", "stty", "unshare", "chmod", "readlink", "wc", "ip", "head",
];

pub fn keeper_exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cubby-keeper"))
}

impl Box {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rootfs = dir.path().join("rootfs");
        for sub in ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "var"] {
            std::fs::create_dir_all(rootfs.join(sub)).unwrap();
        }
        std::fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox-static is installed");
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        std::fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let runtime = Runtime::connect_or_spawn(&dir.path().join("keeper.sock"), keeper_exe()).await.unwrap();
        Self { runtime, dir, rootfs, quit: false }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("keeper.sock")
    }

    pub fn mount_rootfs(&self) -> OwnedFd {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        rustix::mount::open_tree(CWD, &self.rootfs, flags).unwrap()
    }

    /// A container request with the Docker-like spec, changed by `change`.
    pub fn container(&self, key: &str, args: &[&str], change: impl FnOnce(&mut Spec)) -> Spawn {
        let mut spec = spec(args);
        change(&mut spec);
        Spawn {
            key: key.to_owned(),
            meta: format!("meta of {key}").into_bytes(),
            spec: Arc::new(spec),
            target: Target::Container {
                rootfs: self.mount_rootfs(),
                join: Vec::new(),
                mounts: Vec::new(),
                init: false,
            },
            stdio: Stdio::default(),
            cgroup: None,
            seccomp: None,
        }
    }

    pub fn exec(&self, key: &str, container: &str, args: &[&str]) -> Spawn {
        Spawn {
            key: key.to_owned(),
            meta: Vec::new(),
            spec: Arc::new(spec(args)),
            target: Target::Exec { container: container.to_owned() },
            stdio: Stdio::default(),
            cgroup: None,
            seccomp: None,
        }
    }

    /// Runs to the end: (exit status, stdout, stderr).
    pub async fn run(&self, request: Spawn) -> Result<(ExitStatus, String, String), SpawnError> {
        let key = request.key.clone();
        let process = self.runtime.spawn(request).await?;
        let (out, err) = outputs(process).await;
        let exited = tokio::time::timeout(PATIENCE, self.runtime.exited(&key)).await.unwrap().unwrap();
        self.runtime.release(&key).await.unwrap();
        Ok((exited.status, out, err))
    }

    /// Stdout of `sh -c script`, which must succeed.
    pub async fn sh(&self, script: &str, change: impl FnOnce(&mut Spec)) -> String {
        let key = unique();
        let request = self.container(&key, &["sh", "-c", script], change);
        let (status, out, err) = self.run(request).await.unwrap();
        assert_eq!(status, ExitStatus::Code(0), "{script}: {out}{err}");
        out.trim_end().to_owned()
    }

    pub async fn quit(mut self) {
        self.quit = true;
        self.runtime.quit().await.unwrap();
        tokio::time::timeout(PATIENCE, self.runtime.lost()).await.expect("the keeper ends");
    }
}

impl Drop for Box {
    fn drop(&mut self) {
        if !self.quit && !std::thread::panicking() {
            panic!("a test must end with quit()");
        }
        if std::thread::panicking() {
            // The connection may be gone; a blocking one says Quit all the same.
            let runtime = self.runtime.clone();
            let socket = self.socket();
            let _ = std::thread::spawn(move || {
                let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                tokio.block_on(async {
                    if let Ok(fresh) = Runtime::connect(&socket).await {
                        let _ = tokio::time::timeout(Duration::from_secs(2), fresh.quit()).await;
                    }
                });
                drop(runtime);
            })
            .join();
        }
    }
}

pub fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A cgroup below a parent of its own, which goes with it.
pub struct Group {
    cgroup: Cgroup,
    parent: String,
}

impl std::ops::Deref for Group {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.cgroup.kill_all();
            let _ = self.cgroup.remove(PATIENCE);
        }
        Cgroups::detect().unwrap().forget(&self.parent);
    }
}

pub fn cgroup(resources: Option<&oci_spec::runtime::LinuxResources>) -> Group {
    let parent = format!("cubby-{}", unique());
    let cgroup = Cgroups::detect().unwrap().create(&parent, "container", resources).unwrap();
    Group { cgroup, parent }
}

pub async fn outputs(process: Spawned) -> (String, String) {
    let Spawned { stdout, stderr, pty, .. } = process;
    let out = stdout.or(pty).unwrap();
    let out = tokio::task::spawn_blocking(move || read_to_end(out));
    let err = tokio::task::spawn_blocking(move || stderr.map(read_to_end).unwrap_or_default());
    (out.await.unwrap(), err.await.unwrap())
}

/// Reads a non-blocking descriptor until its end (a terminal's is EIO).
pub fn read_to_end(fd: OwnedFd) -> String {
    rustix::io::ioctl_fionbio(&fd, false).unwrap();
    let mut bytes = Vec::new();
    let mut file = std::fs::File::from(fd);
    let mut buffer = [0; 4096];
    loop {
        match file.read(&mut buffer) {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub const DOCKER_CAPS: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

pub fn process(args: &[&str]) -> Process {
    let caps = LinuxCapabilitiesBuilder::default()
        .bounding(DOCKER_CAPS)
        .effective(DOCKER_CAPS)
        .permitted(DOCKER_CAPS)
        .inheritable([])
        .ambient([])
        .build()
        .unwrap();
    // The spec crate's defaults have a limit of their own; dockerd's specs have none.
    let mut process = ProcessBuilder::default()
        .args(args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>())
        .env(vec!["PATH=/usr/local/bin:/bin".to_owned()])
        .cwd("/")
        .capabilities(caps)
        .no_new_privileges(false)
        .build()
        .unwrap();
    process.set_rlimits(None);
    process
}

pub fn mount(destination: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    MountBuilder::default()
        .destination(destination)
        .typ(typ)
        .source(source)
        .options(options.iter().map(|&o| o.to_owned()).collect::<Vec<_>>())
        .build()
        .unwrap()
}

/// As dockerd makes it for a container on a private network.
pub fn spec(args: &[&str]) -> Spec {
    use LinuxNamespaceType as N;
    let namespaces: Vec<_> = [N::Mount, N::Pid, N::Ipc, N::Uts, N::Network, N::Cgroup]
        .into_iter()
        .map(|typ| LinuxNamespaceBuilder::default().typ(typ).build().unwrap())
        .collect();
    let paths = |paths: &[&str]| paths.iter().map(|&p| p.to_owned()).collect::<Vec<_>>();
    let linux = LinuxBuilder::default()
        .namespaces(namespaces)
        .masked_paths(paths(&[
            "/proc/asound",
            "/proc/acpi",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/proc/scsi",
            "/sys/firmware",
            "/sys/devices/virtual/powercap",
        ]))
        .readonly_paths(paths(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]))
        .build()
        .unwrap();
    let mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
    ];
    let mut spec =
        SpecBuilder::default().hostname("box").process(process(args)).mounts(mounts).linux(linux).build().unwrap();
    spec.set_root(None);
    spec
}
