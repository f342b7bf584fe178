//! How a container is attached: Docker's `HostConfig.NetworkMode`.

use std::fmt;

/// What `NetworkMode` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// The default network (`""`, `default`, `bridge`): addresses, but no names.
    #[default]
    Bridge,
    /// The engine's own namespace.
    Host,
    /// A namespace of its own with nothing but loopback.
    None,
    /// The namespace of another container, by id or name.
    Container(String),
    /// A network that somebody created, by name or id.
    Network(String),
}

impl NetworkMode {
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "default" | "bridge" => Self::Bridge,
            "host" => Self::Host,
            "none" => Self::None,
            other => match other.strip_prefix("container:") {
                Some(container) => Self::Container(container.to_owned()),
                None => Self::Network(other.to_owned()),
            },
        }
    }

    /// The network that the mode names; containers joined to another container have none of their own.
    pub fn network(&self) -> Option<&str> {
        match self {
            Self::Bridge => Some("bridge"),
            Self::Host => Some("host"),
            Self::None => Some("none"),
            Self::Container(_) => None,
            Self::Network(name) => Some(name),
        }
    }

    /// Whether the container may be on user networks and have published ports.
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Bridge | Self::Network(_))
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(id) => write!(f, "container:{id}"),
            other => f.write_str(other.network().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_docker_writes_them() {
        for text in ["bridge", "host", "none", "container:web", "backend"] {
            assert_eq!(NetworkMode::parse(text).to_string(), text);
        }
        assert_eq!(NetworkMode::parse("default"), NetworkMode::Bridge);
        assert_eq!(NetworkMode::parse(""), NetworkMode::Bridge);
        assert!(NetworkMode::parse("backend").is_private() && !NetworkMode::parse("container:a").is_private());
    }
}
