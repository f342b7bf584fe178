//! The engines whose work with images is measured, each on a disk of its own: Cubby's, natively; podman, where it is
//! installed; and the dockerd that `CUBBY_BENCH_DOCKERD` names, which finds containerd beside it or in `PATH`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use cubby_harness::{NativeEngine, docker_cli, peak_kib, wait_for};
use tempfile::TempDir;

/// An empty ext4; gone when dropped.
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    pub fn new(beside: &Path) -> Self {
        let dir = tempfile::tempdir_in(beside).expect("a temporary directory");
        let (image, place) = (dir.path().join("image"), dir.path().join("disk"));
        fs::create_dir(&place).expect("a directory can be made");
        let [image, place] = [image.display(), place.display()];
        shell(&format!("truncate -s 4G {image} && mkfs.ext4 -q -E nodiscard {image} && mount -o loop {image} {place}"));
        Self { dir }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Why lazily: what an engine left busy must not keep the rest of the run from going on.
        shell(&format!("umount {0} || umount -l {0}", self.path().display()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Cubby,
    Dockerd,
    Podman,
}

impl Kind {
    /// Cubby first.
    pub fn installed() -> Vec<Self> {
        let has_podman = Command::new("podman").arg("--version").output().is_ok_and(|output| output.status.success());
        let peers = [(Self::Dockerd, dockerd().is_some()), (Self::Podman, has_podman)];
        [Self::Cubby].into_iter().chain(peers.into_iter().filter(|(_, is)| *is).map(|(kind, _)| kind)).collect()
    }

    /// With its version, as it tells it.
    pub fn name(self) -> String {
        let (program, name) = match self {
            Self::Cubby => return "cubby".to_owned(),
            Self::Dockerd => (dockerd().unwrap_or_default(), "dockerd"),
            Self::Podman => (PathBuf::from("podman"), "podman"),
        };
        let told = Command::new(program).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
        let told = String::from_utf8_lossy(&told).into_owned();
        let version = told.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        format!("{name} {}", version.unwrap_or_default().split('+').next().unwrap_or_default().trim_end_matches(','))
    }
}

fn dockerd() -> Option<PathBuf> {
    env::var_os("CUBBY_BENCH_DOCKERD").map(PathBuf::from)
}

enum Engine {
    Cubby(NativeEngine),
    Dockerd(Child),
    /// It has no process of its own.
    Podman,
}

/// A fresh engine on its disk.
pub struct Place {
    engine: Engine,
    /// Gone after the engine.
    disk: Disk,
}

impl Place {
    pub fn start(kind: Kind, disk: Disk) -> Self {
        let engine = match kind {
            Kind::Cubby => Engine::Cubby(NativeEngine::start_in(&disk.path())),
            Kind::Dockerd => Engine::Dockerd(start_dockerd(&disk.path())),
            Kind::Podman => Engine::Podman,
        };
        let place = Self { engine, disk };
        if kind == Kind::Dockerd {
            wait_for("dockerd", Duration::from_secs(60), || {
                place.command("version").output().ok()?.status.success().then_some(())
            });
        }
        place
    }

    pub fn disk(&self) -> PathBuf {
        self.disk.path()
    }

    /// Runs a subcommand that the clients have in common.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, arguments: &str) {
        let output = self.command(arguments).output().expect("the client can be started");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, arguments: &str) -> Command {
        let (disk, words) = (self.disk(), arguments.split(' '));
        match &self.engine {
            Engine::Cubby(engine) => engine.docker().command(words),
            Engine::Dockerd(_) => {
                let mut command = Command::new(docker_cli());
                command.env("DOCKER_CONFIG", disk.join("config")).arg("-H").arg(socket(&disk)).args(words);
                command
            }
            Engine::Podman => {
                let mut command = Command::new("podman");
                command.arg("--root").arg(disk.join("root")).arg("--runroot").arg(disk.join("run"));
                command.args(["--storage-driver", "overlay"]).args(words);
                if arguments.starts_with("pu") {
                    command.arg("--tls-verify=false");
                }
                command
            }
        }
    }

    /// 0 when it has no process of its own.
    pub fn peak_kib(&self) -> u64 {
        match &self.engine {
            Engine::Cubby(engine) => peak_kib(engine.pid()),
            Engine::Dockerd(process) => peak_kib(process.id()),
            Engine::Podman => 0,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Engine::Dockerd(process) = &mut self.engine {
            // Why so: killed, it would leave its containerd behind.
            shell(&format!("kill {}", process.id()));
            let _ = process.wait();
        }
    }
}

fn socket(disk: &Path) -> String {
    format!("unix://{}", disk.join("docker.sock").display())
}

fn start_dockerd(disk: &Path) -> Child {
    let program = dockerd().expect("CUBBY_BENCH_DOCKERD names it");
    let beside = program.parent().map(|dir| dir.display().to_string()).unwrap_or_default();
    let path = format!("{beside}:{}", env::var("PATH").unwrap_or_default());
    Command::new(&program)
        .env("PATH", path)
        .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=overlay2", "-l", "error"])
        .args(["-H", &socket(disk)])
        .arg("--data-root")
        .arg(disk.join("data"))
        .arg("--exec-root")
        .arg(disk.join("exec"))
        .arg("-p")
        .arg(disk.join("pid"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("dockerd can be started")
}

/// # Panics
/// When it fails.
pub fn shell(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().expect("a shell");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}
