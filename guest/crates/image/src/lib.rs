//! Images at rest: names, digests, layers, archives, and the root filesystems made of them.
//!
//! Pure of the engine: this crate keeps no records. It turns archives into layers on disk and back ([`archive`],
//! [`layer`]), names things ([`Reference`], [`Digest`]) and mounts stacks of layers ([`snapshot`]). Which image has which
//! layers, and which layers may go, is its caller's knowledge.
//!
//! Everything here blocks; async callers use a blocking thread. Every byte that comes in is hostile until its digest
//! or its bounds were checked ([`Limits`]).

pub mod archive;
pub mod config;
pub mod digest;
pub mod error;
pub mod layer;
pub mod limits;
pub mod manifest;
pub mod platform;
pub mod reference;
pub mod snapshot;
pub mod tarball;

pub use config::{HealthConfig, ImageConfig, ImageFile};
pub use digest::Digest;
pub use error::{Error, Result};
pub use layer::{Compression, Pin, Staged, Store};
pub use limits::Limits;
pub use platform::Platform;
pub use reference::Reference;
