//! `docker login`: do these credentials open that registry?

use cubby_registry::{Access, Credentials, Error as RegistryError, Repository, Settings};

use crate::error::{Error, ErrorKind, Result};

/// The address that clients send for Docker Hub, for historical reasons.
const HUB_ADDRESSES: [&str; 3] = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];

/// Asks the registry at `server` (empty: Docker Hub). Nothing is kept: clients keep credentials themselves.
///
/// # Errors
/// Unauthorized when the registry refuses them; System when it cannot be reached.
pub async fn check(server: &str, credentials: Credentials, settings: &Settings) -> Result<()> {
    let domain = domain(server);
    let opened = Repository::open(&domain, "", Access::Pull, credentials, settings).await;
    let answer = match opened {
        Ok(registry) => registry.check().await,
        Err(error) => Err(error),
    };
    answer.map_err(|error| {
        let kind = match error {
            RegistryError::Unauthorized(_) | RegistryError::NoCredentials { .. } | RegistryError::Denied(_) => {
                ErrorKind::Unauthorized
            }
            RegistryError::Configuration(_) => ErrorKind::InvalidParameter,
            _ => ErrorKind::System,
        };
        let text = match kind {
            ErrorKind::Unauthorized => {
                format!("login attempt to https://{domain}/v2/ failed with status: 401 Unauthorized")
            }
            _ => error.to_string(),
        };
        Error::new(kind, text).with_source(error)
    })
}

/// `https://host:port/v1/` and `host:port` mean the same registry.
fn domain(server: &str) -> String {
    let server = server.trim();
    if server.is_empty() || HUB_ADDRESSES.contains(&server) {
        return "docker.io".to_owned();
    }
    let bare = server.trim_start_matches("https://").trim_start_matches("http://");
    bare.split('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_clients_name_the_registry() {
        assert_eq!(domain("https://index.docker.io/v1/"), "docker.io");
        assert_eq!(domain("http://127.0.0.1:5000/v2/"), "127.0.0.1:5000");
        assert_eq!(domain("registry.example"), "registry.example");
    }
}
