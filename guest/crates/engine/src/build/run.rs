//! `RUN`: a container on what the stage has so far; what it changes is the layer.

use std::sync::Arc;

use cubby_build::{Command, HereDoc, Run};
use cubby_image::ImageConfig;

use super::{Progress, cache::Key, config, stage::Stage};
use crate::{
    containers::{
        AttachOptions, Condition, Containers, RemoveOptions,
        model::{Config, CreateRequest, Healthcheck, Sequence},
        streams::Output as Stream,
    },
    error::{Error, Result},
};

/// What a step says on standard error is red. Source: moby pkg/streamformatter `StderrFormatter`.
const RED: &str = "\x1b[91m";
const RESET: &str = "\x1b[0m";

impl Progress<'_> {
    pub(super) async fn run_step(&mut self, stage: &mut Stage, run: &Run) -> Result<()> {
        if !run.mounts.is_empty() {
            return Err(Error::invalid(
                "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build \
                 images with BuildKit enabled",
            ));
        }
        let command = command(&stage.config, &run.command, &run.documents)?;
        let arguments = self.arguments.of_stage(&stage.config.env);
        let created_by = history(&arguments, &command);
        let network = run.network.clone().unwrap_or_default();
        let key = Key::new(stage.image.as_deref(), &[&created_by, &network]);
        if self.known(stage, &key).await? {
            return Ok(());
        }
        let mut env = stage.config.env.clone();
        for (name, value) in arguments.into_iter().chain(self.arguments.proxies()) {
            config::set_env(&mut env, &name, &value);
        }
        let mut request = self.request(stage, command.clone(), env)?;
        if !network.is_empty() {
            request.host_config.network_mode = network;
        }
        let containers = self.build.engine.containers.clone();
        let id = containers.create(None, request).await?.id;
        let container = Intermediate { containers: containers.clone(), id: Some(id.clone()) };
        self.out.say(format!(" ---> Running in {}\n", short_container(&id))).await;
        let made = match self.carry_out(&id).await {
            Ok(0) => {
                let upper = self.build.engine.config.data_root.join("containers").join(&id).join("upper");
                self.make(stage, Some(upper), created_by).await
            }
            Ok(code) => Err(failed(&command, code)),
            Err(error) => Err(error),
        };
        // Why before the failure is told: who hears of it finds the container gone.
        container.remove().await;
        let image = made?;
        self.out.say(format!(" ---> Removed intermediate container {}\n", short_container(&id))).await;
        self.made(stage, &key, image).await
    }

    /// Runs it to its end and passes on what it says.
    async fn carry_out(&self, id: &str) -> Result<i32> {
        let containers = &self.build.engine.containers;
        let options = AttachOptions { stream: true, stdout: true, stderr: true, ..AttachOptions::default() };
        let attached = containers.attach(id, &options)?;
        let waiter = containers.wait(id, Condition::NextExit)?;
        containers.start(id).await?;
        tokio::join!(self.pass_on(attached.stdout, ""), self.pass_on(attached.stderr, RED));
        Ok(waiter.wait().await.exit_code)
    }

    /// `colour`: what stands before each piece; a reset stands behind it then.
    async fn pass_on(&self, stream: Option<Stream>, colour: &str) {
        let end = if colour.is_empty() { "" } else { RESET };
        let Some(mut stream) = stream else { return };
        // Why kept back: a character that a chunk cuts in two is whole with the next.
        let mut rest = Vec::new();
        while let Some(chunk) = stream.recv().await {
            rest.extend_from_slice(&chunk);
            let whole = whole_characters(&rest);
            let text = String::from_utf8_lossy(&rest[..whole]).into_owned();
            rest.drain(..whole);
            if !text.is_empty() {
                self.out.say(format!("{colour}{text}{end}")).await;
            }
        }
        if !rest.is_empty() {
            self.out.say(format!("{colour}{}{end}", String::from_utf8_lossy(&rest))).await;
        }
    }

    fn request(&self, stage: &Stage, command: Vec<String>, env: Vec<String>) -> Result<CreateRequest> {
        let failed = |source| Error::system("make the step's container", source);
        let config = serde_json::to_value(&stage.config).map_err(failed)?;
        let config: Config = serde_json::from_value(config).map_err(failed)?;
        let config = Config {
            image: stage.image.as_ref().map(|image| image.id.to_string()).unwrap_or_default(),
            cmd: Some(Sequence(command)),
            // Why one empty word: no word at all would mean the image's own entrypoint.
            entrypoint: Some(Sequence(vec![String::new()])),
            env: Some(env),
            healthcheck: Some(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() }),
            on_build: None,
            ..config
        };
        let host_config = self.build.options.host.clone();
        Ok(CreateRequest { config: Some(config), host_config, ..CreateRequest::default() })
    }
}

