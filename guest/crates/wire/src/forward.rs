//! A connection to a published port, carried over [`crate::ports::FORWARD`].
//!
//! The host accepted a connection; it opens a stream to the guest, sends [`Dial`], reads [`Dialled`], and from then
//! on the stream is the connection's bytes, half-close included. UDP: one stream per client address, each datagram
//! preceded by its length as a little-endian `u16`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Tcp,
    Udp,
    /// Natively alone, where the kernel forwards it: nobody relays it, and it is never dialled.
    Sctp,
}

impl Protocol {
    /// Docker's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Where the guest shall connect: an address on one of its container networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dial {
    pub protocol: Protocol,
    pub address: IpAddr,
    pub port: u16,
}

/// The guest's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Dialled {
    Connected,
    /// Nothing listens, or the container is gone: the host resets the accepted connection.
    Failed {
        reason: String,
    },
}
