//! Registries where somebody is logged in. Secrets go in and never come out.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Where docker keeps a login on this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LoginStore {
    /// The system's own store, through docker's credential helper of this name.
    Helper { name: String },
    /// docker's configuration file, readable by its owner only.
    File { path: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Login {
    pub registry: String,
    pub user: String,
    pub store: LoginStore,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Secret(pub String);

// Why: must not reach a log through `Debug`.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// → `logins`, all of them
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RegistryCommand {
    List,
    /// The engine tries it before it is kept.
    Login {
        registry: String,
        user: String,
        secret: Secret,
    },
    Logout {
        registry: String,
    },
}
