//! Variables: `ENV` of the image that is being made, `ARG` of the stage, and who wins.

use std::collections::{BTreeMap, BTreeSet};

use cubby_build::{Dockerfile, words::Expander};
use cubby_image::Platform;

use super::BuildOptions;
use crate::error::{Error, Result};

/// Known without an `ARG`, and no part of what a step is remembered by. Source: moby `builtinAllowedBuildArgs`.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The arguments of a build: what the client gave, what the Dockerfile declares.
pub(super) struct Arguments {
    given: BTreeMap<String, Option<String>>,
    /// Declared before the first stage, with the values they have there.
    global: BTreeMap<String, Option<String>>,
    /// Declared in the present stage.
    stage: BTreeMap<String, Option<String>>,
    used: BTreeSet<String>,
}

impl Arguments {
    /// # Errors
    /// Defaults that cannot be expanded.
    pub fn new(options: &BuildOptions, file: &Dockerfile) -> Result<Self> {
        let mut arguments = Self {
            given: options.arguments.clone(),
            global: platforms(options.platform.as_ref()),
            stage: BTreeMap::new(),
            used: BTreeSet::new(),
        };
        for argument in &file.arguments {
            let default = match &argument.default {
                Some(default) => Some(arguments.global(file.escape, default)?),
                None => None,
            };
            let value = arguments.value_of(&argument.name, default);
            arguments.global.insert(argument.name.clone(), value);
        }
        Ok(arguments)
    }

    /// A text of a `FROM` line: only what was declared before the first stage counts.
    pub fn global(&self, escape: char, text: &str) -> Result<String> {
        let lookup = |name: &str| self.global.get(name).cloned().flatten();
        Expander { escape, lookup: &lookup }.word(text).map_err(Error::invalid)
    }

    pub fn begin_stage(&mut self) {
        self.stage.clear();
    }

    /// `ARG` within a stage. Without a default it has the value of the same name before the first stage.
    pub fn declare(&mut self, name: &str, default: Option<String>) {
        let default = default.or_else(|| self.global.get(name).cloned().flatten());
        let value = self.value_of(name, default);
        self.stage.insert(name.to_owned(), value);
    }

    fn value_of(&mut self, name: &str, default: Option<String>) -> Option<String> {
        let Some(given) = self.given.get(name) else { return default };
        self.used.insert(name.to_owned());
        given.clone().or(default)
    }

    /// What `RUN` sees beside the environment, in the stage's order of names; `visible` to the cache and the history.
    pub fn of_stage(&self, env: &[String]) -> Vec<(String, String)> {
        let hidden = |name: &str| env.iter().any(|entry| entry.split_once('=').is_some_and(|(known, _)| known == name));
        let declared = self.stage.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        declared.filter(|(name, _)| !hidden(name)).collect()
    }

    /// The client's proxies that nobody declared: every `RUN` has them, no image remembers them.
    pub fn proxies(&mut self) -> Vec<(String, String)> {
        let undeclared = PROXIES.iter().filter(|name| !self.stage.contains_key(**name));
        let given: Vec<(String, String)> =
            undeclared.filter_map(|name| Some(((*name).to_owned(), self.given.get(*name)?.clone()?))).collect();
        self.used.extend(given.iter().map(|(name, _)| name.clone()));
        given
    }

    /// `[a b]`: what the client gave and nobody asked for.
    pub fn unused(&self) -> Option<String> {
        let proxy = |name: &String| PROXIES.contains(&name.as_str());
        let unused: Vec<&str> =
            self.given.keys().filter(|name| !self.used.contains(*name) && !proxy(name)).map(String::as_str).collect();
        (!unused.is_empty()).then(|| format!("[{}]", unused.join(" ")))
    }

    pub fn scope<'a>(&'a self, escape: char, env: &'a [String]) -> Scope<'a> {
        Scope { escape, env, arguments: Some(&self.stage) }
    }
}

/// What BuildKit's users rely on. Source: Dockerfile reference, "Automatic platform ARGs in the global scope".
fn platforms(target: Option<&Platform>) -> BTreeMap<String, Option<String>> {
    let build = Platform::native();
    let target = target.unwrap_or(&build);
    let mut all = BTreeMap::new();
    for (prefix, platform) in [("BUILD", &build), ("TARGET", target)] {
        let values = [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", platform.variant.clone().unwrap_or_default()),
        ];
        all.extend(values.map(|(name, value)| (format!("{prefix}{name}"), Some(value))));
    }
    all
}

/// What variables mean at one step. The environment wins over arguments.
pub struct Scope<'a> {
    escape: char,
    env: &'a [String],
    arguments: Option<&'a BTreeMap<String, Option<String>>>,
}

impl<'a> Scope<'a> {
    /// A scope without arguments: `--change` of commit and import.
    pub fn of_env(env: &'a [String]) -> Self {
        Self { escape: '\\', env, arguments: None }
    }

    fn value(&self, name: &str) -> Option<String> {
        let entry = self.env.iter().find_map(|entry| entry.split_once('=').filter(|(known, _)| *known == name));
        match entry {
            Some((_, value)) => Some(value.to_owned()),
            None => self.arguments?.get(name)?.clone(),
        }
    }

    pub(super) fn word(&self, text: &str) -> Result<String> {
        self.with(|expander| expander.word(text))
    }

    pub(super) fn words(&self, text: &str) -> Result<Vec<String>> {
        self.with(|expander| expander.words(text))
    }

    pub(super) fn document(&self, text: &str) -> Result<String> {
        self.with(|expander| expander.document(text))
    }

    fn with<T>(&self, expand: impl FnOnce(&Expander<'_>) -> Result<T, String>) -> Result<T> {
        let lookup = |name: &str| self.value(name);
        expand(&Expander { escape: self.escape, lookup: &lookup }).map_err(Error::invalid)
    }
}
