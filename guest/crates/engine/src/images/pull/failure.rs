//! Registries' refusals in dockerd's words. Source: moby distribution/errors.go.

use cubby_image::Reference;
use cubby_registry::Error as RegistryError;

use crate::error::{Error, ErrorKind};

pub fn translate(error: RegistryError, reference: &Reference) -> Error {
    let name = reference.familiar_name();
    let (kind, text) = match &error {
        RegistryError::NotFound(reason) if reason.starts_with("name unknown") => {
            (ErrorKind::NotFound, no_access(&name, reason))
        }
        RegistryError::NotFound(reason) => {
            (ErrorKind::NotFound, format!("manifest for {} not found: {reason}", reference.familiar()))
        }
        RegistryError::Denied(_) => (ErrorKind::NotFound, no_access(&name, &error.to_string())),
        RegistryError::Configuration(reason) => (ErrorKind::InvalidParameter, reason.clone()),
        RegistryError::Unauthorized(_)
        | RegistryError::NoCredentials { .. }
        | RegistryError::Unreachable { .. }
        | RegistryError::TooManyRequests(_)
        | RegistryError::Protocol(_)
        | RegistryError::Source(_) => (ErrorKind::System, error.to_string()),
    };
    Error::new(kind, text).with_source(error)
}

fn no_access(name: &str, reason: &str) -> String {
    format!("pull access denied for {name}, repository does not exist or may require 'docker login': {reason}")
}
