//! The machine as its users have it: booted, stopped, killed and back again; sessions over vsock.
//!
//! Everything here boots the real guest under the real supervisor and talks to it through the sockets it offers.

mod crashes;
mod day;
mod disk;
mod footprint;
mod idle;
mod link;
mod shares;
mod trouble;
mod upgrade;
