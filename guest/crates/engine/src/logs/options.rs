//! `--log-driver` and `--log-opt`.

use std::collections::{BTreeMap, HashMap};

use regex_lite::Regex;

use crate::{
    containers::model::{LogConfig, parse_bool},
    error::{Error, Result},
};

/// Log options, read.
///
/// `mode` and `max-buffer-size` ask that a slow driver drop lines rather than hold the container back. Writing here is
/// an append to a file of the page cache, which waits for nobody, so either mode is the same.
#[derive(Clone, Debug)]
pub struct LogOptions {
    pub driver: Driver,
    /// A file that would grow beyond this is rotated.
    pub max_size_bytes: Option<u64>,
    /// Files kept, the current one included.
    pub max_files: u32,
    /// Rotated files are packed.
    pub compress: bool,
    labels: Chosen,
    env: Chosen,
    tag: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    JsonFile,
    Local,
    None,
}

const JSON_FILE: &[&str] = &[
    "max-file",
    "max-size",
    "compress",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
    "mode",
    "max-buffer-size",
];
const LOCAL: &[&str] = &["max-file", "max-size", "compress", "mode", "max-buffer-size"];

/// The container that logs, for what entries carry beside their text.
#[derive(Clone, Debug, Default)]
pub struct Subject<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub image: &'a str,
    pub image_id: &'a str,
    pub command: String,
    pub labels: HashMap<String, String>,
    pub env: &'a [String],
}

impl LogOptions {
    /// What create checks: driver, names of options, mode. Values are read when the container starts, as dockerd does.
    ///
    /// # Errors
    /// Invalid, in dockerd's words. Source: moby daemon/logger `ValidateLogOpts`.
    pub fn check(config: &LogConfig) -> Result<()> {
        let options = config.config.clone().unwrap_or_default();
        let (driver, known) = driver(&config.driver)?;
        if driver == Driver::None {
            return Ok(());
        }
        check_mode(&options)?;
        match options.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) if driver == Driver::Local => {
                Err(Error::invalid(format!("unknown log opt '{unknown}' for log driver local")))
            }
            Some(unknown) => Err(Error::invalid(format!("unknown log opt '{unknown}' for json-file log driver"))),
            None => Ok(()),
        }
    }

    /// # Errors
    /// A text for values that make no sense: the start's failure.
    pub fn parse(config: &LogConfig) -> Result<Self> {
        Self::check(config)?;
        let options = config.config.clone().unwrap_or_default();
        let (driver, _) = driver(&config.driver)?;
        let failed =
            |error: Error| Error::internal(format!("failed to initialize logging driver: {}", error.message()));
        let max_size_bytes = match options.get("max-size") {
            Some(text) => Some(size(text).map_err(failed)?),
            None => (driver == Driver::Local).then_some(20 << 20),
        };
        let max_files = match options.get("max-file") {
            Some(text) => count(text).map_err(failed)?,
            None if driver == Driver::Local => 5,
            None => 1,
        };
        let compress = match options.get("compress") {
            Some(text) => truth(text).map_err(failed)?,
            None => driver == Driver::Local && max_files > 1,
        };
        if driver == Driver::JsonFile && compress && (max_files == 1 || max_size_bytes.is_none()) {
            return Err(failed(Error::invalid(
                "compress cannot be true when max-file is less than 2 or max-size is not set",
            )));
        }
        let list = |key: &str| -> Vec<String> {
            options.get(key).into_iter().flat_map(|text| text.split(',')).map(|word| word.trim().to_owned()).collect()
        };
        let pattern = |key: &str| match options.get(key) {
            None => Ok(None),
            Some(text) => Regex::new(text).map(Some).map_err(|error| failed(Error::invalid(error.to_string()))),
        };
        Ok(Self {
            driver,
            max_size_bytes,
            max_files,
            compress,
            labels: Chosen { names: list("labels"), pattern: pattern("labels-regex")? },
            env: Chosen { names: list("env"), pattern: pattern("env-regex")? },
            tag: options.get("tag").filter(|tag| !tag.is_empty()).cloned(),
        })
    }

    /// What every entry carries beside its text, as an encoded JSON object; empty when nothing.
    pub fn attributes(&self, subject: &Subject<'_>) -> String {
        let mut found = BTreeMap::new();
        let labels = subject.labels.iter().filter(|(name, _)| self.labels.has(name));
        found.extend(labels.map(|(name, value)| (name.clone(), value.clone())));
        let env = subject.env.iter().filter_map(|pair| pair.split_once('=')).filter(|(name, _)| self.env.has(name));
        found.extend(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if let Some(tag) = &self.tag {
            found.insert("tag".to_owned(), expand(tag, subject));
        }
        if found.is_empty() { String::new() } else { serde_json::to_string(&found).unwrap_or_default() }
    }
}

/// `labels` and `labels-regex`, or the same of variables.
#[derive(Clone, Debug, Default)]
struct Chosen {
    names: Vec<String>,
    pattern: Option<Regex>,
}

impl Chosen {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|wanted| wanted == name) || self.pattern.as_ref().is_some_and(|one| one.is_match(name))
    }
}

