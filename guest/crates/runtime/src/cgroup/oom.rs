//! News of processes killed for lack of memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::event::EventfdFlags;

/// A descriptor that wakes whoever polls it when a cgroup runs out of memory.
#[derive(Debug)]
pub enum OomEvents {
    /// v2: `memory.events`, urgent (`POLLPRI`) at every change of its counters.
    Counters(File),
    /// v1: an eventfd, readable; the file must stay open as long.
    Eventfd { event: OwnedFd, control: File },
}

impl OomEvents {
    pub(super) fn v2(dir: &Path) -> io::Result<Self> {
        let events = Self::Counters(File::open(dir.join("memory.events"))?);
        events.take()?;
        Ok(events)
    }

    /// Source: kernel, cgroup-v1/memory.rst, section 10.
    pub(super) fn v1(dir: &Path) -> io::Result<Self> {
        let control = File::open(dir.join("memory.oom_control"))?;
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let registration = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
        std::fs::write(dir.join("cgroup.event_control"), registration)?;
        Ok(Self::Eventfd { event, control })
    }

    /// Whether to poll for `POLLPRI` rather than for readability.
    pub fn is_urgent(&self) -> bool {
        matches!(self, Self::Counters(_))
    }

    /// Takes the news, so that the next wake-up is about something else.
    ///
    /// # Errors
    /// When the cgroup has gone: no more will come.
    pub fn take(&self) -> io::Result<()> {
        let mut buffer = [0; 256];
        match self {
            Self::Counters(file) => file.read_at(&mut buffer, 0).map(drop),
            Self::Eventfd { event, control } => {
                match rustix::io::read(event, &mut buffer[..8]) {
                    Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
                    Err(err) => return Err(err.into()),
                }
                // Its removal wakes, too.
                control.read_at(&mut buffer, 0).map(drop)
            }
        }
    }
}

impl AsRawFd for OomEvents {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for OomEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Counters(file) => file.as_fd(),
            Self::Eventfd { event, .. } => event.as_fd(),
        }
    }
}