/// Why a build failed, for programs: a step's command said so.
#[derive(Debug, thiserror::Error)]
#[error("exit code {code}")]
pub struct CommandFailed {
    pub code: i32,
}

fn failed(command: &[String], code: i32) -> Error {
    let message = format!("The command '{}' returned a non-zero code: {code}", command.join(" "));
    Error::invalid(message).with_source(CommandFailed { code })
}

/// A step's container, removed whatever happens: also when the build is dropped in its middle.
struct Intermediate {
    containers: Arc<Containers>,
    id: Option<String>,
}

impl Intermediate {
    async fn remove(mut self) {
        if let Some(id) = self.id.take() {
            remove(&self.containers, &id).await;
        }
    }
}

impl Drop for Intermediate {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let containers = self.containers.clone();
        tokio::spawn(async move { remove(&containers, &id).await });
    }
}

async fn remove(containers: &Containers, id: &str) {
    let options = RemoveOptions { force: true, volumes: true, ..RemoveOptions::default() };
    if let Err(error) = containers.remove(id, options).await {
        tracing::warn!(container_id = id, err = %error, "a build step's container could not be removed");
    }
}

/// The words to run. A document alone is the shell's script; others stand after the command as they were written.
fn command(config: &ImageConfig, command: &Command, documents: &[HereDoc]) -> Result<Vec<String>> {
    let Command::Shell(text) = command else { return Ok(config::whole(config, command)) };
    let script = match documents {
        [] => text.clone(),
        [only] if !text.trim().contains(char::is_whitespace) => {
            if only.text.starts_with("#!") {
                return Err(Error::invalid(
                    "a here-document with a #! line is not supported by this builder: COPY it to a file and RUN that",
                ));
            }
            only.text.clone()
        }
        documents => {
            let ends = documents.iter().map(|document| format!("{}{}\n", document.text, document.name));
            format!("{text}\n{}", ends.collect::<String>())
        }
    };
    Ok(config::whole(config, &Command::Shell(script)))
}

/// Twelve digits, as people see ids.
fn short_container(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// `|1 a=b /bin/sh -c make`
fn history(arguments: &[(String, String)], command: &[String]) -> String {
    let command = command.join(" ");
    if arguments.is_empty() {
        return command;
    }
    let pairs: Vec<String> = arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("|{} {} {command}", pairs.len(), pairs.join(" "))
}

/// How many of the bytes are whole characters, or no text at all.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> HereDoc {
        HereDoc { name: "EOF".into(), expand: true, chomp: false, text: text.into() }
    }

    #[test]
    fn commands_and_their_history() {
        let config = ImageConfig::default();
        let shell = |text: &str| Command::Shell(text.to_owned());
        let words = command(&config, &shell("make x"), &[]).unwrap();
        assert_eq!(words, ["/bin/sh", "-c", "make x"]);
        assert_eq!(history(&[("a".into(), "b".into())], &words), "|1 a=b /bin/sh -c make x");
        assert_eq!(command(&config, &shell("<<EOF"), &[document("one\ntwo\n")]).unwrap()[2], "one\ntwo\n");
        let words = command(&config, &shell("cat <<EOF > /x"), &[document("one\n")]).unwrap();
        assert_eq!(words[2], "cat <<EOF > /x\none\nEOF\n");
        assert!(command(&config, &shell("<<EOF"), &[document("#!/x\n")]).is_err());
    }

    #[test]
    fn characters_are_not_cut() {
        let text = "aé".as_bytes();
        assert_eq!((whole_characters(text), whole_characters(&text[..2]), whole_characters(b"\xff\xfe")), (3, 1, 2));
    }
}
