//! Does the store hold what its records say, and nothing else?

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cubby_image::{Digest, ImageFile, Pin, layer::Depth};
use serde::Serialize;

use super::{
    IMAGE, Image, Images, NAME,
    image::{NameRecord, Record},
};
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// Read every byte of every layer, not only look for every file.
    pub content: bool,
}

/// What a check tells while it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Verdict {
    /// A layer is as it should be.
    #[serde(rename_all = "camelCase")]
    Layer { diff_id: Digest, checked: usize, total: usize },
    /// Something is not; a sentence for a person.
    #[serde(rename_all = "camelCase")]
    Problem { subject: String, reason: String },
    /// The end.
    #[serde(rename_all = "camelCase")]
    Done { images: usize, names: usize, layers: usize, bytes: u64, unfinished: usize, trash: usize, problems: usize },
}

/// Everything there was at one moment; its layers stay until it is dropped.
struct Moment {
    images: Vec<Arc<Image>>,
    names: usize,
    layers: Vec<(Digest, Option<Pin>)>,
}

impl Images {
    /// Checks records, names, layers and what lies beside them. Blocks, and takes as long as reading the layers when
    /// their content is asked for. Ends early, without a word, when `go_on` says no.
    pub fn verify(&self, options: VerifyOptions, say: &dyn Fn(Verdict), go_on: &dyn Fn() -> bool) -> Result<()> {
        let mut problems = 0;
        let mut problem = |subject: String, reason: String| {
            problems += 1;
            say(Verdict::Problem { subject, reason });
        };
        let moment = self.moment();
        self.check_rows(&moment, &mut problem)?;
        moment.images.iter().for_each(|image| check_image(image, &mut problem));
        let strays = self.store.strays(&moment.layers.iter().map(|(id, _)| *id).collect());
        let strays = strays.map_err(|source| Error::system("look through the layers", source))?;
        for name in strays.unknown {
            problem(format!("layers/{name}"), "no image has this layer".to_owned());
        }
        let depth = if options.content { Depth::Content } else { Depth::Shape };
        let (total, mut bytes) = (moment.layers.len(), 0);
        for (n, (diff_id, pin)) in moment.layers.iter().enumerate() {
            if !go_on() {
                return Ok(());
            }
            let verified = match pin {
                Some(pin) => self.store.verify(pin.diff_id(), depth, go_on).map_err(|error| chain(&error)),
                None => Err("it is missing".to_owned()),
            };
            match verified {
                Ok(len) => {
                    bytes += len;
                    say(Verdict::Layer { diff_id: *diff_id, checked: n + 1, total });
                }
                Err(_) if !go_on() => return Ok(()),
                Err(reason) => problem(format!("layer {diff_id}"), reason),
            }
        }
        let (images, names) = (moment.images.len(), moment.names);
        let (unfinished, trash) = (strays.unfinished, strays.trash);
        say(Verdict::Done { images, names, layers: total, bytes, unfinished, trash, problems });
        Ok(())
    }

    fn moment(&self) -> Moment {
        let index = self.read();
        let mut layers: Vec<Digest> = index.layers().into_iter().collect();
        layers.sort_unstable();
        Moment {
            images: index.all().cloned().collect(),
            names: index.names().count(),
            layers: layers.into_iter().map(|id| (id, self.store.pin(&id))).collect(),
        }
    }

    /// What the state database says against what the engine works with.
    fn check_rows(&self, moment: &Moment, problem: &mut impl FnMut(String, String)) -> Result<()> {
        // Why under the lock: rows and memory change together.
        let index = self.read();
        let failed = |source| Error::system("read the images' records", source);
        let (rows, unreadable) = self.state.all::<Record>(IMAGE).map_err(failed)?;
        let (names, more) = self.state.all::<NameRecord>(NAME).map_err(failed)?;
        for error in unreadable.into_iter().chain(more) {
            problem("state database".to_owned(), error.to_string());
        }
        let known: HashSet<String> = index.all().map(|image| image.id.to_string()).collect();
        let written: HashSet<String> = rows.into_iter().map(|(id, _)| id).collect();
        for id in known.symmetric_difference(&written) {
            problem(format!("image {id}"), "its record is not readable, or is not in the state database".to_owned());
        }
        let written: HashMap<String, Digest> = names.into_iter().map(|(name, record)| (name, record.image)).collect();
        let known: HashMap<String, Digest> = index.names().map(|(name, id)| (name.to_string(), *id)).collect();
        for (name, id) in &written {
            if known.get(name) != Some(id) {
                problem(format!("name {name}"), format!("it points at {id}, which is not there"));
            }
        }
        for name in known.keys().filter(|name| !written.contains_key(*name)) {
            problem(format!("name {name}"), "it is not in the state database".to_owned());
        }
        drop(index);
        tracing::debug!(images = moment.images.len(), "the images' records were checked");
        Ok(())
    }
}

fn check_image(image: &Image, problem: &mut impl FnMut(String, String)) {
    let subject = || format!("image {}", image.id);
    let config = image.record.config.as_bytes();
    if Digest::of(config) != image.id {
        problem(subject(), "its config does not match its id".to_owned());
    }
    let listed = image.layers.iter().map(|layer| layer.diff_id);
    match ImageFile::parse(config) {
        Ok(file) if listed.eq(file.rootfs.diff_ids.iter().copied()) => {}
        Ok(_) => problem(subject(), "its record lists other layers than its config".to_owned()),
        Err(error) => problem(subject(), format!("its config is not readable: {error}")),
    }
}

fn chain(error: &cubby_image::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}
