//! An engine behind SSH, as a socket of this computer.
//!
//! ```text
//!  client ──▶ socket of ours ──one connection, one──▶ ssh … docker system dial-stdio      ssh://user@host:port
//!                                                └──▶ ssh -L … cat: the socket over there  ssh://user@host/path/to/docker.sock
//! ```
//!
//! The system's own `ssh` does it: its configuration, keys, agents and known hosts hold, and nothing of them is seen here. It never
//! asks anything (`BatchMode`): a host that is not known, or a key with a passphrase and no agent, is an error that says so.
//! Connections after the first share its login (`ControlMaster`), which ends twenty seconds after the last. A way that was cut ends
//! eight seconds later: ssh asks every two, three times (`ServerAliveInterval`).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::local::{self, Stream};
use crate::relay;
use crate::schema::AppError;
use crate::socket::Socket;

/// Of what ssh says when it fails.
const MAX_WORDS_BYTES: u64 = 4096;
const COMPLAINS_WITHIN: Duration = Duration::from_secs(2);
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// How often a forwarded socket is tried while ssh makes it.
const TRY_EVERY: Duration = Duration::from_millis(50);
/// Room that ssh needs behind the path of its control socket: a hash, and a suffix while it is made. Source: sshd's `muxserver_listen`.
const CONTROL_SUFFIX: usize = 40 + 1 + 17;
/// Source: unix(7), `sun_path`.
const MAX_SOCKET_PATH: usize = 108;

/// Where to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// Of the engine's socket over there; absent: wherever its docker CLI finds it.
    socket: Option<String>,
}

impl Target {
    /// `ssh://[user@]host[:port][/path]`. `None`: it is none, or one that ssh might take for an option.
    pub fn parse(address: &str) -> Option<Self> {
        let rest = address.strip_prefix("ssh://")?;
        let (login, path) = rest.split_once('/').map_or((rest, ""), |(login, path)| (login, path));
        let (user, place) = login.rsplit_once('@').map_or((None, login), |(user, place)| (Some(user), place));
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some(""))?)
            }
            None => place.split_once(':').unwrap_or((place, "")),
        };
        let port = if port.is_empty() { None } else { Some(port.parse().ok()?) };
        let sane = |text: &str, more: &[u8]| {
            let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte) || more.contains(&byte);
            !text.is_empty() && !text.starts_with('-') && text.bytes().all(fine)
        };
        // Paths go through a shell over there, and through ssh's own syntax for forwarding.
        let path_is_sane = path.is_empty() || sane(path, b"/+~");
        let user_is_sane = user.is_none_or(|user| sane(user, b"\\+"));
        (sane(host, b":%") && user_is_sane && path_is_sane).then(|| Self {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            socket: (!path.is_empty()).then(|| format!("/{path}")),
        })
    }

    pub fn address(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("ssh://{user}{host}{port}{}", self.socket.as_deref().unwrap_or_default())
    }

    /// `ssh` with everything but what it shall do there.
    fn ssh(&self, directory: &Path) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]);
        ssh.args(["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=3", "-o", "ClearAllForwardings=no"]);
        let control = directory.join("ssh-");
        if cfg!(unix) && control.as_os_str().len() + CONTROL_SUFFIX < MAX_SOCKET_PATH && self.socket.is_none() {
            ssh.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=20", "-o"]);
            ssh.arg(format!("ControlPath={}%C", control.display()));
        }
        if let Some(port) = self.port {
            ssh.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &self.user {
            ssh.args(["-l", user]);
        }
        ssh.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        crate::local::windowless(ssh.as_std_mut());
        ssh
    }
}

/// The socket of ours; it and every ssh behind it end when this is dropped.
#[derive(Debug)]
pub struct Tunnel {
    target: Target,
    path: PathBuf,
    said: watch::Sender<String>,
    task: AbortHandle,
}

