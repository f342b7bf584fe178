//! From a name to a manifest and a config, checked: at the mirrors of its registry, then at the registry itself.

use std::sync::Arc;

use cubby_image::{
    Digest, ImageFile, Platform, Reference,
    manifest::{Descriptor, Document, MEDIA_SCHEMA1},
};
use cubby_registry::{Repository, Settings};

use super::{PullOptions, failure::translate, sources::Sources};
use crate::{
    error::{Error, Result},
    images::{image::ManifestRecord, patience::patiently},
};

/// Indexes point at indexes at most this deep.
const DEPTH: usize = 3;
/// The longest image config that is read.
const CONFIG_BYTES: usize = 8 << 20;
/// Layers of one image. Source: overlayfs `OVL_MAX_STACK`.
const LAYERS: usize = 500;

/// An image as its registry describes it, ready to be fetched.
pub struct Resolved {
    pub reference: Reference,
    /// Of what the name meant: a manifest or an index.
    pub digest: Digest,
    /// Of the image's config.
    pub id: Digest,
    pub config: String,
    pub file: ImageFile,
    pub layers: Vec<ResolvedLayer>,
    /// The image's own manifest, as it came.
    pub manifest: ManifestRecord,
    /// The one platform that was asked for and that the image is not for.
    pub(super) wanted: Option<Platform>,
    pub(super) sources: Arc<Sources>,
}

pub struct ResolvedLayer {
    pub blob: Descriptor,
    pub diff_id: Digest,
}

impl Resolved {
    /// The name that the image gets: by tag, or by digest when it was asked for so.
    pub fn name(&self) -> Reference {
        match self.reference.tag().filter(|_| self.reference.digest().is_none()) {
            Some(_) => self.reference.clone(),
            None => self.reference.with_digest(self.digest),
        }
    }

    /// What dockerd says of an image of one platform that is not the one asked for. Source: moby daemon/images
    /// `PullImage`.
    pub fn warning(&self) -> Option<String> {
        let wanted = self.wanted.as_ref()?;
        let (name, has) = (self.reference.familiar(), self.file.platform());
        Some(format!(
            "WARNING: image with reference {name} was found but its platform ({has}) does not match the specified \
             platform ({wanted})"
        ))
    }
}

/// Asks one mirror after the other, the registry itself last.
pub async fn resolve(options: &PullOptions, settings: Settings) -> Result<Resolved> {
    let sources = Arc::new(Sources::of(options.reference.clone().or_latest(), options.credentials.clone(), settings));
    sources.ask(|nth| resolve_at(&sources, nth, options.platform.as_ref())).await
}

async fn resolve_at(sources: &Arc<Sources>, nth: usize, platform: Option<&Platform>) -> Result<Resolved> {
    let reference = &sources.reference;
    let explain = |error| translate(error, reference);
    let repository = sources.at(nth).await.map_err(explain)?;
    let patience = sources.patience(nth);
    let Found { digest, manifest: record, document } = manifest(repository, patience, reference, platform).await?;
    let config = document.config.ok_or_else(|| unsupported("the manifest names no config"))?;
    if !config.is_image_config() {
        return Err(unsupported(&format!("media type {:?} is not an image's", config.media_type)));
    }
    let blob = config.digest.to_string();
    let bytes = patiently("pull a config", patience, || repository.small_blob(&blob, CONFIG_BYTES));
    let bytes = bytes.await.map_err(explain)?;
    if Digest::of(&bytes) != config.digest {
        return Err(Error::internal(format!("image config verification failed for digest {}", config.digest)));
    }
    let file =
        ImageFile::parse(&bytes).map_err(|error| unsupported(&format!("the image config is not readable: {error}")))?;
    let layers = layers(document.layers.unwrap_or_default(), &file)?;
    let wanted = platform.cloned().filter(|wanted| !file.platform().satisfies(wanted));
    let config = String::from_utf8(bytes).map_err(|_| unsupported("the image config is not UTF-8"))?;
    let id = Digest::of(config.as_bytes());
    let (reference, sources) = (reference.clone(), sources.clone());
    Ok(Resolved { id, reference, digest, config, file, layers, manifest: record, wanted, sources })
}

/// An image manifest, and how it was found.
struct Found {
    /// Of what the name itself meant.
    digest: Digest,
    manifest: ManifestRecord,
    document: Document,
}

