//! `docker pull --all-tags`: every tag of a repository, one after the other.

use std::sync::Arc;

use super::{PullOptions, Say, Sources, failure::translate};
use crate::{
    error::{Error, Result},
    images::Images,
};

impl Images {
    /// The tags of the repository: those that its registry's first mirror has which lists any, as dockerd asks; else the
    /// registry's own.
    ///
    /// # Errors
    /// In dockerd's words, as for [`Images::resolve`].
    pub async fn remote_tags(&self, options: &PullOptions) -> Result<Vec<String>> {
        let settings = self.registries().effective();
        let sources = Sources::of(options.reference.clone(), options.credentials.clone(), settings);
        let tags = async |nth| sources.at(nth).await?.tags().await;
        sources.ask(tags).await.map_err(|error| translate(error, &options.reference))
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
