//! `docker rmi` and `docker image prune`: names first, then images, then layers.
//!
//! The rules, and the words of every refusal, are dockerd's. Source: moby daemon/images/image_delete.go.

use std::collections::HashSet;

use cubby_image::{Digest, Reference};
use serde::Serialize;

use super::{
    Images,
    find::lookup,
    image::{Image, ImageUse, Record},
    index::Index,
};
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Also when it is in use by stopped containers or has several names.
    pub force: bool,
    /// Steps that only it was made on stay.
    pub keep_parents: bool,
}

/// One thing that a removal did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Removed {
    /// A name is gone.
    Untagged(String),
    /// An image or a layer is gone.
    Deleted(String),
}

/// Reasons not to remove, in the order they are looked for.
#[derive(Clone, Copy)]
struct Conflicts {
    children: bool,
    references: bool,
    stopped: bool,
}

impl Images {
    /// Removes a name, or the image itself when it has no other name or is given by id.
    ///
    /// # Errors
    /// Not found; conflict when containers or other names need it.
    pub fn remove(&self, name_or_id: &str, options: RemoveOptions) -> Result<Vec<Removed>> {
        let mut removed = Vec::new();
        let mut events = Vec::new();
        let mut index = self.write();
        let image = lookup(&index, name_or_id)?;
        let done = self.remove_locked(&mut index, &image, name_or_id, options, &mut removed, &mut events);
        drop(index);
        for action in events {
            self.event(action, &image, Some(image.id.to_string()));
        }
        self.empty_trash();
        done.map(|()| removed)
    }

    fn remove_locked(
        &self,
        index: &mut Index,
        image: &Image,
        asked: &str,
        RemoveOptions { force, keep_parents }: RemoveOptions,
        removed: &mut Vec<Removed>,
        events: &mut Vec<&'static str>,
    ) -> Result<()> {
        let names = owned_names(index, &image.id);
        let mut quiet = false;
        if is_id_prefix(&image.id, asked) {
            if is_single_reference(&names) {
                self.refuse_conflicts(index, image, Conflicts { children: true, references: false, stopped: !force })
                    .map_err(|c| c.error)?;
                for name in &names {
                    self.untag(index, name, removed, events)?;
                }
            }
        } else {
            let users = self.using(&image.id);
            if !force
                && is_single_reference(&names)
                && let Some(user) = users.first()
            {
                return Err(Error::conflict(format!(
                    "conflict: unable to remove repository reference \"{asked}\" (must force) - container {} is using its \
                     referenced image {}",
                    short(&user.container_id),
                    short_id(&image.id)
                )));
            }
            if !self.untag_asked(index, asked, &image.id, removed, events)? {
                return Ok(());
            }
            quiet = true;
        }
        let conflicts = Conflicts { children: true, references: !force, stopped: !force };
        if let Err(conflict) = self.refuse_conflicts(index, image, conflicts) {
            // Why: its name is gone as asked; what is in use stays without one.
            let dangling = owned_names(index, &image.id).is_empty() && !index.has_children(&image.id);
            let ignored = quiet && (!dangling || conflict.used);
            return if ignored { Ok(()) } else { Err(conflict.error) };
        }
        for name in owned_names(index, &image.id) {
            self.untag(index, &name, removed, events)?;
        }
        self.delete(index, image, removed)?;
        events.push("delete");
        if !keep_parents {
            self.remove_steps(index, image.parent(), removed)?;
        }
        Ok(())
    }

    /// Removes the steps below a removed image that nothing else needs.
    fn remove_steps(&self, index: &mut Index, mut step: Option<Digest>, removed: &mut Vec<Removed>) -> Result<()> {
        while let Some(image) = step.and_then(|id| index.get(&id).cloned()) {
            let conflicts = Conflicts { children: true, references: true, stopped: true };
            if image.record.hidden || self.refuse_conflicts(index, &image, conflicts).is_err() {
                return Ok(());
            }
            self.delete(index, &image, removed)?;
            self.event("delete", &image, Some(image.id.to_string()));
            step = image.parent();
        }
        Ok(())
    }

    /// Removes the name that was asked for, and digests of its repository that have lost their last tag. True when no
    /// name is left.
    fn untag_asked(
        &self,
        index: &mut Index,
        asked: &str,
        id: &Digest,
        removed: &mut Vec<Removed>,
        events: &mut Vec<&'static str>,
    ) -> Result<bool> {
        let name = Reference::parse(asked).map_err(|error| Error::invalid(error.to_string()))?.or_latest();
        let name = match name.digest() {
            Some(digest) => name.with_digest(*digest),
            None => name,
        };
        self.untag(index, &name, removed, events)?;
        let left = owned_names(index, id);
        let of_repository = |other: &&Reference| other.name() == name.name();
        let tag_left = left.iter().filter(of_repository).any(|other| other.digest().is_none());
        if name.digest().is_none() && !tag_left {
            for digest in left.iter().filter(of_repository) {
                self.drop_name(index, digest)?;
                removed.push(Removed::Untagged(digest.familiar()));
            }
        }
        Ok(owned_names(index, id).is_empty())
    }

