//! A real engine of the test's own: started on demand, gone without a trace afterwards.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use tempfile::TempDir;

use crate::{Docker, Machine, Place, binary, busybox_archive, request, wait_for};

/// An engine, wherever this run of the suite has it.
pub enum Engine {
    Native(NativeEngine),
    Guest(Machine),
}

impl Engine {
    /// A fresh engine (native) or the machine's (guest), with [`crate::IMAGE`] loaded.
    pub fn start() -> Self {
        let engine = match Place::of_this_run() {
            Place::Native => Self::Native(NativeEngine::start()),
            Place::Guest => Self::Guest(Machine::start()),
        };
        engine.docker().run_with_input(["load"], &busybox_archive()).ok();
        engine
    }

    pub fn docker(&self) -> Docker {
        match self {
            Self::Native(engine) => engine.docker(),
            Self::Guest(machine) => machine.docker(),
        }
    }

    /// The socket that serves the API.
    pub fn socket(&self) -> PathBuf {
        match self {
            Self::Native(engine) => engine.socket(),
            Self::Guest(machine) => machine.socket(),
        }
    }
}

/// `cubbyd engine` as a child of the test, in directories of its own.
pub struct NativeEngine {
    dir: TempDir,
    child: Child,
    id: OnceLock<String>,
}

impl NativeEngine {
    /// Starts an engine and waits until it answers.
    ///
    /// # Panics
    /// When it does not within half a minute, with its log; or when the test is not root.
    pub fn start() -> Self {
        Self::start_in(&std::env::temp_dir())
    }

    /// [`NativeEngine::start`] with its directories below `parent`.
    ///
    /// # Panics
    /// As there.
    pub fn start_in(parent: &Path) -> Self {
        assert!(rustix::process::geteuid().is_root(), "a native engine needs root: run scripts/test as root");
        let dir = tempfile::Builder::new().prefix("cubby-test-").tempdir_in(parent).expect("a temporary directory");
        let child = spawn(dir.path());
        let engine = Self { dir, child, id: OnceLock::new() };
        engine.wait_until_ready();
        engine
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    pub fn docker(&self) -> Docker {
        Docker::new(format!("unix://{}", self.socket().display()), self.dir.path().join("docker-config"))
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process that keeps this engine's containers, once there is one.
    pub fn keeper(&self) -> Option<u32> {
        let socket = self.dir.path().join("run/keeper.sock");
        let socket = socket.to_str()?;
        let processes = std::fs::read_dir("/proc").ok()?.flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.find(|pid| {
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = arguments.split(|byte| *byte == 0);
            arguments.nth(1) == Some(b"keeper") && arguments.any(|argument| argument == socket.as_bytes())
        })
    }

    /// The engine's identity, which is that of its data root.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn id(&self) -> &str {
        self.id.get_or_init(|| {
            let info = request(&self.socket(), "GET", "/info", b"").expect("the engine answers").json();
            info["ID"].as_str().expect("info tells the engine's identity").to_owned()
        })
    }

    /// `kill -9` of the engine process.
    pub fn kill(&mut self) {
        self.child.kill().expect("the engine can be killed");
        self.child.wait().expect("the engine is ours to reap");
    }

    /// Starts the engine again on the same directories.
    pub fn restart(&mut self) {
        self.child = spawn(self.dir.path());
        self.wait_until_ready();
    }

    /// Asks the engine to stop and waits for it.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        // Why: it may have ended already; waiting below tells.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.child.wait().ok().and_then(|status| status.code())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("engine.log")).unwrap_or_default()
    }

    fn wait_until_ready(&self) {
        let socket = self.socket();
        let answered = std::panic::catch_unwind(|| {
            wait_for("the engine's answer", Duration::from_secs(30), || {
                request(&socket, "GET", "/_ping", b"").ok().filter(|reply| reply.status == 200)
            })
        });
        assert!(answered.is_ok(), "the engine did not start; its log:\n{}", self.log());
    }
}

impl Drop for NativeEngine {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- log of the engine of the failed test ---\n{}", self.log());
        }
    }
}

fn spawn(dir: &Path) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("engine.log")).expect("the log can be opened");
    // Why the shell: a login's limit of open files, whatever this test was started with.
    Command::new("/bin/sh")
        .args(["-c", "ulimit -Sn 1024; exec \"$0\" \"$@\""])
        .arg(binary("cubbyd"))
        .arg("engine")
        .arg("--listen")
        .arg(format!("unix://{}", dir.join("docker.sock").display()))
        .arg("--data-root")
        .arg(dir.join("data"))
        .arg("--run-dir")
        .arg(dir.join("run"))
        .env("CUBBY_LOG", std::env::var("CUBBY_LOG").unwrap_or_else(|_| "info".to_owned()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("cubbyd starts")
}
