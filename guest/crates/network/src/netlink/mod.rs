//! A small synchronous netlink client: what bridges, cables, addresses, routes and rules need, and no more.
//!
//! Why our own: each request is one `send` and one `recv` of some ten microseconds on the container's start path; a task
//! of an async runtime per socket would cost more than the kernel's work. A socket belongs to the network namespace it was
//! opened in, whichever thread uses it: a sandbox keeps one, so that nobody has to enter the namespace again.

mod children;
mod link;
pub(crate) mod message;
mod route;

use std::{io, os::fd::OwnedFd};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send, socket_with,
};

pub use children::{Child, ChildKind, IpvlanFlag, IpvlanMode, MacvlanMode};
pub use link::{Cable, Link, is_link_name};
use message::{ACK, DUMP, Message, NLMSG_DONE, NLMSG_ERROR, split};

/// Longest datagram the kernel sends for a dump. Source: netlink(7), `NLMSG_GOODSIZE`; 32 KiB since 3.15.
const REPLY_BYTES: usize = 32 * 1024;

/// A netlink socket in the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Links, addresses and routes.
    pub fn route() -> io::Result<Self> {
        Self::open(None)
    }

    /// nftables.
    pub fn netfilter() -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends one request and waits for the kernel's verdict.
    pub(crate) fn request(&mut self, message: Message) -> io::Result<()> {
        let sequence = self.next();
        self.send(&message.finish(sequence))?;
        self.receive(sequence, |_, _| {})
    }

    /// Asks for every object of a kind.
    pub(crate) fn dump(&mut self, kind: u16, body: &[u8], each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let sequence = self.next();
        self.send(&Message::new(kind, DUMP, body).finish(sequence))?;
        self.receive(sequence, each)
    }

    /// Asks for one object; the answer comes before the acknowledgement.
    pub(crate) fn fetch(&mut self, message: Message, each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let sequence = self.next();
        self.send(&message.finish(sequence))?;
        self.receive(sequence, each)
    }

    /// Sends several messages as one datagram, the kernel's unit of atomicity for nftables. Those with [`ACK`] are answered in
    /// order; the first refusal is the result.
    pub(crate) fn batch(&mut self, messages: Vec<(u16, Message)>) -> io::Result<()> {
        let mut datagram = Vec::with_capacity(messages.len() * 128);
        let mut expected = Vec::new();
        for (flags, message) in messages {
            let sequence = self.next();
            datagram.extend(message.finish(sequence));
            if flags & ACK != 0 {
                expected.push(sequence);
            }
        }
        self.send(&datagram)?;
        let mut result = Ok(());
        for sequence in expected {
            match self.receive(sequence, |_, _| {}) {
                Ok(()) => {}
                Err(error) if result.is_ok() => {
                    result = Err(error);
                    // Why: a refused batch is rolled back as a whole; what else is answered says nothing new.
                    break;
                }
                Err(_) => break,
            }
        }
        result
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        send(&self.socket, bytes, SendFlags::empty())?;
        Ok(())
    }

    /// Reads until the answer to `sequence` is complete. Answers to older requests are skipped.
    fn receive(&mut self, sequence: u32, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let mut buffer = [0; REPLY_BYTES];
        loop {
            let (len, _) = recv(&self.socket, &mut buffer, RecvFlags::empty())?;
            for message in split(&buffer[..len.min(REPLY_BYTES)]) {
                let message = message?;
                if message.sequence != sequence {
                    continue;
                }
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return verdict(message.payload),
                    kind => each(kind, message.payload),
                }
            }
        }
    }
}

fn verdict(payload: &[u8]) -> io::Result<()> {
    match message::word(payload, 0).map(|code| code as i32) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "netlink acknowledgement without a code")),
    }
}
