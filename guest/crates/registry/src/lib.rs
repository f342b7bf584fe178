//! A client of the OCI distribution protocol: one repository of one registry, ready to be read or written.
//!
//! Why not a ready-made client: pulls must resume in the middle of a blob, registries may want client certificates and
//! have mirrors, pushes mount blobs across repositories, and Docker's clients expect dockerd's own words for what goes
//! wrong; the crates at hand offer some of that each. HTTP, TLS, redirects and proxies are `reqwest`'s and `rustls`'.
//!
//! What this crate does not do: it verifies no digest and keeps nothing on disk. Every byte it hands on is hostile until
//! its caller has checked it.
//!
//! Source: OCI distribution-spec 1.1; the token flow of the Docker registry v2 (`docs/spec/auth/token.md`).

mod challenge;
mod credentials;
mod download;
mod endpoint;
mod error;
mod pull;
mod push;
mod repository;
mod search;
mod settings;
mod tags;
mod transport;

pub use credentials::Credentials;
pub use download::Download;
pub use error::{Error, Result};
pub use pull::{Blob, Manifest};
pub use push::Upload;
pub use repository::{Access, Repository};
pub use search::{SearchHit, search};
pub use settings::{Network, Place, Proxies, Settings};
