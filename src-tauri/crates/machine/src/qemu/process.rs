//! A QEMU process that cannot outlive us.
//!
//! The kernel sends the death signal when the *thread* that forked the child ends, so the child is forked and awaited
//! by a thread of its own, which lives exactly as long as the child.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::sync::watch;

/// Words of QEMU's that are kept for error messages.
const STDERR_BYTES: usize = 4096;

/// A running QEMU. Dropping it kills it.
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    exit: watch::Receiver<Option<ExitStatus>>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Process {
    /// Starts `command` with `inherited` open in it under the same number. `stdout` gets its standard output on a
    /// thread of its own and may block.
    pub fn spawn(
        mut command: Command,
        inherited: Option<OwnedFd>,
        stdout: impl FnOnce(ChildStdout) + Send + 'static,
    ) -> io::Result<Process> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C in a terminal is for us: we then stop the machine in order.
        command.process_group(0);
        let parent = rustix::process::getpid();
        let raw = inherited.as_ref().map(AsRawFd::as_raw_fd);
        // SAFETY: the closure runs between fork and exec and calls only prctl, getppid and fcntl, all of them
        // async-signal-safe; it allocates nothing.
        unsafe {
            command.pre_exec(move || prepare_child(parent, raw));
        }
        let (started, start) = mpsc::channel();
        let (ended, exit) = watch::channel(None);
        let said = Arc::new(Mutex::new(Vec::new()));
        let tail = said.clone();
        std::thread::Builder::new().name("qemu".into()).spawn(move || {
            let spawned = command.spawn();
            drop((inherited, command));
            match spawned {
                Ok(child) => attend(child, &started, &ended, stdout, tail),
                Err(err) => drop(started.send(Err(err))),
            }
        })?;
        let (pid, pidfd) = start.recv().map_err(|_| io::Error::other("the starting thread ended"))??;
        Ok(Process { pid, pidfd, exit, said })
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    pub fn kill(&self) {
        // An error means that it is dead already.
        let _ = rustix::process::pidfd_send_signal(self.pidfd.as_fd(), Signal::KILL);
    }

    /// Takes all processor time away from QEMU, or gives it back.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        Ok(rustix::process::pidfd_send_signal(self.pidfd.as_fd(), signal)?)
    }

    /// Waits for the end. May be cancelled and called again.
    pub async fn wait(&mut self) -> ExitStatus {
        match self.exit.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_default(),
            // The waiting thread never ends without a status; say "failed" should it ever.
            Err(_) => ExitStatus::from_raw(1 << 8),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.exit.borrow().is_some()
    }

    /// The last of what QEMU wrote to standard error.
    pub fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.kill();
        }
    }
}

/// Sees `child` through to its end.
fn attend(
    mut child: Child,
    started: &mpsc::Sender<io::Result<(Pid, OwnedFd)>>,
    ended: &watch::Sender<Option<ExitStatus>>,
    stdout: impl FnOnce(ChildStdout) + Send + 'static,
    tail: Arc<Mutex<Vec<u8>>>,
) {
    if let Some(out) = child.stdout.take() {
        in_background("qemu-console", move || stdout(out));
    }
    let (all_heard, heard) = mpsc::channel::<()>();
    if let Some(err) = child.stderr.take() {
        in_background("qemu-stderr", move || {
            keep_tail(err, &tail);
            drop(all_heard);
        });
    }
    // Why before `wait`: until then the child stays, dead or alive, so its number cannot mean another process.
    let _ = started.send(handle(child.id()));
    let status = child.wait().unwrap_or_else(|_| ExitStatus::from_raw(1 << 8));
    // Its last words are in the pipe; a descendant that keeps the pipe open must not hold us up.
    let _ = heard.recv_timeout(Duration::from_millis(200));
    ended.send_replace(Some(status));
}

/// A thread that cannot be had costs the text, not the machine: the pipe is closed and QEMU goes on.
fn in_background(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(err) = std::thread::Builder::new().name(name.into()).spawn(work) {
        tracing::warn!(%err, name, "no thread");
    }
}

fn handle(id: u32) -> io::Result<(Pid, OwnedFd)> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no process id"))?;
    Ok((pid, rustix::process::pidfd_open(pid, PidfdFlags::empty())?))
}

fn prepare_child(parent: Pid, inherited: Option<RawFd>) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        // The parent died before the signal was set.
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    if let Some(fd) = inherited {
        // SAFETY: the parent holds this descriptor open until after the fork.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
    }
    Ok(())
}

fn keep_tail(mut from: impl Read, tail: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 {
            return;
        }
        tracing::debug!(text = %String::from_utf8_lossy(&buffer[..n]).trim_end(), "qemu says");
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&buffer[..n]);
        let excess = tail.len().saturating_sub(STDERR_BYTES);
        tail.drain(..excess);
    }
}