impl Tunnel {
    /// Opens the socket in `directory`, which is private; ssh starts with the first connection to it.
    pub fn open(target: Target, directory: &Path) -> Result<Self, AppError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("engine-{}-{number}", std::process::id());
        // Pipes have no directories.
        let path = match cfg!(windows) {
            true => PathBuf::from(format!(r"\\.\pipe\cubby-{name}")),
            false => directory.join(name + ".sock"),
        };
        let socket = Socket::bind(&path)
            .map_err(|err| AppError::failed("The way to the engine cannot be opened", crate::hardware::chain(&err)))?;
        let said = watch::channel(String::new()).0;
        let way = Way { target: target.clone(), directory: directory.to_owned(), said: said.clone() };
        let task = tokio::spawn(serve(socket, way)).abort_handle();
        Ok(Self { target, path, said, task })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What ssh said when it failed last, which may be a moment after its connection ended; forgotten once it is asked.
    pub async fn complaint(&self) -> Option<String> {
        let mut said = self.said.subscribe();
        // Why a value: what `wait_for` gives keeps everybody from writing.
        let spoke = tokio::time::timeout(COMPLAINS_WITHIN, said.wait_for(|words| !words.is_empty())).await.is_ok();
        spoke.then(|| self.said.send_replace(String::new())).filter(|words| !words.is_empty())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Way {
    target: Target,
    directory: PathBuf,
    said: watch::Sender<String>,
}

async fn serve(socket: Socket, way: Way) {
    let way = Arc::new(way);
    // Ends with this task, and kills what it holds.
    let mut connections = JoinSet::new();
    let forward = Arc::new(tokio::sync::Mutex::new(None));
    loop {
        let Ok((client, _)) = socket.listener.accept().await else { return };
        while connections.try_join_next().is_some() {}
        let (way, forward) = (way.clone(), forward.clone());
        connections.spawn(async move {
            let done = match &way.target.socket {
                None => way.dial(client).await,
                Some(there) => way.through(there, client, &forward).await,
            };
            if let Err(err) = done {
                way.say(&err.to_string());
                tracing::info!(%err, address = %way.target.address(), "a connection over ssh ended");
            }
        });
    }
}

impl Way {
    fn say(&self, words: &str) {
        let words = words.trim();
        if !words.is_empty() {
            self.said.send_replace(words.to_owned());
        }
    }

    /// One connection through a process of its own, whose standard streams it is.
    async fn dial(&self, client: Stream) -> std::io::Result<()> {
        let mut ssh = self.target.ssh(&self.directory);
        ssh.arg("--").arg(&self.target.host).args(["docker", "system", "dial-stdio"]);
        let mut child = ssh.spawn().map_err(no_ssh)?;
        let (Some(out), Some(into), Some(errors)) = (child.stdout.take(), child.stdin.take(), child.stderr.take())
        else {
            return Err(std::io::Error::other("ssh has no standard streams"));
        };
        let mut words = String::new();
        let mut errors = errors.take(MAX_WORDS_BYTES);
        let relayed = relay::relay_client(client, tokio::io::join(out, into));
        // Both: an ssh that fails says why when its output ends.
        let (relayed, _) = tokio::join!(relayed, errors.read_to_string(&mut words));
        let status = child.wait().await?;
        if !status.success() {
            self.say(&words);
        }
        relayed
    }

    /// Through the one process that forwards the socket over there, started when there is none.
    async fn through(
        &self,
        there: &str,
        client: Stream,
        forward: &tokio::sync::Mutex<Option<Forward>>,
    ) -> std::io::Result<()> {
        let far = {
            let mut forward = forward.lock().await;
            let running = forward.as_mut().is_some_and(|forward| matches!(forward.child.try_wait(), Ok(None)));
            if !running {
                *forward = Some(self.forward(there).await?);
            }
            let Some(forward) = forward.as_ref() else { return Ok(()) };
            local::connect(&forward.path).await?
        };
        relay::relay_client(client, far).await
    }

    async fn forward(&self, there: &str) -> std::io::Result<Forward> {
        let path = self.directory.join(format!("forward-{}-{:08x}.sock", std::process::id(), fastrand::u32(..)));
        let mut ssh = self.target.ssh(&self.directory);
        ssh.args(["-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindMask=0177"]);
        ssh.arg("-L").arg(format!("{}:{there}", path.display())).arg("--").arg(&self.target.host);
        // Why not -N: the command over there ends with our end of the pipe, and ssh with it, however this process ends.
        ssh.arg("cat").stdout(Stdio::null());
        let mut forward = Forward { child: ssh.spawn().map_err(no_ssh)?, path };
        let errors = forward.child.stderr.take();
        let latest = tokio::time::Instant::now() + CONNECT_WITHIN;
        while !forward.path.exists() {
            if forward.child.try_wait()?.is_some() || tokio::time::Instant::now() > latest {
                let mut words = String::new();
                forward.child.start_kill().ok();
                if let Some(errors) = errors {
                    errors.take(MAX_WORDS_BYTES).read_to_string(&mut words).await?;
                }
                return Err(std::io::Error::other(words.trim().to_owned()));
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        // It may go on to speak; nobody who does not read must make it wait.
        if let Some(mut errors) = errors {
            tokio::spawn(async move { tokio::io::copy(&mut errors, &mut tokio::io::sink()).await });
        }
        Ok(forward)
    }
}

/// The process that forwards, and the socket it made.
struct Forward {
    child: Child,
    path: PathBuf,
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn no_ssh(err: std::io::Error) -> std::io::Error {
    match err.kind() {
        std::io::ErrorKind::NotFound => std::io::Error::other("there is no ssh on this computer"),
        _ => err,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for address in
            ["ssh://box", "ssh://ada@box.example:2222", "ssh://ada@[fe80::1%eth0]:22", "ssh://box/run/docker.sock"]
        {
            assert_eq!(Target::parse(address).map(|target| target.address()).as_deref(), Some(address));
        }
    }

    #[test]
    fn what_ssh_or_a_shell_could_take_for_something_else_is_no_address() {
        for address in [
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://-l@box",
            "ssh://box;x",
            "ssh://box:99999",
            "ssh://box/run/a b.sock",
            "ssh://box/run:/x",
            "ssh://box/$(x)",
            "ssh://a b@box",
            "tcp://box",
        ] {
            assert_eq!(Target::parse(address), None, "{address}");
        }
    }
}
