//! Exec: more processes in a running container.
//!
//! An exec is created, then started once, then inspected. Execs live in memory: an engine that restarts knows none,
//! as with dockerd; their processes end with their container.

mod create;
mod registry;
mod start;

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) use registry::Execs;
pub use start::ExecAttach;

use crate::containers::{
    model::{Sequence, go_struct},
    streams::{DetachKeys, Pumps, Streams},
};

/// Marks execs among what the keeper keeps.
pub(crate) const META: &[u8] = b"exec";

go_struct! {
    /// `POST /containers/{id}/exec`. Source: moby `container.ExecOptions`.
    pub struct ExecOptions {
        "User" user: String,
        "Privileged" privileged: bool,
        "Tty" tty: bool,
        "ConsoleSize" console_size: Option<[u32; 2]>,
        "AttachStdin" attach_stdin: bool,
        "AttachStdout" attach_stdout: bool,
        "AttachStderr" attach_stderr: bool,
        "DetachKeys" detach_keys: String,
        "Env" env: Vec<String>,
        "WorkingDir" working_dir: String,
        "Cmd" cmd: Sequence,
    }
}

go_struct! {
    /// `POST /exec/{id}/start`.
    pub struct ExecStartOptions {
        "Detach" detach: bool,
        "Tty" tty: bool,
        "ConsoleSize" console_size: Option<[u32; 2]>,
    }
}

/// One exec, from create to long after its end.
pub struct Exec {
    pub id: String,
    pub container_id: String,
    pub options: ExecOptions,
    /// With the container's defaults filled in.
    pub(crate) user: String,
    pub(crate) working_dir: String,
    pub(crate) env: Vec<String>,
    pub(crate) detach_keys: DetachKeys,
    pub(crate) streams: Arc<Streams>,
    state: Mutex<ExecState>,
    /// True when it has ended and its exit code is known.
    ended: watch::Sender<bool>,
}

#[derive(Default)]
struct ExecState {
    running: bool,
    pid: i32,
    pidfd: Option<Arc<OwnedFd>>,
    exit_code: Option<i32>,
    pumps: Option<Pumps>,
    ended_at: Option<Instant>,
}

impl Exec {
    fn state(&self) -> MutexGuard<'_, ExecState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it has ended and its exit code can be asked for.
    pub async fn ended(&self) {
        // Why ignored: the sender lives in `self`.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn end(&self, exit_code: i32) {
        let mut state = self.state();
        state.running = false;
        state.pidfd = None;
        state.exit_code = Some(exit_code);
        state.ended_at = Some(Instant::now());
        drop(state);
        self.ended.send_replace(true);
    }

    /// Known when it has ended.
    pub fn exit_code(&self) -> Option<i32> {
        self.state().exit_code
    }

    /// Sends a signal to its process, if that runs.
    pub(crate) fn signal(&self, signal: i32) {
        let pidfd = self.state().pidfd.clone();
        if let Some(pidfd) = pidfd
            && let Err(error) = cubby_runtime::signal(&*pidfd, signal)
        {
            tracing::debug!(err = %error, "an exec took no signal; it has ended");
        }
    }

    /// The words of its command, as events show them.
    fn command(&self) -> String {
        self.options.cmd.0.join(" ")
    }

    /// `GET /exec/{id}/json`.
    pub fn inspect(&self) -> Value {
        let state = self.state();
        let words = &self.options.cmd.0;
        let mut process = json!({
            "tty": self.options.tty,
            "entrypoint": words.first(),
            "arguments": words.get(1..).unwrap_or_default(),
            "privileged": self.options.privileged,
        });
        if !self.user.is_empty() {
            process["user"] = json!(self.user);
        }
        json!({
            "ID": self.id,
            "Running": state.running,
            "ExitCode": state.exit_code,
            "ProcessConfig": process,
            "OpenStdin": self.options.attach_stdin,
            "OpenStderr": self.options.attach_stderr,
            "OpenStdout": self.options.attach_stdout,
            "CanRemove": state.exit_code.is_some(),
            "ContainerID": self.container_id,
            "DetachKeys": self.options.detach_keys,
            "Pid": state.pid,
        })
    }
}
