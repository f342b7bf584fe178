//! Images and their names in memory: the truth while the engine runs, written through to the state database.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use cubby_image::{Digest, ImageFile, Reference, Store};

use super::image::{Image, Record, familiar_names};

/// Every image and every name. Names point only at images that are there.
pub(super) struct Index {
    store: Store,
    images: HashMap<Digest, Arc<Image>>,
    names: BTreeMap<Reference, Digest>,
}

impl Index {
    pub fn new(store: Store) -> Self {
        Self { store, images: HashMap::new(), names: BTreeMap::new() }
    }

    /// Adds or replaces an image, keeping its names.
    pub fn put(&mut self, id: Digest, file: Arc<ImageFile>, record: Arc<Record>) {
        let size_bytes = record.layers.iter().map(|layer| layer.size_bytes).sum();
        let image = Image {
            id,
            repo_tags: Vec::new(),
            repo_digests: Vec::new(),
            chain_id: file.chain_id(),
            layers: record.layers.clone().into(),
            lower_dirs: self.lower_dirs(&record).into(),
            size_bytes,
            tagged_at: record.tagged_at,
            file,
            record,
        };
        self.images.insert(id, Arc::new(image));
        self.rename(&id);
    }

    /// Topmost first. Why each only once, in its topmost place: overlayfs refuses duplicates, and everything that a
    /// layer shows or hides from a lower place, it shows or hides from the higher one as well.
    fn lower_dirs(&self, record: &Record) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = Vec::with_capacity(record.layers.len().max(1));
        for layer in record.layers.iter().rev() {
            let dir = self.store.diff_dir(&layer.diff_id);
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        if dirs.is_empty() {
            dirs.push(self.store.empty_dir());
        }
        dirs
    }

    /// Removes an image and every name it has left.
    pub fn remove(&mut self, id: &Digest) {
        self.images.remove(id);
        self.names.retain(|_, target| target != id);
    }

    /// Points a name at an image that is there; returns what it pointed at.
    pub fn name(&mut self, name: Reference, id: Digest) -> Option<Digest> {
        let before = self.names.insert(name, id);
        self.rename(&id);
        if let Some(before) = before {
            self.rename(&before);
        }
        before
    }

    pub fn unname(&mut self, name: &Reference) {
        if let Some(id) = self.names.remove(name) {
            self.rename(&id);
        }
    }

    fn rename(&mut self, id: &Digest) {
        let (repo_tags, repo_digests) = familiar_names(self.names_of(id).into_iter());
        if let Some(image) = self.images.get_mut(id) {
            let image = Arc::make_mut(image);
            (image.repo_tags, image.repo_digests) = (repo_tags, repo_digests);
        }
    }

    pub fn names_of(&self, id: &Digest) -> Vec<&Reference> {
        self.names.iter().filter(|(_, target)| *target == id).map(|(name, _)| name).collect()
    }

    /// Every name and the image it means.
    pub fn names(&self) -> impl Iterator<Item = (&Reference, &Digest)> {
        self.names.iter()
    }

    /// Any image, hidden ones too.
    pub fn get(&self, id: &Digest) -> Option<&Arc<Image>> {
        self.images.get(id)
    }

    /// Images in sight.
    pub fn visible(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.images.values().filter(|image| !image.record.hidden)
    }

    /// The layers of every image.
    pub fn layers(&self) -> HashSet<Digest> {
        self.all().flat_map(|image| image.layers.iter()).map(|layer| layer.diff_id).collect()
    }

    /// Images that others in sight were made on.
    pub fn parents(&self) -> HashSet<Digest> {
        self.visible().filter_map(|image| image.record.parent).collect()
    }

    pub fn has_children(&self, id: &Digest) -> bool {
        self.visible().any(|image| image.record.parent == Some(*id))
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.images.values()
    }

    /// Every tag of a repository, and whose it is.
    pub fn tags_of(&self, repository: &Reference) -> Vec<(Arc<Image>, Vec<Reference>)> {
        let of_repository = |name: &&Reference| name.digest().is_none() && name.name() == repository.name();
        let names = self.names.keys().filter(of_repository);
        names.filter_map(|name| Some((self.named(name)?.clone(), vec![name.clone()]))).collect()
    }

    pub fn named(&self, name: &Reference) -> Option<&Arc<Image>> {
        self.images.get(self.names.get(name)?)
    }

    /// The one image in sight whose id starts so; with or without `sha256:`.
    pub fn by_prefix(&self, text: &str) -> Option<&Arc<Image>> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        let hex = !prefix.is_empty() && prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut found = self.visible().filter(|image| hex && image.id.hex().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(image), None) => Some(image),
            _ => None,
        }
    }
}
