//! Published ports, asked for by the engine over [`crate::ports::PUBLISH`].
//!
//! One stream per running container. The engine sends one [`Publish`] with every port of the container; the host
//! opens all listeners or none and answers. The listeners live exactly as long as the stream: the container's stop,
//! an engine crash and a machine's end all close it, so no listener can be forgotten.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::forward::{Dial, Protocol};

/// One published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub protocol: Protocol,
    /// Address the host shall listen on; `0.0.0.0` and `::` mean every one.
    pub host_ip: IpAddr,
    /// First host port that will do; 0 lets the host choose.
    pub host_port: u16,
    /// Last host port that will do (a range); equal to `host_port` for a single one.
    pub host_port_end: u16,
    /// Where accepted connections go.
    pub target: Dial,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    pub container_id: String,
    pub container_name: String,
    pub ports: Vec<Port>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Published {
    /// The host port of each requested one, in the order asked.
    Open { host_ports: Vec<u16> },
    /// None was opened; `port` is the index of the one that could not be.
    Refused { port: usize, reason: String },
}
