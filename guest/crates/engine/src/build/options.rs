//! What a client asks of a build.

use std::collections::{BTreeMap, HashMap};

use cubby_image::{Platform, Reference};
use cubby_registry::Credentials;

use crate::{
    containers::model::HostConfig,
    error::{Error, Result},
};

/// Source: API 1.50 `ImageBuild`, its query.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// Within the context.
    pub dockerfile: String,
    pub names: Vec<Reference>,
    /// Steps are done again.
    pub no_cache: bool,
    /// Steps count as done only where one of these images came out of them; none: all of them count.
    pub cache_from: Vec<String>,
    /// Base images are fetched even when they are here.
    pub pull: bool,
    /// Nothing is told but the image's id.
    pub quiet: bool,
    pub squash: bool,
    /// Without a value: the client knows the name but has none for it.
    pub arguments: BTreeMap<String, Option<String>>,
    pub labels: BTreeMap<String, String>,
    pub target: Option<String>,
    pub platform: Option<Platform>,
    /// Limits, network and hosts of the containers that run steps.
    pub host: HostConfig,
    /// Registries by host name, as the client's `X-Registry-Config` has them.
    pub credentials: HashMap<String, Credentials>,
}

impl BuildOptions {
    /// # Errors
    /// Wishes that cannot be met.
    pub(super) fn check(&self) -> Result<()> {
        if self.squash {
            return Err(Error::invalid("squash is only supported with experimental mode"));
        }
        if let Some(name) = self.names.iter().find(|name| name.digest().is_some()) {
            return Err(Error::invalid(format!("refusing to create a tag with a digest reference: {name}")));
        }
        Ok(())
    }
}
