//! `docker manifest`-like questions: what a name means at its registry, without pulling it.
//! Source: API 1.50 `DistributionInspect`; moby daemon/server/router/distribution.

use cubby_image::{
    Digest, ImageFile, Platform, Reference,
    manifest::{Document, MEDIA_SCHEMA1},
};
use cubby_registry::{Credentials, Error as RegistryError, Repository};

use super::{Images, pull::Sources};
use crate::error::{Error, ErrorKind, Result};

/// The longest image config that is read.
const CONFIG_BYTES: usize = 8 << 20;

/// What a name means at its registry.
#[derive(Clone, Debug)]
pub struct Distribution {
    pub media_type: String,
    pub digest: Digest,
    pub size: usize,
    pub platforms: Vec<Platform>,
}

impl Images {
    /// Asks one mirror after the other, the registry itself last.
    ///
    /// # Errors
    /// In dockerd's words; not found, unauthorized, forbidden.
    pub async fn distribution(&self, name: &str, credentials: Credentials) -> Result<Distribution> {
        let reference = Reference::parse(name).map_err(|error| Error::invalid(error.to_string()))?.or_latest();
        let sources = Sources::of(reference, credentials, self.registries().effective());
        sources.ask(|nth| distribution_at(&sources, nth)).await
    }
}

async fn distribution_at(sources: &Sources, nth: usize) -> Result<Distribution> {
    let reference = &sources.reference;
    let repository = sources.at(nth).await.map_err(refusal)?;
    let asked = reference.digest().map_or_else(|| reference.tag().unwrap_or("latest").to_owned(), Digest::to_string);
    let manifest = repository.manifest(&asked).await.map_err(refusal)?;
    let digest = Digest::of(&manifest.bytes);
    if reference.digest().is_some_and(|wanted| *wanted != digest) {
        return Err(Error::internal(format!("manifest verification failed for digest {asked}")));
    }
    if manifest.media_type.starts_with(MEDIA_SCHEMA1) {
        return Err(Error::invalid("the manifest is of schema version 1, which is not supported"));
    }
    let unreadable = |error: serde_json::Error| Error::invalid(format!("the manifest is not readable: {error}"));
    let document: Document = serde_json::from_slice(&manifest.bytes).map_err(unreadable)?;
    let platforms = match document.manifests {
        Some(manifests) => manifests.into_iter().filter_map(|manifest| manifest.platform).collect(),
        None => platform_of(repository, &document).await?.into_iter().collect(),
    };
    Ok(Distribution { media_type: manifest.media_type, digest, size: manifest.bytes.len(), platforms })
}

/// The platform in an image's config; none for what is no image.
async fn platform_of(repository: &Repository, manifest: &Document) -> Result<Option<Platform>> {
    let Some(config) = manifest.config.as_ref().filter(|config| config.is_image_config()) else { return Ok(None) };
    let bytes = repository.small_blob(&config.digest.to_string(), CONFIG_BYTES).await.map_err(refusal)?;
    if Digest::of(&bytes) != config.digest {
        return Err(Error::internal(format!("image config verification failed for digest {}", config.digest)));
    }
    Ok(ImageFile::parse(&bytes).ok().map(|file| file.platform()))
}

fn refusal(error: RegistryError) -> Error {
    let kind = match &error {
        RegistryError::NotFound(_) => ErrorKind::NotFound,
        RegistryError::Unauthorized(_) | RegistryError::NoCredentials { .. } => ErrorKind::Unauthorized,
        RegistryError::Denied(_) => ErrorKind::Forbidden,
        RegistryError::Configuration(_) => ErrorKind::InvalidParameter,
        _ => ErrorKind::System,
    };
    Error::new(kind, error.to_string()).with_source(error)
}
