//! The boot stream to the host: stages out, nothing in. Never blocks pid 1.
//!
//! ```text
//!  Closed ──open──▶ Connecting ──writable──▶ Open ──hang-up──▶ Closed, opened again after a pause that doubles
//!     ▲                 └──refused──▶ Closed          a host that comes back is told Hello and where we are
//! ```
//!
//! Without a vsock device the link is closed for good. What the host must know is bounded: Hello, and the messages since the
//! last one that makes the earlier ones history.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use cubby_wire::boot::{BootMessage, Stage};
use cubby_wire::{frame, ports};
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, VsockAddr, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the last words may take before the power goes.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum State {
    Closed { again_at: Option<Instant> },
    Connecting(OwnedFd),
    Open(OwnedFd),
}

#[derive(Debug)]
pub struct HostLink {
    state: State,
    pause: Duration,
    /// What a host that connects now has to be told.
    story: Vec<BootMessage>,
    /// Bytes of the story that this connection has not taken yet.
    unsent: Vec<u8>,
}

impl Default for HostLink {
    fn default() -> Self {
        HostLink { state: State::Closed { again_at: None }, pause: FIRST_PAUSE, story: Vec::new(), unsent: Vec::new() }
    }
}

impl HostLink {
    /// Starts to connect. A guest without vsock stays closed and is as good.
    pub fn open(&mut self) {
        self.unsent = self.story.iter().filter_map(|message| frame::encode(message).ok()).flatten().collect();
        match connect() {
            Ok(socket) => self.state = State::Connecting(socket),
            Err(Errno::EAFNOSUPPORT | Errno::ENODEV) => self.state = State::Closed { again_at: None },
            Err(_) => self.close(),
        }
        self.flush();
    }

    /// Tells the host, now or when it listens again.
    pub fn send(&mut self, message: BootMessage) {
        if !matches!(self.state, State::Closed { .. }) {
            self.unsent.extend(frame::encode(&message).unwrap_or_default());
        }
        remember(&mut self.story, message);
        self.flush();
    }

    /// For the poll loop: what to wait for, if anything.
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.state {
            State::Closed { .. } => None,
            State::Connecting(socket) => Some((socket.as_fd(), PollFlags::OUT)),
            State::Open(socket) if self.unsent.is_empty() => Some((socket.as_fd(), PollFlags::IN)),
            State::Open(socket) => Some((socket.as_fd(), PollFlags::IN | PollFlags::OUT)),
        }
    }

    /// When [`HostLink::tick`] wants to be called at the latest.
    pub fn due(&self) -> Option<Instant> {
        match self.state {
            State::Closed { again_at } => again_at,
            _ => None,
        }
    }

    /// The descriptor is ready, or time has passed.
    pub fn tick(&mut self) {
        match &self.state {
            State::Closed { again_at: Some(at) } if *at <= Instant::now() => self.open(),
            State::Closed { .. } => {}
            State::Open(socket) if hung_up(socket.as_fd()) => self.close(),
            _ => self.flush(),
        }
    }

    /// Waits a moment for the last words to leave.
    pub fn drain(&mut self) {
        let give_up = Instant::now() + LAST_WORDS;
        while !self.unsent.is_empty() {
            let Some((fd, _)) = self.interest() else { return };
            let left = give_up.saturating_duration_since(Instant::now());
            let Ok(timeout) = Timespec::try_from(left) else { return };
            if left.is_zero() || poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], Some(&timeout)).is_err() {
                return;
            }
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let State::Connecting(socket) = &self.state {
            match connected(socket.as_fd()) {
                Ok(false) => return,
                Ok(true) => {
                    self.pause = FIRST_PAUSE;
                    if let State::Connecting(socket) =
                        std::mem::replace(&mut self.state, State::Closed { again_at: None })
                    {
                        self.state = State::Open(socket);
                    }
                }
                Err(_) => return self.close(),
            }
        }
        while let (State::Open(socket), false) = (&self.state, self.unsent.is_empty()) {
            match rustix::net::send(socket, &self.unsent, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => return self.close(),
            }
        }
    }

    fn close(&mut self) {
        self.unsent.clear();
        self.state = State::Closed { again_at: Some(Instant::now() + self.pause) };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Keeps the story short: Hello, the stages of this boot, and of the engine's lives only the current one.
fn remember(story: &mut Vec<BootMessage>, message: BootMessage) {
    // News of the moment: a host that connects later looks at the clock anyway.
    if message == BootMessage::ClockStepped {
        return;
    }
    if matches!(message, BootMessage::EngineExited { .. }) {
        story.retain(|old| match old {
            BootMessage::Hello { .. } => true,
            BootMessage::Stage { stage, .. } => *stage < Stage::Engine,
            _ => false,
        });
    }
    story.push(message);
}

fn connect() -> Result<OwnedFd, Errno> {
    let socket =
        socket::socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    match socket::connect(socket.as_raw_fd(), &VsockAddr::new(ports::HOST_CID, ports::BOOT)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(err) => Err(err),
    }
}

/// Whether a started connection stands; an error if it was refused.
fn connected(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [PollFd::new(&socket, PollFlags::OUT)];
    if poll(&mut fds, Some(&Timespec::default()))? == 0 {
        return Ok(false);
    }
    match socket::getsockopt(&socket, sockopt::SocketError)? {
        0 => Ok(true),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// The host says nothing on this stream, so anything readable is its end (or noise, which ends it too).
fn hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(ready) if ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(stage: Stage) -> BootMessage {
        BootMessage::Stage { stage, clock_us: 1 }
    }

    #[test]
    fn the_story_does_not_grow_with_the_engine_s_lives() {
        let mut story = Vec::new();
        let hello = BootMessage::Hello { protocol: 1, guest_version: "1".into(), kernel: "6".into() };
        for message in [hello, stage(Stage::Init), stage(Stage::Disk), stage(Stage::Engine), stage(Stage::Ready)] {
            remember(&mut story, message);
        }
        for _ in 0..100 {
            remember(&mut story, BootMessage::EngineExited { reason: "signal 9".into() });
            remember(&mut story, stage(Stage::Engine));
            remember(&mut story, BootMessage::ClockStepped);
        }
        assert_eq!(story.len(), 5);
        assert_eq!(story.last(), Some(&stage(Stage::Engine)));
        assert!(!story.contains(&stage(Stage::Ready)), "a dead engine is not ready");
    }

    #[test]
    fn a_host_that_hears_late_gets_the_whole_story_and_a_dead_one_is_noticed() {
        let (guest, mut host) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut link = HostLink { state: State::Connecting(guest.into()), ..HostLink::default() };
        link.send(stage(Stage::Init));
        link.send(stage(Stage::Disk));
        assert_eq!(frame::read_blocking::<BootMessage>(&mut host).unwrap(), Some(stage(Stage::Init)));
        assert_eq!(frame::read_blocking::<BootMessage>(&mut host).unwrap(), Some(stage(Stage::Disk)));
        drop(host);
        link.tick();
        assert!(link.interest().is_none());
        assert!(link.due().is_some(), "it tries again");
    }
}
