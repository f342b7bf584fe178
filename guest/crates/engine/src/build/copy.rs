//! `COPY` and `ADD`: which files, whether they are the same as last time, and into the image with them.

use std::sync::Arc;

use cubby_build::{Copy, HereDoc, Source};
use cubby_image::{
    Digest,
    snapshot::{self, Access},
};
use tokio::task::spawn_blocking;

use super::{Progress, cache::Key, config::absolute, download, find, place, stage::Stage};
use crate::{
    containers::files::Files,
    error::{Error, Result},
    images::Image,
};

/// A `COPY` with its variables put in.
#[derive(Clone)]
pub(super) struct Wanted {
    pub keyword: &'static str,
    pub sources: Vec<String>,
    /// What is fetched first: `ADD` alone.
    pub addresses: Vec<String>,
    /// What every fetched file must have.
    pub checksum: Option<Digest>,
    pub documents: Vec<HereDoc>,
    /// Absolute.
    pub destination: String,
    /// The destination as the Dockerfile has it, for the history.
    pub written: String,
    /// The destination is a directory by what was written.
    pub into_directory: bool,
    pub chown: Option<String>,
    pub chmod: Option<u32>,
    /// Files of a stage or an image keep their owners; the context's belong to root.
    pub keeps_owners: bool,
    /// Local archives are unpacked: `ADD` from the context.
    pub unpacks: bool,
}

