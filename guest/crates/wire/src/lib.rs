//! The host↔guest contract that Docker's API lacks: ports, frames, and the messages on them.
//!
//! Pure types and framing. Knows no vsock, no engine and no supervisor; both sides depend on it and on nothing of
//! each other's. What comes out of [`frame`] is syntactically valid and bounded, but still the word of the other
//! side: the host treats every guest message as hostile and checks paths, ports and sizes itself.
//!
//! | port | who listens | what it carries |
//! |---|---|---|
//! | [`ports::DOCKER_API`] | guest engine | HTTP/1.1 and upgraded streams: the Docker Engine API, nothing else |
//! | [`ports::CONTROL`] | guest engine | [`control`] frames: one request, one reply, any number in turn |
//! | [`ports::FORWARD`] | guest engine | one [`forward::Dial`] frame, one [`forward::Dialled`] reply, then raw bytes both ways |
//! | [`ports::FILES`] | guest engine | [`files`] frames: what happens to shared files, repeated by the guest's agent |
//! | [`ports::BOOT`] | host | [`boot`] frames from pid 1: the machine's stages, pushed as they are reached |
//! | [`ports::PUBLISH`] | host | [`publish`] frames: the engine asks the host to open a listener; it lives as long as the stream |

pub mod boot;
pub mod control;
pub mod files;
pub mod forward;
pub mod frame;
pub mod paths;
pub mod ports;
pub mod publish;

/// Version of the messages in this crate. Both sides send it in their first frame; a different major is refused
/// with a clear reason instead of being guessed at.
pub const PROTOCOL_VERSION: u32 = 1;

/// What the engine makes of a data disk. Raised by a change that an older engine could not read; written to the data disk, and
/// into the guest image's manifest, where the host compares it before it boots anything.
pub const DATA_FORMAT: u32 = 1;
