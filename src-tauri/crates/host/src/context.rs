//! The Docker context `cubby`, written as the docker CLI writes it, without needing the CLI.
//!
//! ```text
//! ${DOCKER_CONFIG:-~/.docker}/contexts/meta/<sha256 of the name>/meta.json
//! ${DOCKER_CONFIG:-~/.docker}/config.json                                    "currentContext", only on explicit wish
//! ```
//!
//! Nobody's context is ever switched unasked. Source: docker/cli, cli/context/store.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::dirs::Dirs;
use crate::local;
use crate::schema::ContextStatus;

#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("no home directory: set HOME or DOCKER_CONFIG")]
    NoHome,
    #[error("{0} is not valid JSON; it was left alone")]
    Config(PathBuf, #[source] serde_json::Error),
    #[error("could not write {0}")]
    Write(PathBuf, #[source] io::Error),
    #[error("could not read {0}")]
    Read(PathBuf, #[source] io::Error),
}

/// The docker CLI's configuration: `${DOCKER_CONFIG:-~/.docker}/config.json`. What we do not know stays in it.
#[derive(Clone, Debug)]
pub struct Config {
    dir: PathBuf,
}

impl Config {
    pub fn of_process() -> Result<Self, ContextError> {
        let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = match named("DOCKER_CONFIG") {
            Some(dir) => dir,
            None => crate::dirs::home().ok_or(ContextError::NoHome)?.join(".docker"),
        };
        Ok(Self { dir })
    }

    pub fn path(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// Empty when there is none yet.
    pub fn read(&self) -> Result<Map<String, Value>, ContextError> {
        let path = self.path();
        match fs::read(&path) {
            Ok(text) if text.trim_ascii().is_empty() => Ok(Map::new()),
            Ok(text) => serde_json::from_slice(&text).map_err(|err| ContextError::Config(path, err)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
            Err(err) => Err(ContextError::Read(path, err)),
        }
    }

    pub fn write(&self, config: Map<String, Value>) -> Result<(), ContextError> {
        let path = self.path();
        // It may hold credentials: never more readable than it was.
        let options = local::as_readable_as(&path);
        let text = serde_json::to_string_pretty(&Value::Object(config))
            .map_err(|err| ContextError::Config(path.clone(), err))?;
        // A link (dotfiles in a repository) stays a link.
        let target = fs::canonicalize(&path).unwrap_or(path);
        replace(&target, text.as_bytes(), options)
    }
}

/// One profile's context in one docker configuration.
#[derive(Clone, Debug)]
pub struct Context {
    config: Config,
    name: String,
    docker_host: String,
}

impl Context {
    /// In this user's docker configuration. The default profile's context is `cubby`, others are `cubby-<profile>`.
    pub fn of_process(dirs: &Dirs) -> Result<Self, ContextError> {
        Ok(Self::new(&Config::of_process()?.dir, dirs))
    }

    pub fn new(config_dir: &Path, dirs: &Dirs) -> Self {
        let name = match dirs.profile.as_str() {
            "default" => "cubby".to_owned(),
            profile => format!("cubby-{profile}"),
        };
        Self { config: Config { dir: config_dir.to_owned() }, name, docker_host: dirs.docker_host() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn status(&self) -> ContextStatus {
        let meta = fs::read(self.meta()).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let host = meta.as_ref().and_then(|meta| meta["Endpoints"]["docker"]["Host"].as_str());
        let current = match std::env::var("DOCKER_CONTEXT") {
            Ok(named) if !named.is_empty() => named == self.name,
            _ => self.config.read().is_ok_and(|config| config.get("currentContext") == Some(&json!(self.name))),
        };
        ContextStatus { cli_found: cli_found(), exists: host == Some(&self.docker_host), current }
    }

    /// Creates or repairs it. The context in use stays in use.
    pub fn create(&self) -> Result<(), ContextError> {
        let meta = json!({
            "Name": self.name,
            "Metadata": { "Description": "Cubby" },
            "Endpoints": { "docker": { "Host": self.docker_host, "SkipTLSVerify": false } },
        });
        replace(&self.meta(), meta.to_string().as_bytes(), fs::File::options())
    }

    /// Makes it the one in use, creating it first.
    pub fn make_current(&self) -> Result<(), ContextError> {
        self.create()?;
        let mut config = self.config.read()?;
        config.insert("currentContext".into(), json!(self.name));
        self.config.write(config)
    }

    /// Removes it; when it is in use, docker's default is in use again.
    pub fn remove(&self) -> Result<(), ContextError> {
        let mut config = self.config.read()?;
        if config.get("currentContext") == Some(&json!(self.name)) {
            config.remove("currentContext");
            self.config.write(config)?;
        }
        let meta = self.meta();
        let Some(dir) = meta.parent() else { return Ok(()) };
        match fs::remove_dir_all(dir) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(ContextError::Write(dir.to_owned(), err)),
            _ => Ok(()),
        }
    }

    fn meta(&self) -> PathBuf {
        let digest = hex::encode(Sha256::digest(self.name.as_bytes()));
        self.config.dir.join("contexts/meta").join(digest).join("meta.json")
    }
}

fn cli_found() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join("docker").is_file())
}

/// Writes all of it or nothing.
fn replace(path: &Path, content: &[u8], mut options: fs::OpenOptions) -> Result<(), ContextError> {
    let failed = |err| ContextError::Write(path.to_owned(), err);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let unfinished = path.with_extension(format!("cubby-{}", std::process::id()));
    let written = (|| {
        let mut file = options.create(true).write(true).truncate(true).open(&unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    })();
    written.map_err(|err| {
        let _ = fs::remove_file(&unfinished);
        failed(err)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        dir: tempfile::TempDir,
        context: Context,
    }

    fn case() -> Case {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs { profile: "default".into(), state: "/s".into(), runtime: "/run/cubby".into() };
        Case { context: Context::new(dir.path(), &dirs), dir }
    }

    /// The real docker CLI on this configuration; `None` where there is none.
    fn docker(case: &Case, args: &[&str]) -> Option<String> {
        let ran =
            std::process::Command::new("docker").env("DOCKER_CONFIG", case.dir.path()).args(args).output().ok()?;
        assert!(ran.status.success(), "docker {args:?}: {ran:?}");
        Some(String::from_utf8(ran.stdout).unwrap().trim().to_owned())
    }

    #[test]
    fn the_docker_cli_understands_it_and_nothing_is_switched_unasked() {
        let case = case();
        fs::write(case.dir.path().join("config.json"), r#"{"auths": {"r": {}}, "currentContext": "other"}"#).unwrap();
        case.context.create().unwrap();
        let status = case.context.status();
        assert!(status.exists && !status.current);
        let config = fs::read_to_string(case.dir.path().join("config.json")).unwrap();
        assert!(config.contains("\"other\""), "{config}");
        if let Some(host) = docker(&case, &["context", "inspect", "cubby", "-f", "{{.Endpoints.docker.Host}}"]) {
            assert_eq!(host, "unix:///run/cubby/docker.sock");
        }
    }

    #[test]
    fn use_switches_and_remove_switches_back_and_both_keep_the_rest() {
        let case = case();
        let path = case.dir.path().join("config.json");
        fs::write(&path, r#"{"auths": {"registry  with  spaces": {}}, "detachKeys": "ctrl-q"}"#).unwrap();
        case.context.make_current().unwrap();
        assert!(case.context.status().current);
        if let Some(shown) = docker(&case, &["context", "show"]) {
            assert_eq!(shown, "cubby");
        }
        case.context.remove().unwrap();
        case.context.remove().unwrap();
        let status = case.context.status();
        assert!(!status.exists && !status.current);
        let config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(config, json!({"auths": {"registry  with  spaces": {}}, "detachKeys": "ctrl-q"}));
    }

    #[test]
    fn a_broken_configuration_is_left_alone() {
        let case = case();
        let path = case.dir.path().join("config.json");
        fs::write(&path, "{ mine").unwrap();
        assert!(matches!(case.context.make_current(), Err(ContextError::Config(..))));
        assert_eq!(fs::read(&path).unwrap(), b"{ mine");
    }
}