impl Progress<'_> {
    pub(super) async fn copy_step(&mut self, stage: &mut Stage, copy: &Copy, keyword: &'static str) -> Result<()> {
        let wanted = self.wanted(stage, copy, keyword)?;
        let files = match copy.from.as_deref() {
            None => self.build.context.files()?,
            Some(from) => self.files_of(stage, from).await?,
        };
        let owner = wanted.chown.clone().unwrap_or_default();
        let mode = wanted.chmod.map(|mode| format!("{mode:o}")).unwrap_or_default();
        let written = wanted.written.clone();
        let fetched = match wanted.addresses.as_slice() {
            [] => None,
            _ => {
                let directory = self.build.context.downloads(self.step);
                Some(download::fetch(&self.build.engine.images, &wanted, directory, self.out).await?)
            }
        };
        let looked = spawn_blocking(move || {
            let places = [(files, wanted)].into_iter().chain(fetched);
            let found = places.map(|(files, wanted)| Ok((find::find(&files, &wanted)?, files, wanted)));
            found.collect::<Result<Vec<_>>>()
        });
        let found = looked.await.map_err(|error| Error::system("look for the files to copy", error))??;
        let label = find::label_of(found.iter().map(|(found, ..)| found));
        let flag = if owner.is_empty() { String::new() } else { format!("--chown={owner} ") };
        let created_by = format!("/bin/sh -c #(nop) {keyword} {flag}{label} in {written} ");
        let key = Key::new(stage.image.as_deref(), &[&created_by, &owner, &mode]);
        if self.known(stage, &key).await? {
            return Ok(());
        }
        let target = self.writable(stage)?;
        let put = spawn_blocking(move || {
            for (found, files, wanted) in &found {
                place::put(files, wanted, found, &target.files)?;
            }
            Ok::<_, Error>(target)
        });
        let target = put.await.map_err(|error| Error::system("copy the files", error))??;
        self.commit(stage, key, Some(target.upper), created_by).await
    }

    /// `WORKDIR` also makes the directory.
    pub(super) async fn workdir_step(&mut self, stage: &mut Stage, said: &str) -> Result<()> {
        let created_by = format!("/bin/sh -c #(nop) {said}");
        let key = Key::new(stage.image.as_deref(), &[&created_by]);
        if self.known(stage, &key).await? {
            return Ok(());
        }
        let (target, path) = (self.writable(stage)?, stage.config.working_dir.clone());
        let made = spawn_blocking(move || {
            place::make_directory(&target.files, &path, None)?;
            Ok::<_, Error>(target)
        });
        let target = made.await.map_err(|error| Error::system("make the working directory", error))??;
        self.commit(stage, key, Some(target.upper), created_by).await
    }

    fn wanted(&self, stage: &Stage, copy: &Copy, keyword: &'static str) -> Result<Wanted> {
        if copy.parents || !copy.exclude.is_empty() {
            let flag = if copy.parents { "parents" } else { "exclude" };
            return Err(Error::invalid(format!("{keyword} --{flag} is not supported by this builder")));
        }
        let scope = self.arguments.scope(self.build.file.escape, &stage.config.env);
        let (mut sources, mut addresses, mut documents) = (Vec::new(), Vec::new(), Vec::new());
        for source in &copy.sources {
            match source {
                Source::Path(path) => match scope.word(path)? {
                    address if download::is_address(&address) => addresses.push(address),
                    path => sources.push(path),
                },
                Source::Document(document) => {
                    let text = if document.expand { scope.document(&document.text)? } else { document.text.clone() };
                    documents.push(HereDoc { text, ..document.clone() });
                }
            }
        }
        if keyword == "COPY" && !addresses.is_empty() {
            return Err(Error::invalid("source can't be a URL for COPY"));
        }
        if copy.checksum.is_some() && (addresses.is_empty() || !sources.is_empty()) {
            return Err(Error::invalid("checksum can't be specified for non-HTTP(S) sources"));
        }
        if let Some(repository) = sources.iter().find(|source| keyword == "ADD" && is_repository(source)) {
            return Err(Error::not_implemented(format!(
                "ADD failed: {repository}: repositories are not fetched by this builder: clone it first, or use RUN with git"
            )));
        }
        let destination = scope.word(&copy.destination)?;
        let many = sources.len() + addresses.len() + documents.len() > 1;
        let into_directory =
            destination.ends_with('/') || destination.ends_with("/.") || matches!(destination.as_str(), "." | "..");
        if many && !into_directory {
            return Err(Error::invalid(format!(
                "When using {keyword} with more than one source file, the destination must be a directory and end with a /"
            )));
        }
        let chmod =
            copy.chmod.as_deref().map(|mode| scope.word(mode)).transpose()?.map(|mode| octal(&mode)).transpose()?;
        Ok(Wanted {
            keyword,
            sources,
            addresses,
            checksum: copy.checksum.as_deref().map(download::checksum).transpose()?,
            documents,
            destination: absolute(&stage.config.working_dir, &destination),
            written: destination,
            into_directory,
            chown: copy.chown.as_deref().map(|owner| scope.word(owner)).transpose()?,
            chmod,
            keeps_owners: copy.from.is_some(),
            unpacks: keyword == "ADD",
        })
    }

    /// The files of an earlier stage, or of an image.
    async fn files_of(&mut self, stage: &Stage, from: &str) -> Result<Files> {
        let from = self.arguments.scope(self.build.file.escape, &stage.config.env).word(from)?;
        // Source: moby builder/dockerfile/dispatchers.go `dispatchCopy`, `stagesBuildResults.validateIndex`.
        let invalid = |reason: &str| Error::invalid(format!("invalid from flag value {from}: {reason}"));
        let image = match (self.build.file.stage_before(&from, stage.number), from.parse::<usize>()) {
            (Some(earlier), _) => self.stages.get(&earlier).and_then(|built| built.image.clone()),
            (None, Ok(number)) if number == stage.number => return Err(invalid("refers to current build stage")),
            (None, Ok(_)) => return Err(invalid("index out of bounds")),
            (None, Err(_)) => {
                let named = self.base(&from, None).await;
                Some(named.map_err(|error| Error::new(error.kind(), invalid(error.message()).message()))?)
            }
        };
        let Some(image) = image else { return Err(Error::invalid(format!("stage {from} has no files"))) };
        let lowers = self.build.engine.images.lowers(Some(&image), true);
        let root = snapshot::mount_detached(&lowers, Access::ReadOnly)
            .map_err(|source| Error::system(format!("mount the files of {from}"), source))?;
        Ok(Files::of_mount(root))
    }

    /// The stage's files with a writable layer over them.
    fn writable(&self, stage: &Stage) -> Result<Target> {
        let failed = |source| Error::system("mount the step's files", source);
        let directory = self.build.context.scratch(self.step);
        let (upper, work) = snapshot::prepare(&directory).map_err(failed)?;
        let lowers = self.build.engine.images.lowers(stage.image.as_deref(), false);
        let root =
            snapshot::mount_detached(&lowers, Access::Writable { upper: &upper, work: &work }).map_err(failed)?;
        Ok(Target { files: Files::of_mount(root), upper, _image: stage.image.clone() })
    }
}

struct Target {
    files: Files,
    upper: std::path::PathBuf,
    /// Its layers must not go meanwhile.
    _image: Option<Arc<Image>>,
}

/// What BuildKit's `ADD` would clone.
fn is_repository(source: &str) -> bool {
    ["git://", "git@", "ssh://"].iter().any(|scheme| source.starts_with(scheme))
}

fn octal(text: &str) -> Result<u32> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| {
        Error::invalid(format!("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"))
    })
}

/// What the history calls the copied files.
pub(super) fn label(kind: &str, digest: &Digest) -> String {
    format!("{kind}:{}", digest.hex())
}
