//! `docker push`: an image's layers, config and manifest to a registry.
//!
//! Layers are kept unpacked, so a blob is made again when the registry lacks it: the same tar stream as ever, gzipped
//! anew. A layer that came from a registry has that blob's digest noted; when the registry has it, nothing is sent, and
//! when another repository of that registry has it, it is mounted from there. An image all of whose blobs are the ones
//! of the manifest that it came with keeps that manifest, and so its digest.

mod target;
#[cfg(test)]
mod tests;
mod upload;

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use cubby_image::{
    Digest, Pin, Platform, Reference,
    manifest::{
        Descriptor, Document, MEDIA_CONFIG, MEDIA_DOCKER_CONFIG, MEDIA_DOCKER_LAYER_GZIP, MEDIA_DOCKER_MANIFEST,
        MEDIA_MANIFEST,
    },
};
use cubby_registry::{Access, Credentials, Repository};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task;

use super::{
    BlobRecord, Image, Images, LayerRecord, ManifestRecord, Say,
    load::describe,
    message::Message,
    patience::{ATTEMPTS, patiently},
    pull::{short, translate},
};
use crate::{
    error::{Error, Result},
    events::Event,
};

use target::{Sources, Target};
use upload::Upload;

/// Layers compressed and sent side by side.
const PARALLEL: usize = 3;

/// A push that can begin: its images were found, its registry answered.
pub struct Push {
    repository: Arc<Repository>,
    images: Vec<(Reference, Arc<Image>)>,
    sources: Sources,
}

impl Images {
    /// Looks up what is to be pushed and reaches its registry. Without a tag every tag of the repository is meant.
    ///
    /// # Errors
    /// Not found, also for images that are not for `platform`; registry unreachable or refusing.
    pub async fn prepare_push(
        &self,
        name: &str,
        tag: &str,
        platform: Option<&Platform>,
        credentials: Credentials,
    ) -> Result<Push> {
        let invalid = |error: cubby_image::reference::InvalidReference| Error::invalid(error.to_string());
        let reference = Reference::parse(name).map_err(invalid)?;
        let reference = if tag.is_empty() { reference } else { reference.with_tag(tag).map_err(invalid)? };
        let images = self.meant_by_push(&reference)?;
        images.iter().try_for_each(|(name, image)| image.must_fit(&name.familiar(), platform))?;
        let sources = Sources::of(&self.read(), &images, &reference);
        let settings = self.registries().effective();
        let repository = Repository::open(reference.domain(), reference.path(), Access::Push, credentials, &settings)
            .await
            .map_err(|error| translate(error, &reference))?;
        let repository = Arc::new(repository.with_sources(sources.repositories()));
        Ok(Push { repository, images, sources })
    }

    fn meant_by_push(&self, reference: &Reference) -> Result<Vec<(Reference, Arc<Image>)>> {
        let index = self.read();
        let absent =
            || Error::not_found(format!("An image does not exist locally with the tag: {}", reference.familiar_name()));
        if reference.tag().is_some() {
            return Ok(vec![(reference.clone(), index.named(reference).cloned().ok_or_else(absent)?)]);
        }
        let tags = index.tags_of(reference).into_iter();
        let tags: Vec<_> =
            tags.flat_map(|(image, names)| names.into_iter().map(move |name| (name, image.clone()))).collect();
        if tags.is_empty() { Err(absent()) } else { Ok(tags) }
    }

    /// Sends what the registry lacks. Dropping the future cancels the push.
    pub async fn push(self: &Arc<Self>, push: Push, say: Say) -> Result<()> {
        let Push { repository, images, sources } = push;
        for (name, image) in images {
            say(Message::status(format!("The push refers to repository [{}]", name.name())));
            for layer in image.layers.iter() {
                say(Message::of(short(&layer.diff_id), "Preparing"));
            }
            let to = Target { repository: &repository, name: &name, sources: &sources, say: &say };
            let (manifest, blobs) = self.push_image(&to, &image).await?;
            let (digest, size) = (manifest.digest(), manifest.document.len());
            let tag = name.tag().unwrap_or("latest").to_owned();
            say(Message::status(format!("{tag}: digest: {digest} size: {size}")));
            say(Message::aux(serde_json::json!({ "Tag": tag, "Digest": digest, "Size": size })));
            self.note_pushed(&name, &image, manifest, &blobs)?;
        }
        Ok(())
    }

    /// Gives the image its digest in the registry, and notes which blobs its layers are there: the next push need not
    /// make them again.
    fn note_pushed(
        &self,
        name: &Reference,
        image: &Image,
        manifest: ManifestRecord,
        blobs: &[Descriptor],
    ) -> Result<()> {
        let digest = manifest.digest();
        let mut index = self.write();
        if let Some(image) = index.get(&image.id).filter(|image| !image.record.hidden).cloned() {
            let mut record = (*image.record).clone();
            for (layer, blob) in record.layers.iter_mut().zip(blobs) {
                let media_type = blob.media_type.clone();
                layer.blob = Some(BlobRecord { digest: blob.digest, size_bytes: blob.size, media_type });
            }
            record.manifest = Some(manifest);
            self.replace_record(&mut index, &image, record)?;
            self.set_name(&mut index, name.with_digest(digest), image.id)?;
        }
        drop(index);
        let attributes = [("name".to_owned(), name.familiar_name())].into();
        self.events.publish(Event::now("image", "push", name.familiar(), attributes));
        Ok(())
    }

