//! `docker build`: a Dockerfile carried out, one image a step.
//!
//! ```text
//! prepare  context unpacked, Dockerfile read                       refusals have a status of their own
//! run      stages that the target needs, in order ─▶ steps:
//!            config alone (ENV, CMD, …)  ─▶ a record                     nothing runs
//!            COPY, ADD, WORKDIR          ─▶ an overlay, files put in ─▶ a layer
//!            RUN                         ─▶ a container ─▶ its changes ─▶ a layer
//! ```
//!
//! A step that was done before on the same image is not done again ([`cache`]): its key is the image below, the instruction
//! with its variables put in, and the bytes it copies. Nothing of an unfinished build stays but the images of finished
//! steps, which the next attempt begins with. A build whose client goes is cancelled: dropping its future ends it.
//!
//! What BuildKit alone has (`RUN --mount`, secrets, exports) is refused by name.
//!
//! Source: API 1.50 `ImageBuild`; moby builder/dockerfile.

mod cache;
mod config;
mod context;
mod copy;
mod download;
mod find;
mod fingerprint;
mod options;
mod output;
mod place;
mod run;
mod scope;
mod stage;

use std::{collections::HashMap, io::Read, sync::Arc};

use cubby_build::Dockerfile;
use cubby_image::Digest;

pub use config::apply as apply_config;
pub use options::BuildOptions;
pub use output::Output;
pub use run::CommandFailed;
pub use scope::Scope;

use crate::{
    engine::Engine,
    error::{Error, Result},
    events::Event,
};
use context::Context;
use scope::Arguments;
use stage::Built;

/// A build that is ready to run.
pub struct Build {
    engine: Arc<Engine>,
    options: BuildOptions,
    context: Context,
    file: Dockerfile,
}

/// What a build is in the middle of.
struct Progress<'a> {
    build: &'a Build,
    out: &'a Output,
    arguments: Arguments,
    /// Finished stages by their number.
    stages: HashMap<usize, Built>,
    step: usize,
    steps: usize,
}

impl Engine {
    /// Removes what builds that a crash ended have left.
    pub(crate) fn sweep_builds(data_root: &std::path::Path) {
        context::sweep(data_root);
    }

    /// Receives the context and reads the Dockerfile in it. Blocks; ends when the archive ends.
    ///
    /// # Errors
    /// A broken archive, a Dockerfile that is missing or makes no sense: in dockerd's words.
    pub fn prepare_build(self: &Arc<Self>, archive: impl Read + Send, options: BuildOptions) -> Result<Build> {
        options.check()?;
        let context = Context::receive(&self.config.data_root, archive)?;
        let text = context.dockerfile(&options.dockerfile)?;
        context.leave_out(&options.dockerfile)?;
        let file = Dockerfile::parse(&text).map_err(|error| Error::invalid(error.to_string()))?;
        if let Some(target) = options.target.as_deref().filter(|target| file.stage(target).is_none()) {
            return Err(Error::invalid(format!("target stage {target:?} could not be found")));
        }
        Ok(Build { engine: self.clone(), options, context, file })
    }
}

impl Build {
    /// Carries it out and names the result. Dropping the future cancels it.
    ///
    /// # Errors
    /// A step's, in dockerd's words; images of the steps before it stay.
    pub async fn run(self, out: &Output) -> Result<Digest> {
        let target = match self.options.target.as_deref() {
            Some(target) => self.file.stage(target).unwrap_or(self.file.stages.len() - 1),
            None => self.file.stages.len() - 1,
        };
        let arguments = Arguments::new(&self.options, &self.file)?;
        let base = |stage: &cubby_build::Stage| arguments.global(self.file.escape, &stage.base).unwrap_or_default();
        let needed = self.file.needed(target, &base);
        let steps: usize = needed.iter().map(|stage| self.file.stages[*stage].steps.len() + 1).sum();
        let labels = usize::from(!self.options.labels.is_empty());
        let steps = steps + self.file.arguments.len() + labels;
        let mut progress = Progress { build: &self, out, arguments, stages: HashMap::new(), step: 0, steps };
        for argument in &self.file.arguments {
            progress.announce(&argument.text).await;
        }
        let mut wanted: Vec<usize> = needed.into_iter().collect();
        wanted.sort_unstable();
        for stage in wanted {
            let built = progress.stage(stage, stage == target).await?;
            progress.stages.insert(stage, built);
        }
        let built = progress.stages.remove(&target).and_then(|built| built.image);
        let image = built.ok_or_else(|| Error::invalid("No image was generated. Is your Dockerfile empty?"))?;
        if let Some(unused) = progress.arguments.unused() {
            out.say(format!("[Warning] One or more build-args {unused} were not consumed\n")).await;
        }
        out.id(&image.id).await;
        out.say(format!("Successfully built {}\n", short(&image.id))).await;
        for name in &self.options.names {
            let tag = name.tag().unwrap_or("latest").to_owned();
            self.engine.images.tag(&image.id.to_string(), &name.familiar_name(), &tag)?;
            out.say(format!("Successfully tagged {}\n", name.familiar())).await;
        }
        let name = self.options.names.first().map_or_else(|| image.id.to_string(), ToString::to_string);
        let attributes = HashMap::from([("name".to_owned(), name)]);
        self.engine.events.publish(Event::now("builder", "build", image.id.to_string(), attributes));
        Ok(image.id)
    }
}

impl Progress<'_> {
    /// `Step 2/5 : RUN make`
    async fn announce(&mut self, text: &str) {
        self.step += 1;
        self.out.say(format!("Step {}/{} : {text}\n", self.step, self.steps)).await;
    }
}

/// Twelve digits, as people see ids.
fn short(id: &Digest) -> String {
    id.hex()[..12].to_owned()
}
