//! The client's side.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cubby_wire::frame::{self, FrameError};
use tokio::time::Instant;

use super::protocol::{Figures, Reply, Request, Status};
use super::spawn::{SpawnError, spawn};
use crate::dirs::Dirs;
use crate::local::{self, Stream};
use crate::schema::MachineState;

/// How long a killed daemon may take to be gone; it is its kernel's work alone.
const DYING: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("could not connect to {0}")]
    Connect(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("Cubby's background process went away")]
    Gone,
    #[error(
        "Cubby's background process said something that this version does not understand; restart it: cubby down, cubby up"
    )]
    Frame(#[source] FrameError),
    #[error("Cubby's background process answered something else than was asked; restart it: cubby down, cubby up")]
    Unexpected,
}

/// A conversation with the daemon.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
}

impl Client {
    /// `None` when no daemon runs.
    pub async fn connect(dirs: &Dirs) -> Result<Option<Self>, ClientError> {
        let path = dirs.daemon_socket();
        match local::connect(&path).await {
            Ok(stream) => Ok(Some(Self { stream })),
            // Refused: left behind by a daemon that was killed. Reset: it ended with us in its backlog.
            Err(err)
                if matches!(
                    err.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
                ) =>
            {
                Ok(None)
            }
            Err(err) => Err(ClientError::Connect(path, err)),
        }
    }

    /// The daemon that runs, or a new one. A daemon that is being killed still accepts for a moment, and still holds the
    /// lock that a new one needs: only one that answers counts.
    pub async fn connect_or_spawn(dirs: &Dirs) -> Result<Self, ClientError> {
        let give_up = Instant::now() + DYING;
        loop {
            let mut client = match Self::connect(dirs).await? {
                Some(client) => client,
                None => Self { stream: spawn(dirs).await? },
            };
            match client.status().await {
                Err(ClientError::Gone) if Instant::now() < give_up => tokio::time::sleep(AGAIN).await,
                answer => return answer.map(|_| client),
            }
        }
    }

    pub async fn status(&mut self) -> Result<Status, ClientError> {
        match self.ask(Request::Status).await? {
            Reply::Status { status } => Ok(*status),
            _ => Err(ClientError::Unexpected),
        }
    }

    pub async fn figures(&mut self) -> Result<Figures, ClientError> {
        match self.ask(Request::Figures).await? {
            Reply::Figures { figures } => Ok(*figures),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Takes seconds; the figures are those after it.
    pub async fn give_back(&mut self) -> Result<Figures, ClientError> {
        match self.ask(Request::GiveBack).await? {
            Reply::Figures { figures } => Ok(*figures),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Asks for a start; progress comes by [`Client::subscribe`] on another connection.
    pub async fn up(&mut self) -> Result<(), ClientError> {
        self.done(Request::Up).await
    }

    pub async fn restart(&mut self) -> Result<(), ClientError> {
        self.done(Request::Restart).await
    }

    /// Returns when the machine is off.
    pub async fn down(&mut self) -> Result<(), ClientError> {
        self.done(Request::Down { exit: false }).await
    }

    /// Returns when the machine is off, and the daemon gone if nobody else uses it.
    pub async fn down_and_exit(mut self) -> Result<(), ClientError> {
        self.done(Request::Down { exit: true }).await?;
        // Its end is seen as the end of the stream; one that stays for others says nothing.
        let gone = frame::read::<Reply>(&mut self.stream);
        let _ = tokio::time::timeout(Duration::from_secs(2), gone).await;
        Ok(())
    }

    pub async fn subscribe(mut self) -> Result<Subscription, ClientError> {
        frame::write(&mut self.stream, &Request::Subscribe).await.map_err(|_| ClientError::Gone)?;
        Ok(Subscription { stream: self.stream })
    }

    async fn done(&mut self, request: Request) -> Result<(), ClientError> {
        match self.ask(request).await? {
            Reply::Done => Ok(()),
            _ => Err(ClientError::Unexpected),
        }
    }

    async fn ask(&mut self, request: Request) -> Result<Reply, ClientError> {
        frame::write(&mut self.stream, &request).await.map_err(|_| ClientError::Gone)?;
        reply(&mut self.stream).await
    }
}

async fn reply(stream: &mut Stream) -> Result<Reply, ClientError> {
    match frame::read(stream).await {
        Ok(Some(reply)) => Ok(reply),
        Ok(None) | Err(FrameError::Io(_) | FrameError::Truncated) => Err(ClientError::Gone),
        Err(err) => Err(ClientError::Frame(err)),
    }
}

/// The machine's states: the present one first, then each change (in a hurry some are left out, never the last).
#[derive(Debug)]
pub struct Subscription {
    stream: Stream,
}

impl Subscription {
    /// Not to be cancelled and called again: half a frame may have been read.
    pub async fn next(&mut self) -> Result<MachineState, ClientError> {
        match reply(&mut self.stream).await? {
            Reply::State { machine } => Ok(*machine),
            _ => Err(ClientError::Unexpected),
        }
    }
}
