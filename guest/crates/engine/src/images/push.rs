//! `docker push`: an image's layers, config and manifest to a registry.
//!
//! Layers are kept unpacked, so a blob is made again when the registry lacks it: the same tar stream as ever, gzipped
//! anew. A layer that came from a registry has that blob's digest noted; when the registry has it, nothing is sent.

use std::{fs::File, io::Seek, sync::Arc};

use bytes::Bytes;
use cubby_image::{
    Digest, Pin, Reference,
    manifest::{
        Descriptor, Document, MEDIA_CONFIG, MEDIA_DOCKER_CONFIG, MEDIA_DOCKER_LAYER_GZIP, MEDIA_DOCKER_MANIFEST,
        MEDIA_MANIFEST,
    },
};
use cubby_registry::{Access, Credentials, Repository};
use futures_util::{Stream, stream};
use tokio::{io::AsyncReadExt, task};

use super::{
    BlobRecord, Image, Images, LayerRecord, Say,
    load::describe,
    message::Message,
    pull::{short, translate},
};
use crate::{
    error::{Error, Result},
    events::Event,
};

/// How often a blob's upload is begun anew after a fault of the network.
const ATTEMPTS: usize = 3;
/// Read from disk, and told as progress, in pieces of this size.
const PIECE: usize = 256 << 10;

/// A push that can begin: its images were found, its registry answered.
pub struct Push {
    repository: Arc<Repository>,
    images: Vec<(Reference, Arc<Image>)>,
}

impl Images {
    /// Looks up what is to be pushed and reaches its registry. Without a tag every tag of the repository is meant.
    ///
    /// # Errors
    /// Not found; registry unreachable or refusing.
    pub async fn prepare_push(&self, name: &str, tag: &str, credentials: Credentials) -> Result<Push> {
        let invalid = |error: cubby_image::reference::InvalidReference| Error::invalid(error.to_string());
        let reference = Reference::parse(name).map_err(invalid)?;
        let reference = if tag.is_empty() { reference } else { reference.with_tag(tag).map_err(invalid)? };
        let images = self.meant_by_push(&reference)?;
        let settings = self.registries();
        let repository = Repository::open(reference.domain(), reference.path(), Access::Push, credentials, &settings)
            .await
            .map_err(|error| translate(error, &reference))?;
        Ok(Push { repository: Arc::new(repository), images })
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
        let Push { repository, images } = push;
        for (name, image) in images {
            say(Message::status(format!("The push refers to repository [{}]", name.name())));
            for layer in image.layers.iter() {
                say(Message::of(short(&layer.diff_id), "Preparing"));
            }
            let (digest, size, blobs) = self.push_image(&repository, &name, &image, &say).await?;
            let tag = name.tag().unwrap_or("latest").to_owned();
            say(Message::status(format!("{tag}: digest: {digest} size: {size}")));
            say(Message::aux(serde_json::json!({ "Tag": tag, "Digest": digest, "Size": size })));
            self.note_pushed(&name, &image, digest, &blobs)?;
        }
        Ok(())
    }

    /// Gives the image its digest in the registry, and notes which blobs its layers are there: the next push need not
    /// make them again.
    fn note_pushed(&self, name: &Reference, image: &Image, digest: Digest, blobs: &[Descriptor]) -> Result<()> {
        let mut index = self.write();
        if let Some(image) = index.get(&image.id).filter(|image| !image.record.hidden).cloned() {
            let mut record = (*image.record).clone();
            for (layer, blob) in record.layers.iter_mut().zip(blobs) {
                let media_type = blob.media_type.clone();
                layer.blob = Some(BlobRecord { digest: blob.digest, size_bytes: blob.size, media_type });
            }
            self.replace_record(&mut index, &image, record)?;
            self.set_name(&mut index, name.with_digest(digest), image.id)?;
        }
        drop(index);
        let attributes = [("name".to_owned(), name.familiar_name())].into();
        self.events.publish(Event::now("image", "push", name.familiar(), attributes));
        Ok(())
    }

