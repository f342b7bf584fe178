//! How the engine reaches registries: proxies, mirrors, certificates. Only Cubby's own engine can be told through its API.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::FileSource;

/// What is set; empty: nothing. A proxy's password is never given out: `xxxxx:xxxxx@` stands in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Reach {
    pub http_proxy: String,
    pub https_proxy: String,
    /// Hosts, domains and networks without proxy, separated by commas.
    pub no_proxy: String,
    /// Of Docker Hub, tried in order.
    pub mirrors: Vec<String>,
    /// Registries that are spoken to without TLS, or with a certificate that nobody vouches for.
    pub insecure: Vec<String>,
}

/// → `reach`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ReachCommand {
    Show,
    /// Takes effect at once, for what begins then.
    Set {
        reach: Reach,
    },
    /// A certificate authority (PEM) to trust for one registry, `host` or `host:port`.
    Trust {
        host: String,
        from: FileSource,
    },
    Distrust {
        host: String,
    },
}
