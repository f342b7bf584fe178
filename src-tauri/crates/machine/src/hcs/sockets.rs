//! AF_HYPERV: sockets whose address is a machine and a service id.
//!
//! Source: "Make your own integration services"; hvsocket.h.

use std::io;
use std::os::windows::io::{AsRawSocket, FromRawSocket, OwnedSocket, RawSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::Networking::WinSock::{
    AF_HYPERV, INVALID_SOCKET, SOCK_STREAM, SOCKADDR, SOCKET, SOCKET_ERROR, WSA_FLAG_NO_HANDLE_INHERIT,
    WSA_FLAG_OVERLAPPED, WSADATA, WSAGetLastError, WSASocketW, WSAStartup, accept, bind, closesocket, connect, listen,
    setsockopt,
};
use windows_sys::Win32::System::Hypervisor::{HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT, SOCKADDR_HV};
use windows_sys::core::GUID;

use super::service_id;
use crate::hypervisor::BoxFuture;
use crate::native::carrier::{Accepted, Sockets, Stream};

/// Milliseconds until an unanswered connect fails.
const CONNECT_TIMEOUT_MS: u32 = 10_000;
const BACKLOG: i32 = 128;
/// Source: winsock2.h, MAKEWORD(2, 2).
const VERSION: u16 = 0x0202;

pub struct HvSockets {
    pub machine: GUID,
}

fn last_error() -> io::Error {
    // SAFETY: no preconditions.
    io::Error::from_raw_os_error(unsafe { WSAGetLastError() })
}

fn socket() -> io::Result<OwnedSocket> {
    // Counted by the system; std does the same for its own sockets. Never undone: the process uses sockets all its life.
    let mut data = WSADATA::default();
    // SAFETY: room for the result.
    let started = unsafe { WSAStartup(VERSION, &mut data) };
    if started != 0 {
        return Err(io::Error::from_raw_os_error(started));
    }
    // SAFETY: no protocol information is passed; the result is checked before it is owned.
    unsafe {
        let socket = WSASocketW(
            i32::from(AF_HYPERV),
            SOCK_STREAM,
            HV_PROTOCOL_RAW as i32,
            std::ptr::null(),
            0,
            WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT,
        );
        match socket {
            INVALID_SOCKET => Err(last_error()),
            socket => Ok(OwnedSocket::from_raw_socket(socket as RawSocket)),
        }
    }
}

fn address(machine: GUID, port: u32) -> SOCKADDR_HV {
    let service = GUID::from_u128(service_id::of_port(port));
    SOCKADDR_HV { Family: AF_HYPERV, Reserved: 0, VmId: machine, ServiceId: service }
}

fn checked(result: i32) -> io::Result<()> {
    if result == SOCKET_ERROR { Err(last_error()) } else { Ok(()) }
}

/// Wants to be called within the runtime.
fn stream(socket: OwnedSocket) -> io::Result<Stream> {
    let socket = std::net::TcpStream::from(socket);
    socket.set_nonblocking(true)?;
    Stream::from_std(socket)
}

/// Blocking.
fn connected(machine: GUID, port: u32) -> io::Result<OwnedSocket> {
    let socket = socket()?;
    let raw = socket.as_raw_socket() as SOCKET;
    let address = address(machine, port);
    let timeout = CONNECT_TIMEOUT_MS.to_ne_bytes();
    // SAFETY: an open socket; option and address are passed with their sizes.
    unsafe {
        checked(setsockopt(
            raw,
            HV_PROTOCOL_RAW as i32,
            HVSOCKET_CONNECT_TIMEOUT as i32,
            timeout.as_ptr(),
            timeout.len() as i32,
        ))?;
        checked(connect(raw, (&raw const address).cast::<SOCKADDR>(), size_of::<SOCKADDR_HV>() as i32))?;
    }
    Ok(socket)
}

impl Sockets for HvSockets {
    fn connect(&self, port: u32) -> BoxFuture<'static, io::Result<Stream>> {
        let machine = self.machine;
        Box::pin(async move {
            let connected = tokio::task::spawn_blocking(move || connected(machine, port));
            stream(connected.await.map_err(io::Error::other)??)
        })
    }

    /// Why a thread: the runtime's own listeners know addresses of the internet only.
    fn open(&self, port: u32, accepted: Accepted) -> io::Result<Box<dyn Send>> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let listener = socket()?;
        let raw = listener.as_raw_socket() as SOCKET;
        // Only this machine's guest, not every guest of the computer.
        let address = address(self.machine, port);
        // SAFETY: an open socket; the address is passed with its size.
        unsafe {
            checked(bind(raw, (&raw const address).cast::<SOCKADDR>(), size_of::<SOCKADDR_HV>() as i32))?;
            checked(listen(raw, BACKLOG))?;
        }
        let closed = Arc::new(AtomicBool::new(false));
        let open = Open { socket: raw, closed: closed.clone() };
        // Closed by `Open`, which is how the thread learns of the end.
        std::mem::forget(listener);
        std::thread::Builder::new()
            .name(format!("hv-accept-{port}"))
            .spawn(move || accept_all(raw, &closed, &accepted, &runtime))?;
        Ok(Box::new(open))
    }
}

fn accept_all(listener: SOCKET, closed: &AtomicBool, accepted: &Accepted, runtime: &tokio::runtime::Handle) {
    loop {
        // SAFETY: the listener is open, or closed by `Open`, which makes this fail; nobody wants the peer's address.
        let socket = unsafe { accept(listener, std::ptr::null_mut(), std::ptr::null_mut()) };
        if closed.load(Ordering::Acquire) {
            return;
        }
        if socket == INVALID_SOCKET {
            tracing::warn!(err = %last_error(), "could not accept a connection of the guest");
            return;
        }
        // SAFETY: a new socket that nobody else owns.
        let socket = unsafe { OwnedSocket::from_raw_socket(socket as RawSocket) };
        let _within = runtime.enter();
        match stream(socket) {
            // What nobody takes is closed.
            Ok(stream) => _ = accepted.give(stream),
            Err(err) => tracing::warn!(%err, "a connection of the guest is lost"),
        }
    }
}

struct Open {
    socket: SOCKET,
    closed: Arc<AtomicBool>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // SAFETY: ours, closed once. A thread that waits in `accept` is woken by it and does not use it again.
        unsafe { closesocket(self.socket) };
    }
}
