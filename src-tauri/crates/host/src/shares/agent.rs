//! The guest's agent as the host speaks to it: one frame, one answer. See `wire::files`.

use std::io;
use std::path::Path;
use std::time::Duration;

use cubby_machine::share_device::{Created, Happened, paths};
use cubby_wire::files::{Change, Kind, ToGuest, ToHost};
use cubby_wire::{PROTOCOL_VERSION, frame, ports};

use crate::link::{BoxStream, Link};

/// Between attempts to reach an agent that is not there (yet).
pub const PAUSE: Duration = Duration::from_millis(250);
/// How long the agent may take for a batch.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Agent {
    stream: BoxStream,
    /// The number of its thread in the guest.
    pub number: u32,
}

impl Agent {
    pub async fn dial(link: &Link) -> io::Result<Agent> {
        let mut stream = link.dial(ports::FILES).await?;
        match listen(&mut stream).await? {
            ToHost::Hello { protocol, agent } if protocol == PROTOCOL_VERSION => Ok(Agent { stream, number: agent }),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Returns when the agent has done it.
    pub async fn tell(&mut self, frame: ToGuest) -> io::Result<()> {
        let told = async {
            frame::write(&mut self.stream, &frame).await.map_err(io::Error::other)?;
            match listen(&mut self.stream).await? {
                ToHost::Repeated => Ok(()),
                ToHost::Hello { .. } => Err(io::ErrorKind::InvalidData.into()),
            }
        };
        tokio::time::timeout(PATIENCE, told).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Returns when the agent is gone, or speaks without being asked.
    pub async fn gone(&mut self) -> io::Result<()> {
        listen(&mut self.stream).await.map(drop)
    }
}

async fn listen(stream: &mut BoxStream) -> io::Result<ToHost> {
    let said = frame::read(stream).await.map_err(io::Error::other)?;
    said.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// `None`: a path that the protocol or the guest has no place for.
pub fn change(happened: &Happened) -> Option<Change> {
    let text = |path: &Path| paths::in_guest(path);
    Some(match happened {
        Happened::Created { path, what } => {
            let what = match what {
                Created::File => Kind::File,
                Created::Directory => Kind::Directory,
                Created::Symlink => Kind::Symlink,
            };
            Change::Created { path: text(path)?, what }
        }
        Happened::Modified { path } => Change::Modified { path: text(path)? },
        Happened::Attributes { path } => Change::Attributes { path: text(path)? },
        Happened::Written { path } => Change::Written { path: text(path)? },
        Happened::Removed { path, directory } => Change::Removed { path: text(path)?, directory: *directory },
        Happened::Moved { from, to } => Change::Moved { from: text(from)?, to: text(to)? },
    })
}
