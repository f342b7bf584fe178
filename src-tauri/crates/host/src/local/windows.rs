//! The names of `super` on Windows.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::os::windows::process::CommandExt;
use std::path::Path;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bollard::{ClientVersion, Docker};
use cubby_machine::pipe;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::windows::named_pipe::{NamedPipeClient, NamedPipeServer};
use tokio::sync::Mutex;

/// Source: winerror.h: ERROR_PIPE_BUSY: every instance of the pipe has a client; the server makes another at once.
const BUSY: i32 = 231;
/// Source: winbase.h: CREATE_NO_WINDOW, which DETACHED_PROCESS would contradict, and CREATE_NEW_PROCESS_GROUP.
const NO_WINDOW: u32 = 0x0800_0000;
const NEW_GROUP: u32 = 0x0000_0200;
/// Source: winnt.h: FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE: a log that is written can be renamed.
const SHARED: u32 = 7;

/// One end of a pipe's instance.
#[derive(Debug)]
pub struct Stream {
    end: End,
    closed: bool,
}

#[derive(Debug)]
enum End {
    Server(NamedPipeServer),
    Client(NamedPipeClient),
}

macro_rules! end {
    ($stream:expr, $function:ident $(, $argument:expr)*) => {
        match &mut $stream.end {
            End::Server(pipe) => Pin::new(pipe).$function($($argument),*),
            End::Client(pipe) => Pin::new(pipe).$function($($argument),*),
        }
    };
}

impl Stream {
    /// Something that can be asked about the other end while halves of the stream are lent out.
    pub fn watch(&self) -> Watch {
        let pipe = match &self.end {
            End::Server(pipe) => pipe.as_handle(),
            End::Client(pipe) => pipe.as_handle(),
        };
        Watch(pipe.try_clone_to_owned().ok().map(Arc::new))
    }
}

/// See [`Stream::watch`].
#[derive(Clone, Debug)]
pub struct Watch(Option<Arc<OwnedHandle>>);

impl Watch {
    /// Whether the other end is gone altogether.
    pub fn is_broken(&self) -> bool {
        self.0.as_ref().is_none_or(|pipe| pipe::is_broken(pipe.as_handle()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match ready!(end!(self, poll_read, cx, buf)) {
            // The other end closed it: what a socket calls the end.
            Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            // An empty message would be the end.
            return Poll::Ready(Ok(0));
        }
        end!(self, poll_write, cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        end!(self, poll_flush, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            // Nobody may be there to be told.
            let _ = ready!(end!(self, poll_write, cx, &[]));
            self.closed = true;
        }
        end!(self, poll_flush, cx)
    }
}

/// Accepts clients of one pipe.
#[derive(Debug)]
pub struct Listener {
    name: std::path::PathBuf,
    next: Mutex<NamedPipeServer>,
}

impl Listener {
    /// Takes the name; fails when another process has it.
    pub fn bind(name: &Path) -> io::Result<Self> {
        Ok(Self { name: name.to_owned(), next: Mutex::new(pipe::create(name, true)?) })
    }

    pub async fn accept(&self) -> io::Result<(Stream, ())> {
        let mut next = self.next.lock().await;
        next.connect().await?;
        let server = std::mem::replace(&mut *next, pipe::create(&self.name, false)?);
        Ok((Stream { end: End::Server(server), closed: false }, ()))
    }
}

/// An address of this kind, as Docker's clients write it: `npipe:////./pipe/cubby_engine`.
pub fn address(name: &Path) -> String {
    format!("{SCHEME}{}", name.display().to_string().replace('\\', "/"))
}

/// Before a pipe's name.
pub const SCHEME: &str = "npipe://";

/// A client of the Docker API at `name`, which connects when it is used.
pub fn docker(name: &Path, timeout_s: u64, version: &ClientVersion) -> Result<Docker, bollard::errors::Error> {
    Docker::connect_with_named_pipe(&address(name), timeout_s, version)
}

/// Connects to what listens at `name`.
pub async fn connect(name: &Path) -> io::Result<Stream> {
    for _ in 0..100 {
        match pipe::open(name) {
            Ok(client) => return Ok(Stream { end: End::Client(client), closed: false }),
            Err(err) if err.raw_os_error() == Some(BUSY) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(err) => return Err(err),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Whether anybody listens at `name`. Blocking.
pub fn is_served(name: &Path) -> bool {
    match OpenOptions::new().read(true).write(true).open(name) {
        Ok(_) => true,
        Err(err) => err.raw_os_error() == Some(BUSY),
    }
}

/// Options for files that only their owner may read: what lies in the user's profile already is.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.share_mode(SHARED);
    options
}

/// Access lists are inherited from the directory.
pub fn as_readable_as(_path: &Path) -> OpenOptions {
    private_file()
}

/// The pipe's access list is set when it is made, and belongs to whoever made it.
pub fn openness(_name: &Path) -> io::Result<Option<String>> {
    Ok(None)
}

/// Below the user's profile every directory inherits an access list for that user alone.
pub fn make_private_dir(dir: &Path) -> io::Result<Result<(), &'static str>> {
    fs::create_dir_all(dir)?;
    Ok(if fs::symlink_metadata(dir)?.is_dir() { Ok(()) } else { Err("it is not a directory") })
}

/// Directories are named by the user's profile here.
pub fn user_id() -> u32 {
    0
}

/// Tells one file from another that took its name.
pub fn file_id(meta: &fs::Metadata) -> u64 {
    std::os::windows::fs::MetadataExt::creation_time(meta)
}

/// A program that shall outlive us and show no window.
pub fn detached(command: &mut Command) {
    command.creation_flags(NO_WINDOW | NEW_GROUP);
}

/// A program that shall show no window: those of the command line open one when an app without a console starts them.
pub fn windowless(command: &mut Command) -> &mut Command {
    command.creation_flags(NO_WINDOW)
}

/// What opens a file or an address as the desktop would. Why not `start`: that is a shell, which `&` in an address commands.
pub const OPENER: &[&str] = &["rundll32.exe", "url.dll,FileProtocolHandler"];

/// [`detached`] did it.
pub fn leave_terminal() {}

/// Windows has none worth raising.
pub fn raise_descriptor_limit() {}

/// The system's ways to ask a process to end. Listens from here on; the future tells which one came.
pub fn asked_to_end() -> io::Result<impl Future<Output = &'static str>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    let mut pause = tokio::signal::windows::ctrl_break()?;
    let mut close = tokio::signal::windows::ctrl_close()?;
    let mut logoff = tokio::signal::windows::ctrl_logoff()?;
    let mut shutdown = tokio::signal::windows::ctrl_shutdown()?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "Ctrl-C",
            _ = pause.recv() => "Ctrl-Break",
            _ = close.recv() => "the console is closed",
            _ = logoff.recv() => "the user signs out",
            _ = shutdown.recv() => "the system shuts down",
        }
    })
}

/// For bug reports: name, release and architecture of the system.
pub fn system_version() -> String {
    let said =
        windowless(Command::new("cmd").args(["/c", "ver"])).output().map(|output| output.stdout).unwrap_or_default();
    format!("{} {}", String::from_utf8_lossy(&said).trim(), std::env::consts::ARCH)
}