    async fn push_image(
        &self,
        to: &Repository,
        name: &Reference,
        image: &Image,
        say: &Say,
    ) -> Result<(Digest, usize, Vec<Descriptor>)> {
        let mut layers = Vec::with_capacity(image.layers.len());
        let mut sent: Vec<(Digest, Descriptor)> = Vec::new();
        for layer in image.layers.iter() {
            let known = sent.iter().find(|(diff_id, _)| *diff_id == layer.diff_id).map(|(_, blob)| blob.clone());
            let blob = match known {
                Some(blob) => blob,
                None => self.push_layer(to, name, layer, say).await?,
            };
            sent.push((layer.diff_id, blob.clone()));
            layers.push(blob);
        }
        let docker = layers.iter().all(|layer| layer.media_type == MEDIA_DOCKER_LAYER_GZIP);
        let (manifest_type, config_type) =
            if docker { (MEDIA_DOCKER_MANIFEST, MEDIA_DOCKER_CONFIG) } else { (MEDIA_MANIFEST, MEDIA_CONFIG) };
        let config = Bytes::copy_from_slice(image.record.config.as_bytes());
        let config_blob = Descriptor::new(config_type, image.id, config.len() as u64);
        let failed = |error| translate(error, name);
        if !to.has_blob(&image.id.to_string()).await.map_err(failed)?
            && let Some(upload) = to.mount_or_upload(&image.id.to_string(), None).await.map_err(failed)?
        {
            let bytes = stream::iter([Ok(config)]);
            to.upload(upload, &image.id.to_string(), bytes).await.map_err(failed)?;
        }
        let manifest = Document {
            schema_version: 2,
            media_type: Some(manifest_type.to_owned()),
            config: Some(config_blob),
            layers: Some(layers.clone()),
            manifests: None,
        };
        let bytes = serde_json::to_vec(&manifest).map_err(|error| Error::system("write a manifest", error))?;
        let (digest, size) = (Digest::of(&bytes), bytes.len());
        to.put_manifest(name.tag().unwrap_or("latest"), manifest_type, bytes.into()).await.map_err(failed)?;
        Ok((digest, size, layers))
    }

    /// Makes sure that the registry has a layer's blob; which one it is.
    async fn push_layer(
        &self,
        to: &Repository,
        name: &Reference,
        layer: &LayerRecord,
        say: &Say,
    ) -> Result<Descriptor> {
        let id = short(&layer.diff_id);
        let failed = |error| translate(error, name);
        if let Some(blob) = &layer.blob
            && to.has_blob(&blob.digest.to_string()).await.map_err(failed)?
        {
            say(Message::of(id, "Layer already exists"));
            return Ok(Descriptor::new(docker_type(&blob.media_type), blob.digest, blob.size_bytes));
        }
        let gone = || Error::internal(format!("layer {} is missing", layer.diff_id));
        let pin: Pin = self.store.pin(&layer.diff_id).ok_or_else(gone)?;
        let store = self.store.clone();
        let made = task::spawn_blocking(move || store.gzip(pin.diff_id())).await;
        let (file, digest, size) = made
            .map_err(|error| Error::system("compress a layer", error))?
            .map_err(|error| describe(error, "compress a layer"))?;
        let blob = Descriptor::new(MEDIA_DOCKER_LAYER_GZIP, digest, size);
        if to.has_blob(&digest.to_string()).await.map_err(failed)? {
            say(Message::of(id, "Layer already exists"));
            return Ok(blob);
        }
        self.upload(to, &blob, file, &id, say).await.map_err(failed)?;
        say(Message::of(id, "Pushed"));
        Ok(blob)
    }

    async fn upload(
        &self,
        to: &Repository,
        blob: &Descriptor,
        file: File,
        id: &str,
        say: &Say,
    ) -> Result<(), cubby_registry::Error> {
        let digest = blob.digest.to_string();
        let mut attempt = 1;
        loop {
            let Some(upload) = to.mount_or_upload(&digest, None).await? else { return Ok(()) };
            let bytes = pieces_of(&file, blob.size, id, say).map_err(cubby_registry::Error::Source)?;
            match to.upload(upload, &digest, bytes).await {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    tracing::warn!(err = %error, digest, "upload broke; it is begun anew");
                    attempt += 1;
                }
                done => return done,
            }
        }
    }
}

/// The file from its beginning, telling how far it is.
fn pieces_of(
    file: &File,
    total: u64,
    id: &str,
    say: &Say,
) -> std::io::Result<impl Stream<Item = std::io::Result<Bytes>> + Send + 'static> {
    let mut file = file.try_clone()?;
    file.rewind()?;
    let start = (tokio::fs::File::from_std(file), 0_u64, id.to_owned(), say.clone());
    Ok(stream::try_unfold(start, move |(mut file, mut current, id, say)| async move {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
        if piece.is_empty() {
            return Ok(None);
        }
        current += piece.len() as u64;
        say(Message::progress(id.clone(), "Pushing", current, total));
        Ok(Some((Bytes::from(piece), (file, current, id, say))))
    }))
}

/// What Docker calls a gzipped layer; other kinds keep their names.
fn docker_type(media_type: &str) -> &str {
    if media_type.ends_with("tar+gzip") || media_type.ends_with("tar.gzip") {
        MEDIA_DOCKER_LAYER_GZIP
    } else {
        media_type
    }
}
