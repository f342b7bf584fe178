//! Files that clients name by address, fetched with the settings of pulls: proxies, and authorities of the engine's own.

use cubby_registry::{Download, Error as RegistryError};

use super::Images;
use crate::error::{Error, ErrorKind, Result};

impl Images {
    /// An answer that has begun.
    ///
    /// # Errors
    /// In dockerd's words. Source: moby builder/remotecontext/remote.go `GetWithStatusError`.
    pub async fn open_address(&self, address: &str) -> Result<Download> {
        Download::open(address, &self.registries().effective()).await.map_err(refusal)
    }
}

/// Also of what breaks off later.
pub fn refusal(error: RegistryError) -> Error {
    let (kind, text) = match &error {
        RegistryError::Configuration(reason) => (ErrorKind::InvalidParameter, reason.clone()),
        RegistryError::NotFound(reason) => (ErrorKind::NotFound, reason.clone()),
        RegistryError::Denied(reason) => (ErrorKind::Forbidden, reason.clone()),
        RegistryError::Protocol(reason) => (ErrorKind::InvalidParameter, reason.clone()),
        _ => (ErrorKind::System, error.to_string()),
    };
    Error::new(kind, text).with_source(error)
}
