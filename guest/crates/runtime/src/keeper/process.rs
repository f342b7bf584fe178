//! What is kept of one process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::protocol::{End, Failure, Fds, Reply};

#[derive(Debug)]
pub(super) struct Process {
    pub key: String,
    pub meta: Vec<u8>,
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub stdio: OurEnds,
    pub stage: Stage,
    /// Forget it as soon as it ends.
    pub released: bool,
}

#[derive(Debug)]
pub(super) enum Stage {
    Starting(Start),
    Running,
    Ended(End),
}

#[derive(Debug)]
pub(super) struct Start {
    /// The request to answer, and which engine's it is.
    pub id: u64,
    pub engine: u64,
    pub sync: OwnedFd,
    pub ready: bool,
    pub failure: Option<Failure>,
}

/// Our ends of the process's stdio.
#[derive(Debug, Default)]
pub(super) struct OurEnds {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    pub pty: Option<OwnedFd>,
}

impl Process {
    /// Copies of the descriptors, to be sent.
    pub fn descriptors(&self) -> io::Result<(Fds, Vec<OwnedFd>)> {
        let mut copies = vec![self.pidfd.as_fd().try_clone_to_owned()?];
        let ends = [&self.stdio.stdin, &self.stdio.stdout, &self.stdio.stderr, &self.stdio.pty];
        for end in ends.into_iter().flatten() {
            copies.push(end.try_clone()?);
        }
        let fds = Fds {
            pidfd: true,
            stdin: self.stdio.stdin.is_some(),
            stdout: self.stdio.stdout.is_some(),
            stderr: self.stdio.stderr.is_some(),
            pty: self.stdio.pty.is_some(),
        };
        Ok((fds, copies))
    }

    /// What an adopting engine is told; nothing while the process is starting (its end will be told).
    pub fn kept(&self, id: u64) -> Option<(Reply, Vec<OwnedFd>)> {
        let exited = match &self.stage {
            Stage::Starting(_) => return None,
            Stage::Running => None,
            Stage::Ended(end) => Some(*end),
        };
        match self.descriptors() {
            Ok((fds, copies)) => {
                let reply = Reply::Kept { id, key: self.key.clone(), pid: self.pid, fds, exited };
                Some((reply, copies))
            }
            Err(err) => {
                tracing::error!(key = self.key, %err, "cannot hand a process over");
                None
            }
        }
    }
}