/// The image manifest behind the name.
async fn manifest(
    repository: &Repository,
    patience: u32,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Found> {
    let mut wanted = reference.digest().copied();
    let mut top = None;
    for _ in 0..DEPTH {
        let asked = wanted.map_or_else(|| reference.tag().unwrap_or("latest").to_owned(), |digest| digest.to_string());
        let answer = patiently("pull a manifest", patience, || repository.manifest(&asked));
        let answer = answer.await.map_err(|error| translate(error, reference))?;
        let found = Digest::of(&answer.bytes);
        if wanted.is_some_and(|wanted| wanted != found) {
            return Err(Error::internal(format!("manifest verification failed for digest {asked}")));
        }
        top.get_or_insert(found);
        if answer.media_type.starts_with(MEDIA_SCHEMA1) {
            return Err(unsupported("the manifest is of schema version 1; ask its owner to push it again"));
        }
        let document: Document = serde_json::from_slice(&answer.bytes)
            .map_err(|error| unsupported(&format!("the manifest is not readable: {error}")))?;
        match (&document.manifests, top) {
            (Some(manifests), _) => wanted = Some(choose(manifests, platform, reference)?),
            (None, Some(digest)) => {
                let text =
                    String::from_utf8(answer.bytes.into()).map_err(|_| unsupported("the manifest is not UTF-8"))?;
                let manifest = ManifestRecord { media_type: answer.media_type, document: text };
                return Ok(Found { digest, manifest, document });
            }
            (None, None) => break,
        }
    }
    Err(unsupported("indexes are nested too deeply"))
}

/// The manifest for the platform: an exact fit before one that only satisfies.
fn choose(manifests: &[Descriptor], platform: Option<&Platform>, reference: &Reference) -> Result<Digest> {
    let native = Platform::native();
    let wanted = platform.unwrap_or(&native).clone().normalized();
    let fitting: Vec<(&Descriptor, Platform)> = manifests
        .iter()
        .filter(|descriptor| !descriptor.is_artifact())
        .filter_map(|descriptor| Some((descriptor, descriptor.platform.clone()?.normalized())))
        .filter(|(_, has)| has.satisfies(&wanted))
        .collect();
    let best = fitting.iter().find(|(_, has)| *has == wanted).or_else(|| fitting.first());
    best.map(|(descriptor, _)| descriptor.digest).ok_or_else(|| {
        tracing::info!(image = %reference, platform = %wanted, "no image for this platform");
        Error::not_found(format!("no matching manifest for {wanted} in the manifest list entries"))
    })
}

fn layers(blobs: Vec<Descriptor>, file: &ImageFile) -> Result<Vec<ResolvedLayer>> {
    let diff_ids = &file.rootfs.diff_ids;
    if blobs.len() != diff_ids.len() {
        return Err(unsupported(&format!("the manifest has {} layers, the config {}", blobs.len(), diff_ids.len())));
    }
    if blobs.len() > LAYERS {
        return Err(unsupported(&format!("it has more than {LAYERS} layers")));
    }
    if blobs.iter().any(Descriptor::is_foreign) {
        return Err(unsupported("it has foreign layers, which its registry does not hold"));
    }
    Ok(blobs.into_iter().zip(diff_ids).map(|(blob, diff_id)| ResolvedLayer { blob, diff_id: *diff_id }).collect())
}

fn unsupported(what: &str) -> Error {
    Error::invalid(format!("unsupported image: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn descriptor(platform: &str) -> Descriptor {
        Descriptor {
            media_type: String::new(),
            digest: Digest::of(platform.as_bytes()),
            size: 1,
            annotations: HashMap::new(),
            platform: Some(Platform::parse(platform).unwrap()),
            urls: None,
        }
    }

    #[test]
    fn the_best_fitting_platform_is_chosen() {
        let all = ["linux/amd64/v3", "linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"].map(descriptor);
        let reference = Reference::parse("a").unwrap();
        for (wanted, chosen) in [("linux/amd64", 1), ("linux/arm", 3), ("linux/arm/v6", 2), ("linux/arm64", 4)] {
            let platform = Platform::parse(wanted).unwrap();
            assert_eq!(choose(&all, Some(&platform), &reference).unwrap(), all[chosen].digest, "{wanted}");
        }
        let error = choose(&all, Platform::parse("linux/s390x").ok().as_ref(), &reference).unwrap_err();
        assert_eq!(error.message(), "no matching manifest for linux/s390x in the manifest list entries");
    }
}