    fn untag(
        &self,
        index: &mut Index,
        name: &Reference,
        removed: &mut Vec<Removed>,
        events: &mut Vec<&'static str>,
    ) -> Result<()> {
        self.drop_name(index, name)?;
        removed.push(Removed::Untagged(name.familiar()));
        events.push("untag");
        Ok(())
    }

    /// Forgets the image and takes the layers that nothing else needs off the disk. While stopped containers stand on
    /// it, it is only put out of sight.
    fn delete(&self, index: &mut Index, image: &Image, removed: &mut Vec<Removed>) -> Result<()> {
        removed.push(Removed::Deleted(image.id.to_string()));
        if !self.using(&image.id).is_empty() {
            return self.hide(index, image);
        }
        self.drop_record(index, &image.id)?;
        let free = unreferenced(index, image);
        // Why: dockerd names layers by chain id, topmost first.
        let mut chain = None;
        let mut chains = Vec::new();
        for layer in image.layers.iter() {
            let id = Digest::chain(chain.as_ref(), &layer.diff_id);
            chains.push((id, layer.diff_id));
            chain = Some(id);
        }
        let gone = chains.iter().rev().filter(|(_, diff_id)| free.contains(diff_id));
        removed.extend(gone.map(|(chain, _)| Removed::Deleted(chain.to_string())));
        self.store.remove(free).map_err(|source| Error::system("remove layers", source))
    }

    fn hide(&self, index: &mut Index, image: &Image) -> Result<()> {
        self.replace_record(index, image, Record { hidden: true, ..(*image.record).clone() })
    }

    /// Lets go of images that were removed while containers stood on them, and stand alone now. To be called after
    /// containers were removed.
    pub fn release_hidden(&self) {
        if !self.read().all().any(|image| image.record.hidden) {
            return;
        }
        let mut index = self.write();
        let hidden: Vec<_> = index.all().filter(|image| image.record.hidden).cloned().collect();
        for image in hidden {
            if !self.using(&image.id).is_empty() {
                continue;
            }
            let done = self.drop_record(&mut index, &image.id).and_then(|()| {
                let free = unreferenced(&index, &image);
                self.store.remove(free).map_err(|source| Error::system("remove layers", source))
            });
            if let Err(error) = done {
                tracing::warn!(err = %error, image = %image.id, "could not let go of a removed image");
            }
        }
        drop(index);
        self.empty_trash();
    }

    fn refuse_conflicts(&self, index: &Index, image: &Image, looked_for: Conflicts) -> Result<(), Conflict> {
        let users = self.using(&image.id);
        let by =
            |user: &ImageUse, state| format!("image is being used by {state} container {}", short(&user.container_id));
        if looked_for.children && index.has_children(&image.id) {
            return Err(Conflict::new(image, true, false, "image has dependent child images"));
        }
        if let Some(user) = users.iter().find(|user| user.running) {
            return Err(Conflict::new(image, true, true, &by(user, "running")));
        }
        if looked_for.references && !index.names_of(&image.id).is_empty() {
            return Err(Conflict::new(image, false, false, "image is referenced in multiple repositories"));
        }
        match users.first().filter(|_| looked_for.stopped) {
            Some(user) => Err(Conflict::new(image, false, true, &by(user, "stopped"))),
            None => Ok(()),
        }
    }
}

struct Conflict {
    used: bool,
    error: Error,
}

impl Conflict {
    fn new(image: &Image, hard: bool, used: bool, reason: &str) -> Self {
        let force = if hard { "cannot be forced" } else { "must be forced" };
        let id = short_id(&image.id);
        Self { used, error: Error::conflict(format!("conflict: unable to delete {id} ({force}) - {reason}")) }
    }
}

/// Layers of `image` that no image in the index has.
fn unreferenced(index: &Index, image: &Image) -> HashSet<Digest> {
    let mut free: HashSet<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
    for layer in index.all().filter(|other| other.id != image.id).flat_map(|other| other.layers.iter()) {
        free.remove(&layer.diff_id);
    }
    free
}

fn owned_names(index: &Index, id: &Digest) -> Vec<Reference> {
    index.names_of(id).into_iter().cloned().collect()
}

/// At most one tag, and digests only of its own repository. Source: moby `isSingleReference`.
fn is_single_reference(names: &[Reference]) -> bool {
    if names.len() <= 1 {
        return true;
    }
    let (digests, tags): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.digest().is_some());
    let repositories: HashSet<String> = digests.iter().map(|name| name.name()).collect();
    match tags.as_slice() {
        [] => repositories.len() == 1,
        [tag] => repositories.len() == 1 && repositories.contains(&tag.name()),
        _ => false,
    }
}

fn is_id_prefix(id: &Digest, text: &str) -> bool {
    id.to_string().starts_with(text) || id.hex().starts_with(text)
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn short_id(id: &Digest) -> String {
    short(&id.hex()).to_owned()
}
