//! One message per datagram of a `SOCK_SEQPACKET` socket, with descriptors. Messages too big for a datagram travel in a
//! sealed memory file that is the last descriptor.
//!
//! First byte: 0 = the rest is the message; 1 = the message is in the memory file.

use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// Below the default socket buffer (208 KiB) with room for several messages.
const INLINE_MAX: usize = 48 * 1024;
/// No spec is this big; whoever sends more is not us.
const MESSAGE_MAX: u64 = 16 * 1024 * 1024;
/// Descriptors per message: rootfs, stdio, the namespaces there are, detached mounts. The kernel's own limit is 253.
pub(crate) const FDS_MAX: usize = 64;

/// A message ready to be sent, as often as the socket says "not now".
#[derive(Debug)]
pub(crate) struct Packet {
    inline: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Packet {
    pub fn new(body: &[u8], mut fds: Vec<OwnedFd>) -> io::Result<Self> {
        let mut inline = Vec::with_capacity(body.len().min(INLINE_MAX) + 1);
        if body.len() <= INLINE_MAX {
            inline.push(0);
            inline.extend_from_slice(body);
        } else {
            inline.push(1);
            fds.push(memory_file(body)?);
        }
        if fds.len() > FDS_MAX {
            return Err(io::Error::other("too many descriptors in one message"));
        }
        Ok(Self { inline, fds })
    }

    /// Sends it whole, or not at all (`WouldBlock`).
    pub fn send(&self, socket: impl AsFd) -> io::Result<()> {
        let fds: Vec<BorrowedFd<'_>> = self.fds.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("too many descriptors in one message"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::sendmsg(socket, &[IoSlice::new(&self.inline)], &mut control, flags)?;
        Ok(())
    }
}

/// Receives one message. `UnexpectedEof`: the other side has gone.
pub(crate) fn receive(socket: impl AsFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut buffer = vec![0; INLINE_MAX + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "truncated message"));
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        // We have no room for more descriptors. Whoever needs them will miss them; the message itself still counts.
        tracing::error!("descriptors were lost: too many open files");
    }
    buffer.truncate(received.bytes);
    match buffer[0] {
        0 => {
            buffer.remove(0);
            Ok((buffer, fds))
        }
        1 => {
            let file = fds.pop().ok_or(io::ErrorKind::InvalidData)?;
            Ok((read_memory_file(file)?, fds))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn memory_file(body: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("cubby-message", flags)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(body)?;
    file.rewind()?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file.into())
}

fn read_memory_file(fd: OwnedFd) -> io::Result<Vec<u8>> {
    let seals = rustix::fs::fcntl_get_seals(&fd)?;
    if !seals.contains(SealFlags::SHRINK | SealFlags::WRITE) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message file is not sealed"));
    }
    let mut body = Vec::new();
    std::fs::File::from(fd).take(MESSAGE_MAX).read_to_end(&mut body)?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn small_and_big_messages_keep_bytes_and_descriptors() {
        let (a, b) = pair();
        for size in [0, 1, INLINE_MAX, INLINE_MAX + 1, 3_000_000] {
            let body: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let (reader, writer) = std::io::pipe().unwrap();
            Packet::new(&body, vec![writer.into()]).unwrap().send(&a).unwrap();
            let (got, mut fds) = receive(&b).unwrap();
            assert_eq!(got, body);
            assert_eq!(fds.len(), 1);
            std::fs::File::from(fds.remove(0)).write_all(b"x").unwrap();
            let mut text = String::new();
            let mut reader = reader;
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, "x");
        }
    }

    #[test]
    fn the_end_is_told_from_silence() {
        let (a, b) = pair();
        assert_eq!(receive(&b).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(a);
        assert_eq!(receive(&b).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