/// The fields of moby's template for tags. Source: moby daemon/logger/loginfo.go.
fn expand(tag: &str, subject: &Subject<'_>) -> String {
    let short = |id: &str| id.trim_start_matches("sha256:").chars().take(12).collect::<String>();
    [
        ("ID", short(subject.id)),
        ("FullID", subject.id.to_owned()),
        ("Name", subject.name.to_owned()),
        ("ImageID", short(subject.image_id)),
        ("ImageFullID", subject.image_id.to_owned()),
        ("ImageName", subject.image.to_owned()),
        ("DaemonName", "docker".to_owned()),
        ("Command", subject.command.clone()),
    ]
    .iter()
    .fold(tag.to_owned(), |text, (field, value)| {
        text.replace(&format!("{{{{.{field}}}}}"), value).replace(&format!("{{{{ .{field} }}}}"), value)
    })
}

fn driver(name: &str) -> Result<(Driver, &'static [&'static str])> {
    match name {
        "" | "json-file" => Ok((Driver::JsonFile, JSON_FILE)),
        "local" => Ok((Driver::Local, LOCAL)),
        "none" => Ok((Driver::None, &[])),
        other => Err(Error::invalid(format!("logger: no log driver named '{other}' is registered"))),
    }
}

fn check_mode(options: &BTreeMap<String, String>) -> Result<()> {
    match options.get("mode").map(String::as_str) {
        None | Some("" | "blocking" | "non-blocking") => {}
        Some(other) => return Err(Error::invalid(format!("logger: logging mode not supported: {other}"))),
    }
    match options.get("max-buffer-size") {
        None => Ok(()),
        Some(_) if options.get("mode").is_none_or(|mode| mode != "non-blocking") => {
            Err(Error::invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'"))
        }
        Some(text) => size(text)
            .map(drop)
            .map_err(|error| Error::invalid(format!("error parsing option max-buffer-size: {}", error.message()))),
    }
}

fn truth(text: &str) -> Result<bool> {
    let invalid = || Error::invalid(format!("strconv.ParseBool: parsing {text:?}: invalid syntax"));
    parse_bool(text).ok_or_else(invalid)
}

fn count(text: &str) -> Result<u32> {
    let parsed: i64 =
        text.parse().map_err(|_| Error::invalid(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))?;
    match u32::try_from(parsed) {
        Ok(count @ 1..=1000) => Ok(count),
        _ => Err(Error::invalid("max-file cannot be less than 1")),
    }
}

/// `10m`, `1.5g`, `100k`, `4096`, `2mb`. Source: go-units `RAMInBytes`/`FromHumanSize` as the log drivers use it.
fn size(text: &str) -> Result<u64> {
    let invalid = || Error::invalid(format!("invalid size: '{text}'"));
    let lower = text.trim().to_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let factor = match unit.trim().trim_end_matches('b').trim_end_matches('i') {
        "" => 1u64,
        "k" => 1000,
        "m" => 1000 * 1000,
        "g" => 1000 * 1000 * 1000,
        _ => return Err(invalid()),
    };
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let bytes = number * factor as f64;
    if !(1.0..=1e15).contains(&bytes) {
        return Err(invalid());
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(driver: &str, options: &[(&str, &str)]) -> LogConfig {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LogConfig { driver: driver.to_owned(), config: Some(options) }
    }

    fn refusal(driver: &str, options: &[(&str, &str)]) -> String {
        LogOptions::check(&config(driver, options)).unwrap_err().message().to_owned()
    }

    #[test]
    fn create_checks_names_in_dockerds_words() {
        assert_eq!(refusal("json-file", &[("bogus", "1")]), "unknown log opt 'bogus' for json-file log driver");
        assert_eq!(refusal("local", &[("bogus", "1")]), "unknown log opt 'bogus' for log driver local");
        assert_eq!(refusal("syslog", &[]), "logger: no log driver named 'syslog' is registered");
        assert_eq!(refusal("", &[("mode", "fast")]), "logger: logging mode not supported: fast");
        assert_eq!(
            refusal("", &[("max-buffer-size", "1m")]),
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
        );
        let buffered = [("mode", "non-blocking"), ("max-buffer-size", "4m")];
        assert!(LogOptions::check(&config("", &buffered)).is_ok());
        assert!(LogOptions::check(&config("json-file", &[("max-file", "100")])).is_ok());
    }

    #[test]
    fn values_are_read_at_the_start() {
        let parse = |driver: &str, options: &[(&str, &str)]| LogOptions::parse(&config(driver, options));
        let options = parse("json-file", &[("max-size", "10m"), ("max-file", "3")]).unwrap();
        assert_eq!((options.max_size_bytes, options.max_files), (Some(10_000_000), 3));
        assert_eq!(parse("", &[]).unwrap().driver, Driver::JsonFile);
        assert_eq!(parse("local", &[]).unwrap().max_files, 5);
        for bad in [
            ("max-size", "-1"),
            ("max-size", "1e400"),
            ("max-file", "0"),
            ("compress", "true"),
            ("compress", "maybe"),
            ("env-regex", "("),
        ] {
            let error = parse("json-file", &[bad]).unwrap_err();
            assert!(error.message().starts_with("failed to initialize logging driver: "), "{bad:?}");
        }
    }

    #[test]
    fn entries_carry_what_was_chosen() {
        let chosen = [("labels", "a"), ("env-regex", "^OS_"), ("tag", "{{.Name}}/{{.ID}}")];
        let options = LogOptions::parse(&config("", &chosen)).unwrap();
        let env = ["OS_ARCH=x".to_owned(), "HOME=/".to_owned()];
        let subject = Subject {
            id: "0123456789abcdef",
            name: "web",
            labels: [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into(),
            env: &env,
            ..Subject::default()
        };
        assert_eq!(options.attributes(&subject), r#"{"OS_ARCH":"x","a":"1","tag":"web/0123456789ab"}"#);
    }
}
