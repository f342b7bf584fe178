//! Named pipes of this user's alone, for the host's own protocols and the Docker API.

use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle};
use std::path::Path;
use std::ptr;

use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, PipeMode, ServerOptions};
use windows_sys::Win32::Foundation::{ERROR_BROKEN_PIPE, ERROR_PIPE_NOT_CONNECTED, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};
use windows_sys::Win32::System::Pipes::PeekNamedPipe;

/// Everything for the system, administrators and the owner; nothing for anybody else.
/// Source: "Security Descriptor String Format"; OW is the rights of the object's owner.
const ACCESS: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)";

/// An instance of the pipe; `first` fails when somebody else has the name.
pub fn create(name: &Path, first: bool) -> io::Result<NamedPipeServer> {
    let text: Vec<u16> = ACCESS.encode_utf16().chain([0]).collect();
    let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
    // SAFETY: the text ends with a zero; the descriptor is freed below.
    let made = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &mut descriptor,
            ptr::null_mut(),
        )
    };
    if made == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut attributes = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor,
        bInheritHandle: 0,
    };
    let mut options = ServerOptions::new();
    // Why messages: an empty one is how Docker's clients tell the end of their input. Readers see bytes all the same.
    options.first_pipe_instance(first).reject_remote_clients(true).pipe_mode(PipeMode::Message);
    // SAFETY: the attributes and the descriptor in them live until the call returns.
    let pipe = unsafe { options.create_with_security_attributes_raw(name, ptr::from_mut(&mut attributes).cast()) };
    // SAFETY: allocated by the conversion above, freed once.
    unsafe { LocalFree(descriptor) };
    pipe
}

pub fn open(name: &Path) -> io::Result<NamedPipeClient> {
    ClientOptions::new().pipe_mode(PipeMode::Message).open(name)
}

/// Whether the other end is closed.
pub fn is_broken(pipe: BorrowedHandle<'_>) -> bool {
    // SAFETY: a pipe's handle, and no buffers.
    let peeked = unsafe {
        PeekNamedPipe(pipe.as_raw_handle(), ptr::null_mut(), 0, ptr::null_mut(), ptr::null_mut(), ptr::null_mut())
    };
    peeked == 0
        && io::Error::last_os_error()
            .raw_os_error()
            .is_some_and(|code| [ERROR_BROKEN_PIPE, ERROR_PIPE_NOT_CONNECTED].contains(&(code as u32)))
}
