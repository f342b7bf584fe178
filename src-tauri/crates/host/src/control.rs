//! The host's side of the control protocol: figures, clock, power.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cubby_wire::control::{Figures, Reply, Request};
use cubby_wire::{PROTOCOL_VERSION, frame, ports};

use crate::link::{BoxStream, Link};

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("the guest's control port cannot be reached")]
    Dial(#[source] std::io::Error),
    #[error("the guest's control stream broke")]
    Frame(#[from] frame::FrameError),
    #[error("the guest hung up")]
    HungUp,
    #[error("the guest did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the guest speaks protocol {0}, this Cubby {PROTOCOL_VERSION}")]
    Version(u32),
    #[error("{0}")]
    Refused(String),
    #[error("the guest answered something else than was asked")]
    Unexpected,
}

/// One conversation. After an error it is not to be used any more.
pub struct Control {
    stream: BoxStream,
    patience: Duration,
    pub guest_version: String,
}

impl Control {
    /// `patience` bounds this and every later request.
    pub async fn connect(link: &Link, patience: Duration) -> Result<Self, ControlError> {
        let dialled = tokio::time::timeout(patience, link.dial(ports::CONTROL)).await;
        let stream = dialled.map_err(|_| ControlError::Timeout(patience))?.map_err(ControlError::Dial)?;
        let mut control = Self { stream, patience, guest_version: String::new() };
        match control.ask(&Request::Hello { protocol: PROTOCOL_VERSION }).await? {
            Reply::Hello { protocol, guest_version } if protocol == PROTOCOL_VERSION => {
                control.guest_version = guest_version.chars().take(64).collect();
                Ok(control)
            }
            Reply::Hello { protocol, .. } => Err(ControlError::Version(protocol)),
            _ => Err(ControlError::Unexpected),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, ControlError> {
        let asked = async {
            frame::write(&mut self.stream, request).await?;
            frame::read(&mut self.stream).await?.ok_or(ControlError::HungUp)
        };
        match tokio::time::timeout(self.patience, asked).await {
            Err(_) => Err(ControlError::Timeout(self.patience)),
            Ok(Ok(Reply::Failed { reason })) => Err(ControlError::Refused(reason.chars().take(1000).collect())),
            Ok(reply) => reply,
        }
    }

    async fn done(&mut self, request: &Request) -> Result<(), ControlError> {
        match self.ask(request).await? {
            Reply::Done => Ok(()),
            _ => Err(ControlError::Unexpected),
        }
    }

    pub async fn figures(&mut self) -> Result<Figures, ControlError> {
        match self.ask(&Request::Figures).await? {
            Reply::Figures(figures) => Ok(figures),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Gives the guest the host's time.
    pub async fn set_clock(&mut self) -> Result<(), ControlError> {
        let unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        self.done(&Request::SetClock { unix_ns }).await
    }

    /// Asks the guest to stop its containers and power off; returns when it said that it will.
    pub async fn shutdown(&mut self, stop_timeout: Duration) -> Result<(), ControlError> {
        self.done(&Request::Shutdown { stop_timeout_s: stop_timeout.as_secs() as u32 }).await
    }

    /// Asks the guest to drop its caches and hand free memory back.
    pub async fn give_back(&mut self) -> Result<(), ControlError> {
        self.done(&Request::GiveBack).await
    }

    pub async fn trim_disk(&mut self) -> Result<(), ControlError> {
        self.done(&Request::TrimDisk).await
    }
}
