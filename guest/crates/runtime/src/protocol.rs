//! What engine and keeper say to each other, and a starting child to the keeper.
//!
//! ```text
//! engine ── Request{id, Spawn}  + fds ─▶ keeper      keeper ── Reply::Spawned{id} + pidfd, stdio ─▶ engine
//!        ── Request{id, Adopt}       ─▶              keeper ── Reply::Kept{id} + fds … Done{id}  ─▶
//!        ── Request{id, Release}     ─▶              keeper ── Reply::Exited (whenever)          ─▶
//! ```
//!
//! Both ends are the same binary or one release apart at most (an engine that took over a running keeper): fields are
//! added, never changed, and unknown ones are ignored.
//!
//! A message is JSON, and after it opaque blobs (the caller's notes, the seccomp program), each with its length before it.

use std::io;
use std::os::fd::OwnedFd;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::packet::Packet;
use crate::plan::Plan;
use crate::{ExitStatus, SpawnError};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub id: u64,
    pub verb: Verb,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Verb {
    /// Descriptors: rootfs, joined namespaces in the plan's order, detached mounts. Blobs: notes, seccomp program (may be empty).
    Spawn(Box<Plan>),
    Adopt,
    Release {
        key: String,
        /// End it first, if it still runs.
        #[serde(default)]
        kill: bool,
    },
    CloseStdin {
        key: String,
    },
    Quit,
}

/// Which descriptors come with a [`Reply`], in this order.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Fds {
    pub pidfd: bool,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub pty: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Spawned {
        id: u64,
        pid: i32,
        fds: Fds,
    },
    Failed {
        id: u64,
        failure: Failure,
    },
    /// Blob: notes.
    Kept {
        id: u64,
        key: String,
        pid: i32,
        fds: Fds,
        exited: Option<End>,
    },
    Done {
        id: u64,
    },
    Exited {
        key: String,
        end: End,
    },
    /// Another engine has connected; this is the last message to this one.
    TakenOver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub status: ExitStatus,
    /// Nanoseconds since 1970.
    pub at_ns: u64,
}

/// Why a process did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub kind: FailureKind,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FailureKind {
    Invalid,
    NotFound,
    NotExecutable,
    Setup,
    NotRunning,
    Exists,
}

impl Failure {
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// A failed step of the set-up: `what: errno text`.
    pub fn setup(what: impl AsRef<str>, err: impl Into<io::Error>) -> Self {
        let text = format!("{}: {}", what.as_ref(), crate::sys::errno_text(&err.into()));
        Self::new(FailureKind::Setup, text)
    }
}

impl From<Failure> for SpawnError {
    fn from(failure: Failure) -> Self {
        let text = failure.text;
        match failure.kind {
            FailureKind::Invalid => Self::Invalid(text),
            FailureKind::NotFound => Self::NotFound(text),
            FailureKind::NotExecutable => Self::NotExecutable(text),
            FailureKind::Setup => Self::Setup(text),
            FailureKind::NotRunning => Self::NotRunning(text),
            FailureKind::Exists => Self::Exists(text),
        }
    }
}

/// What a child says on its way to `execve`, over a socket that closes there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// With the terminal's master.
    Pty,
    /// Everything is set up; `execve` comes next.
    Ready,
    Failed(Failure),
}

pub(crate) fn pack<T: Serialize>(message: &T, blobs: &[&[u8]], fds: Vec<OwnedFd>) -> io::Result<Packet> {
    let json = serde_json::to_vec(message)?;
    let mut body = Vec::with_capacity(json.len() + blobs.iter().map(|b| b.len() + 4).sum::<usize>());
    for part in [json.as_slice()].iter().chain(blobs) {
        let len = u32::try_from(part.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        body.extend_from_slice(&len.to_le_bytes());
        body.extend_from_slice(part);
    }
    Packet::new(&body, fds)
}

pub(crate) fn unpack<T: DeserializeOwned>(body: &[u8]) -> io::Result<(T, Vec<Vec<u8>>)> {
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        let (part, tail) = tail.split_at_checked(len).ok_or(io::ErrorKind::InvalidData)?;
        parts.push(part);
        rest = tail;
    }
    if !rest.is_empty() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let (json, blobs) = parts.split_first().ok_or(io::ErrorKind::InvalidData)?;
    let message = serde_json::from_slice(json).map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))?;
    Ok((message, blobs.iter().map(|blob| blob.to_vec()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_bodies_are_refused() {
        let json = br#"{"id":1,"verb":"Adopt"}"#;
        let mut body = (json.len() as u32).to_le_bytes().to_vec();
        body.extend_from_slice(json);
        body.extend_from_slice(&3u32.to_le_bytes());
        body.extend_from_slice(b"abc");
        let (request, blobs): (Request, _) = unpack(&body).unwrap();
        assert_eq!(request.id, 1);
        assert_eq!(blobs, [b"abc".to_vec()]);
        for len in [0, 3, 10, body.len() - 1] {
            assert!(unpack::<Request>(&body[..len]).is_err(), "{len}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_arrives_is_an_error_at_worst(body: Vec<u8>) {
            let _ = unpack::<Request>(&body);
            let _ = unpack::<Reply>(&body);
        }

        #[test]
        fn blobs_come_out_as_they_went_in(blobs: Vec<Vec<u8>>) {
            let (a, b) = rustix::net::socketpair(
                rustix::net::AddressFamily::UNIX,
                rustix::net::SocketType::SEQPACKET,
                rustix::net::SocketFlags::CLOEXEC,
                None,
            ).unwrap();
            let slices: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
            pack(&Request { id: 7, verb: Verb::Adopt }, &slices, Vec::new()).unwrap().send(&a).unwrap();
            let (body, _) = crate::packet::receive(&b).unwrap();
            let (request, got): (Request, _) = unpack(&body).unwrap();
            proptest::prop_assert_eq!((request.id, got), (7, blobs));
        }
    }
}