    async fn push_image(&self, to: &Target<'_>, image: &Image) -> Result<(ManifestRecord, Vec<Descriptor>)> {
        let mut distinct: Vec<LayerRecord> = Vec::with_capacity(image.layers.len());
        for layer in image.layers.iter() {
            if !distinct.iter().any(|other| other.diff_id == layer.diff_id) {
                distinct.push(layer.clone());
            }
        }
        let sent: HashMap<Digest, Descriptor> = stream::iter(distinct)
            .map(|layer| async move { Ok::<_, Error>((layer.diff_id, self.push_layer(to, &layer).await?)) })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        let layers: Vec<Descriptor> =
            image.layers.iter().filter_map(|layer| sent.get(&layer.diff_id).cloned()).collect();
        let manifest = manifest(image, &layers)?;
        let (repository, failed) = (to.repository, |error| translate(error, to.name));
        let id = image.id.to_string();
        let config = Bytes::copy_from_slice(image.record.config.as_bytes());
        patiently("push a config", ATTEMPTS, || async {
            if repository.has_blob(&id).await? {
                return Ok(());
            }
            let Some(upload) = repository.mount_or_upload(&id, None).await? else { return Ok(()) };
            repository.upload(&upload, &id, config.len() as u64, stream::iter([Ok(config.clone())])).await
        })
        .await
        .map_err(failed)?;
        let bytes = Bytes::copy_from_slice(manifest.document.as_bytes());
        let tag = to.name.tag().unwrap_or("latest");
        let put = || repository.put_manifest(tag, &manifest.media_type, bytes.clone());
        patiently("push a manifest", ATTEMPTS, put).await.map_err(failed)?;
        Ok((manifest, layers))
    }

    /// Makes sure that the registry has a layer's blob; which one it is.
    async fn push_layer(&self, to: &Target<'_>, layer: &LayerRecord) -> Result<Descriptor> {
        let Target { repository, name, say, .. } = to;
        let id = short(&layer.diff_id);
        let failed = |error| translate(error, name);
        if let Some(blob) = &layer.blob
            && let Some(how) = patiently("look for a layer", ATTEMPTS, || to.has(blob)).await.map_err(failed)?
        {
            say(Message::of(id, how));
            return Ok(Descriptor::new(&blob.media_type, blob.digest, blob.size_bytes));
        }
        let gone = || Error::internal(format!("layer {} is missing", layer.diff_id));
        let pin: Pin = self.store.pin(&layer.diff_id).ok_or_else(gone)?;
        let store = self.store.clone();
        let made = task::spawn_blocking(move || store.gzip(pin.diff_id())).await;
        let (file, digest, size) = made
            .map_err(|error| Error::system("compress a layer", error))?
            .map_err(|error| describe(error, "compress a layer"))?;
        let blob = Descriptor::new(MEDIA_DOCKER_LAYER_GZIP, digest, size);
        let (repository, wanted) = (*repository, digest.to_string());
        let has = patiently("look for a layer", ATTEMPTS, || repository.has_blob(&wanted));
        if has.await.map_err(failed)? {
            say(Message::of(id, "Layer already exists"));
            return Ok(blob);
        }
        Upload::of(repository, &blob, file, &id, say).send().await.map_err(failed)?;
        say(Message::of(id, "Pushed"));
        Ok(blob)
    }
}

/// The manifest of an image whose layers are these blobs: the one it came with when that says the same.
fn manifest(image: &Image, layers: &[Descriptor]) -> Result<ManifestRecord> {
    if let Some(known) = image.manifest()
        && known.layer_digests().iter().eq(layers.iter().map(|layer| &layer.digest))
    {
        return Ok(known.clone());
    }
    let layers: Vec<Descriptor> = layers
        .iter()
        .map(|layer| Descriptor { media_type: docker_type(&layer.media_type).to_owned(), ..layer.clone() })
        .collect();
    let docker = layers.iter().all(|layer| layer.media_type == MEDIA_DOCKER_LAYER_GZIP);
    let (media_type, config_type) =
        if docker { (MEDIA_DOCKER_MANIFEST, MEDIA_DOCKER_CONFIG) } else { (MEDIA_MANIFEST, MEDIA_CONFIG) };
    let document = Document {
        schema_version: 2,
        media_type: Some(media_type.to_owned()),
        config: Some(Descriptor::new(config_type, image.id, image.record.config.len() as u64)),
        layers: Some(layers),
        manifests: None,
    };
    let document = serde_json::to_string(&document).map_err(|error| Error::system("write a manifest", error))?;
    Ok(ManifestRecord { media_type: media_type.to_owned(), document })
}

/// What Docker calls a gzipped layer; other kinds keep their names.
fn docker_type(media_type: &str) -> &str {
    if media_type.ends_with("tar+gzip") || media_type.ends_with("tar.gzip") {
        MEDIA_DOCKER_LAYER_GZIP
    } else {
        media_type
    }
}
