//! One stage: from its base to its last step.

use std::{path::PathBuf, sync::Arc};

use cubby_build::{Instruction, Step};
use cubby_image::{ImageConfig, Platform, Reference};
use cubby_registry::Credentials;
use tokio::task::spawn_blocking;

use super::{Progress, cache::Key, config, short};
use crate::{
    error::{Error, ErrorKind, Result},
    images::{CommitOptions, Image, PullOptions},
};

/// What Docker gives images without one. Source: moby `system.DefaultPathEnvUnix`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A finished stage.
pub(super) struct Built {
    /// None for a stage of nothing but `FROM scratch`.
    pub image: Option<Arc<Image>>,
}

/// A stage in the making.
pub(super) struct Stage {
    pub number: usize,
    pub image: Option<Arc<Image>>,
    pub config: ImageConfig,
    author: String,
    /// This Dockerfile said `CMD`, so that a later `ENTRYPOINT` keeps it.
    has_cmd: bool,
    /// A step was done anew: nothing after it can have been done before.
    missed: bool,
}

impl Progress<'_> {
    pub(super) async fn stage(&mut self, number: usize, is_target: bool) -> Result<Built> {
        let build = self.build;
        let file = &build.file.stages[number];
        self.announce(&file.text).await;
        self.arguments.begin_stage();
        let base = self.arguments.global(build.file.escape, &file.base)?;
        if base.is_empty() {
            return Err(Error::invalid(format!("base name ({}) should not be blank", file.base)));
        }
        let image = match build.file.stage_before(&base, number) {
            Some(earlier) => self.stages.get(&earlier).and_then(|built| built.image.clone()),
            None if base == "scratch" => None,
            None => Some(self.base(&base, file.platform.as_deref()).await?),
        };
        if let Some(image) = &image {
            self.out.say(format!(" ---> {}\n", short(&image.id))).await;
        } else {
            self.out.say(" ---> \n").await;
        }
        let mut stage = Stage::on(number, image);
        self.triggers(&mut stage).await?;
        for step in &file.steps {
            self.announce(&step.text).await;
            self.step(&mut stage, step).await?;
        }
        if is_target && !build.options.labels.is_empty() {
            let words: Vec<String> =
                build.options.labels.iter().map(|(name, value)| format!("{name:?}={value:?}")).collect();
            let pairs = build.options.labels.iter().map(|(name, value)| (quoted(name), quoted(value))).collect();
            let step =
                Step { line: 0, text: format!("LABEL {}", words.join(" ")), instruction: Instruction::Label(pairs) };
            self.announce(&step.text).await;
            self.step(&mut stage, &step).await?;
        }
        Ok(Built { image: stage.image })
    }

    /// The base image: from here, or from its registry.
    pub(super) async fn base(&self, name: &str, platform: Option<&str>) -> Result<Arc<Image>> {
        let images = &self.build.engine.images;
        let asked = match platform {
            Some(text) => {
                let text = self.arguments.global(self.build.file.escape, text)?;
                let platform = Platform::parse(&text);
                Some(platform.map_err(|error| Error::invalid(format!("failed to parse platform {text}: {error}")))?)
            }
            None => self.build.options.platform.clone(),
        };
        if !self.build.options.pull {
            match images.find(name) {
                Ok(image) if asked.as_ref().is_none_or(|asked| image.platform().satisfies(asked)) => return Ok(image),
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let reference = Reference::parse(name).map_err(|error| Error::invalid(error.to_string()))?.or_latest();
        let credentials = self.build.options.credentials.get(reference.domain()).cloned();
        let options =
            PullOptions { reference, platform: asked, credentials: credentials.unwrap_or(Credentials::Anonymous) };
        let resolved = images.resolve(&options).await?;
        images.pull(resolved, self.out.progress()).await?;
        images.find(name)
    }

    /// `ONBUILD` of the base.
    async fn triggers(&mut self, stage: &mut Stage) -> Result<()> {
        let triggers = stage.config.on_build.take().unwrap_or_default();
        if triggers.is_empty() {
            return Ok(());
        }
        let plural = if triggers.len() == 1 { "" } else { "s" };
        self.out.say(format!("# Executing {} build trigger{plural}\n", triggers.len())).await;
        for text in triggers {
            let instruction = cubby_build::parse_trigger(&text).map_err(Error::invalid)?;
            self.step(stage, &Step { line: 0, text, instruction }).await?;
        }
        Ok(())
    }

    async fn step(&mut self, stage: &mut Stage, step: &Step) -> Result<()> {
        match &step.instruction {
            Instruction::Run(run) => self.run_step(stage, run).await,
            Instruction::Copy(copy) => self.copy_step(stage, copy, "COPY").await,
            Instruction::Add(copy) => self.copy_step(stage, copy, "ADD").await,
            Instruction::Arg(pairs) => {
                for (name, default) in pairs {
                    let scope = self.arguments.scope(self.build.file.escape, &stage.config.env);
                    let default = default.as_deref().map(|default| scope.word(default)).transpose()?;
                    self.arguments.declare(name, default);
                }
                self.config_step(stage, &step.text).await
            }
            Instruction::Maintainer(name) => {
                stage.author.clone_from(name);
                self.config_step(stage, &format!("MAINTAINER {name}")).await
            }
            instruction => {
                let env = stage.config.env.clone();
                let scope = self.arguments.scope(self.build.file.escape, &env);
                let said = config::apply(&mut stage.config, instruction, &scope)?;
                let said = said.ok_or_else(|| Error::internal("an instruction was left out"))?;
                match instruction {
                    Instruction::Cmd(_) => stage.has_cmd = true,
                    // Why: a base's arguments make no sense to another program.
                    Instruction::Entrypoint(_) if !stage.has_cmd => stage.config.cmd = None,
                    Instruction::Workdir(_) => return self.workdir_step(stage, &said).await,
                    _ => {}
                }
                self.config_step(stage, &said).await
            }
        }
    }

    /// A step that changes the config alone.
    pub(super) async fn config_step(&mut self, stage: &mut Stage, said: &str) -> Result<()> {
        let created_by = format!("/bin/sh -c #(nop)  {said}");
        let key = Key::new(stage.image.as_deref(), &[&created_by]);
        if self.known(stage, &key).await? {
            return Ok(());
        }
        self.commit(stage, key, None, created_by).await
    }

    /// Takes the image that this step made before. False when there is none.
    pub(super) async fn known(&mut self, stage: &mut Stage, key: &Key) -> Result<bool> {
        if self.build.options.no_cache || stage.missed {
            return Ok(false);
        }
        let remembered = self.build.engine.remembered(key)?;
        let Some(image) = remembered.filter(|image| self.build.may_use(image)) else {
            stage.missed = true;
            return Ok(false);
        };
        self.out.say(format!(" ---> Using cache\n ---> {}\n", short(&image.id))).await;
        // Why the config comes with it: it is what the step made of the one before.
        stage.config = image.config().clone();
        stage.image = Some(image);
        Ok(true)
    }

    /// Makes the step's image and goes on with it; `upper` is what it changed.
    pub(super) async fn commit(
        &mut self,
        stage: &mut Stage,
        key: Key,
        upper: Option<PathBuf>,
        created_by: String,
    ) -> Result<()> {
        let image = self.make(stage, upper, created_by).await?;
        self.made(stage, &key, image).await
    }

    pub(super) async fn make(&self, stage: &Stage, upper: Option<PathBuf>, created_by: String) -> Result<Arc<Image>> {
        let options = CommitOptions {
            config: stage.config.clone(),
            author: stage.author.clone(),
            created_by,
            ..CommitOptions::default()
        };
        let (images, base) = (self.build.engine.images.clone(), stage.image.clone());
        let done = spawn_blocking(move || images.step(base.as_deref(), upper.as_deref(), options)).await;
        done.map_err(|error| Error::system("make the step's image", error))?
    }

    pub(super) async fn made(&mut self, stage: &mut Stage, key: &Key, image: Arc<Image>) -> Result<()> {
        self.build.engine.remember(key, &image)?;
        self.out.say(format!(" ---> {}\n", short(&image.id))).await;
        stage.image = Some(image);
        Ok(())
    }
}

impl Stage {
    fn on(number: usize, image: Option<Arc<Image>>) -> Self {
        let mut config = image.as_ref().map(|image| image.config().clone()).unwrap_or_default();
        if !config.env.iter().any(|entry| entry.starts_with("PATH=")) {
            config.env.push(format!("PATH={PATH}"));
        }
        let author = image.as_ref().map(|image| image.file.author.clone()).unwrap_or_default();
        Self { number, image, config, author, has_cmd: false, missed: false }
    }
}

/// A word that expands to itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}
