//! The layer view: what each step of an image did, and who else has its layer.

use std::{ops::ControlFlow, path::PathBuf};

use cubby_image::{
    Digest,
    layer::{Change, ChangeKind, changes},
};
use serde::Serialize;

use super::{Image, Images, list::unix_seconds, load::describe};
use crate::error::{Error, Result};

/// One step of an image's history, oldest first.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerView {
    /// Its place among the steps, from 0.
    pub index: usize,
    pub command: String,
    pub comment: String,
    /// Seconds since 1970; 0 when it is not known.
    pub created: i64,
    /// Absent for steps that changed no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerFacts>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerFacts {
    pub diff_id: Digest,
    /// Of its files, in bytes.
    pub size: u64,
    /// Digest and size of the compressed blob it came from, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<(Digest, u64)>,
    /// Other images with this layer.
    pub shared_with: Vec<SharedWith>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Counts>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedWith {
    pub id: Digest,
    pub names: Vec<String>,
}

/// How many paths a layer touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
}

/// Which part of a layer's changes is wanted.
#[derive(Clone, Debug, Default)]
pub struct ChangesOptions {
    /// The path that the page before ended with.
    pub after: Option<String>,
    pub limit: Option<usize>,
}

impl Images {
    /// Every step of an image. With `counts` each layer's tree is walked: blocks.
    ///
    /// # Errors
    /// Not found.
    pub fn layer_view(&self, name: &str, counts: bool) -> Result<Vec<LayerView>> {
        let image = self.find(name)?;
        let pins = self.pin_layers(&image)?;
        let mut views: Vec<LayerView> = Vec::with_capacity(image.file.history.len());
        let mut nth = 0;
        for (index, step) in image.file.history.iter().enumerate() {
            let has_layer = !step.empty_layer && nth < image.layers.len();
            let layer = has_layer.then(|| self.facts(&image, nth, counts)).transpose()?;
            nth += usize::from(has_layer);
            views.push(LayerView {
                index,
                command: step.created_by.clone(),
                comment: step.comment.clone(),
                created: step.created.as_deref().map_or(0, unix_seconds),
                layer,
            });
        }
        // Why: a history may be shorter than the list of layers, or missing.
        for nth in nth..image.layers.len() {
            let layer = Some(self.facts(&image, nth, counts)?);
            let (command, comment) = (String::new(), String::new());
            views.push(LayerView { index: views.len(), command, comment, created: 0, layer });
        }
        drop(pins);
        Ok(views)
    }

    /// Tells `visit` what the `index`th step of an image did to its files, in the order of paths. Blocks; ends early when
    /// `visit` breaks.
    ///
    /// # Errors
    /// Not found for an unknown image or step.
    pub fn layer_changes(
        &self,
        name: &str,
        index: usize,
        options: &ChangesOptions,
        visit: &mut dyn FnMut(Change) -> ControlFlow<()>,
    ) -> Result<()> {
        let image = self.find(name)?;
        let pins = self.pin_layers(&image)?;
        let Some(nth) = nth_layer(&image, index)? else { return Ok(()) };
        let mut left = options.limit.unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(());
        }
        let done = self.walk(&image, nth, options.after.as_deref().map(str::as_bytes), &mut |change| {
            left -= 1;
            if visit(change).is_break() || left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        drop(pins);
        done
    }

    fn pin_layers(&self, image: &Image) -> Result<Vec<cubby_image::Pin>> {
        let missing = |id: &Digest| Error::internal(format!("layer {id} is missing"));
        image.layers.iter().map(|l| self.store.pin(&l.diff_id).ok_or_else(|| missing(&l.diff_id))).collect()
    }

    fn facts(&self, image: &Image, nth: usize, counts: bool) -> Result<LayerFacts> {
        let layer = &image.layers[nth];
        let has_it = |other: &&std::sync::Arc<Image>| {
            other.id != image.id && other.layers.iter().any(|theirs| theirs.diff_id == layer.diff_id)
        };
        let mut shared_with: Vec<SharedWith> = self
            .read()
            .visible()
            .filter(has_it)
            .map(|other| SharedWith { id: other.id, names: other.repo_tags.clone() })
            .collect();
        shared_with.sort_by(|a, b| (&a.names, a.id).cmp(&(&b.names, b.id)));
        let files = counts.then(|| self.counts(image, nth)).transpose()?;
        let blob = layer.blob.as_ref().map(|blob| (blob.digest, blob.size_bytes));
        Ok(LayerFacts { diff_id: layer.diff_id, size: layer.size_bytes, blob, shared_with, files })
    }

    fn counts(&self, image: &Image, nth: usize) -> Result<Counts> {
        let mut counts = Counts::default();
        self.walk(image, nth, None, &mut |change| {
            match change.kind {
                ChangeKind::Added => counts.added += 1,
                ChangeKind::Changed => counts.changed += 1,
                ChangeKind::Removed => counts.removed += 1,
            }
            ControlFlow::Continue(())
        })?;
        Ok(counts)
    }

    fn walk(
        &self,
        image: &Image,
        nth: usize,
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(Change) -> ControlFlow<()>,
    ) -> Result<()> {
        let dir = |n: usize| self.store.diff_dir(&image.layers[n].diff_id);
        let lowers: Vec<PathBuf> = (0..nth).rev().map(dir).collect();
        changes(&dir(nth), &lowers, after, visit).map_err(|error| describe(error, "read a layer"))
    }
}

/// Which layer a step made.
fn nth_layer(image: &Image, index: usize) -> Result<Option<usize>> {
    let history = &image.file.history;
    let layers_in = |steps: usize| history[..steps].iter().filter(|step| !step.empty_layer).count();
    let unknown = || Error::not_found(format!("the image has no step {index}"));
    match history.get(index) {
        Some(step) if step.empty_layer => Ok(None),
        Some(_) => Some(layers_in(index)).filter(|nth| *nth < image.layers.len()).map(Some).ok_or_else(unknown),
        None => {
            let nth = layers_in(history.len()) + (index - history.len());
            Some(nth).filter(|nth| *nth < image.layers.len()).map(Some).ok_or_else(unknown)
        }
    }
}
