//! `docker pull --all-tags`: every tag of a repository, one after the other.

use std::sync::Arc;

use cubby_registry::{Access, Repository};

use super::{PullOptions, Say, failure::translate};
use crate::{
    error::{Error, Result},
    images::Images,
};

impl Images {
    /// The tags that the registry lists for the repository.
    ///
    /// # Errors
    /// In dockerd's words, as for [`Images::resolve`].
    pub async fn remote_tags(&self, options: &PullOptions) -> Result<Vec<String>> {
        let reference = &options.reference;
        // Why not from mirrors: they list what they happen to have.
        let settings = self.registries().effective();
        let credentials = options.credentials.clone();
        let explain = |error| translate(error, reference);
        let opened = Repository::open(reference.domain(), reference.path(), Access::Pull, credentials, &settings);
        opened.await.map_err(explain)?.tags().await.map_err(explain)
    }

    /// Pulls these tags of the repository that `options` names. The first that fails ends it; what came before stays.
    pub async fn pull_tags(self: &Arc<Self>, options: PullOptions, tags: Vec<String>, say: Say) -> Result<()> {
        for tag in tags {
            let reference = options.reference.with_tag(&tag).map_err(|error| Error::internal(error.to_string()))?;
            let resolved = self.resolve(&PullOptions { reference, ..options.clone() }).await?;
            self.pull(resolved, say.clone()).await?;
        }
        Ok(())
    }
}
