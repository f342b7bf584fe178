//! What a container is made of, in Docker's own shapes.
//!
//! Why not `bollard-stubs` here: dockerd decodes with Go's rules (null and absent are the zero value, `Cmd` may be a
//! string) and answers with every member present, zero values included; generated types skip what is absent and refuse
//! unknown enum values in words that no client expects. These structs are read from requests, kept in the state
//! database and echoed by inspect, so that what a client gets is what it asked for. Source: moby v28 `api/types`.

mod config;
pub(crate) mod go;
mod host;
mod mount;
mod network;
mod record;
mod request;
mod resources;

pub use config::{Config, Health, Healthcheck, ProbeResult};
pub(crate) use go::go_struct;
pub use go::{Empty, Sequence, parse_bool};
pub use host::{HostConfig, LogConfig, PortBinding, PortMap, RestartPolicy};
pub use mount::{BindOptions, DriverConfig, ImageOptions, MountPoint, MountSpec, TmpfsOptions, VolumeOptions};
pub use network::{Endpoint, IpamConfig, NetworkingConfig};
pub use record::{MountRecord, Record, State};
pub use request::{CreateRequest, Created, UpdateRequest};
pub use resources::{Device, DeviceRequest, Resources, ThrottleDevice, Ulimit, WeightDevice};
