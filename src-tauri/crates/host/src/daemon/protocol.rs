//! What clients and the daemon say to each other: [`cubby_wire::frame`]s of these types, one reply per request, in turn.
//!
//! After [`Request::Subscribe`] the daemon sends a [`Reply::State`] now and after each change, until the client hangs up.

use serde::{Deserialize, Serialize};

use crate::schema::MachineState;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    Status,
    /// Answered when the start is under way.
    Up,
    /// Answered when the machine is off. With `exit` the daemon ends, too, unless others are connected.
    Down {
        exit: bool,
    },
    Restart,
    Figures,
    /// The guest hands free memory and freed disk blocks back; answered with the figures once that shows on the host.
    GiveBack,
    Subscribe,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    Done,
    Status { status: Box<Status> },
    Figures { figures: Box<Figures> },
    State { machine: Box<MachineState> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of the daemon; differs from the client's after an upgrade until the daemon is restarted.
    pub version: String,
    pub pid: u32,
    pub machine: MachineState,
    /// Process id of the hypervisor.
    pub machine_pid: Option<u32>,
}

/// The guest's view (zero when it does not answer) and the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub cpus: u32,
    pub uptime_ms: u64,
    /// The guest's wall clock less the host's, when it was asked.
    #[serde(default)]
    pub clock_off_ms: i64,
    pub memory_total_bytes: u64,
    pub memory_used_bytes: u64,
    /// Caches of the guest's: given back once nothing runs.
    #[serde(default)]
    pub memory_reclaimable_bytes: u64,
    #[serde(default)]
    pub memory_free_bytes: u64,
    #[serde(default)]
    pub containers_running: u32,
    pub engine_resident_bytes: u64,
    pub init_resident_bytes: u64,
    pub disk_total_bytes: u64,
    pub disk_used_bytes: u64,
    /// Resident memory of the hypervisor, the guest's included: what the machine holds of this computer's.
    pub host_resident_bytes: u64,
    /// Blocks of the data disk on the host.
    pub host_disk_bytes: u64,
    /// CPU time of the hypervisor since its start.
    pub host_cpu_ms: u64,
}
