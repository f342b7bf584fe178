//! `--log-driver` and `--log-opt`.

use std::collections::{BTreeMap, HashMap};

use crate::{
    containers::model::LogConfig,
    error::{Error, Result},
};

/// Checked log options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    pub driver: Driver,
    /// A file that would grow beyond this is rotated.
    pub max_size_bytes: Option<u64>,
    /// Files kept, the current one included.
    pub max_files: u32,
    labels: Vec<String>,
    env: Vec<String>,
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

impl LogOptions {
    /// # Errors
    /// Invalid, in dockerd's words, for unknown drivers, options and values.
    pub fn parse(config: &LogConfig) -> Result<Self> {
        let options = config.config.clone().unwrap_or_default();
        let (driver, known) = match config.driver.as_str() {
            "" | "json-file" => (Driver::JsonFile, JSON_FILE),
            "local" => (Driver::Local, LOCAL),
            "none" => (Driver::None, &[][..]),
            other => {
                return Err(Error::invalid(format!("logger: no log driver named '{other}' is registered")));
            }
        };
        if let Some(unknown) = options.keys().find(|key| driver != Driver::None && !known.contains(&key.as_str())) {
            return Err(Error::invalid(format!("unknown log opt '{unknown}' for {} log driver", driver.name())));
        }
        check_mode(&options)?;
        let max_size_bytes = match options.get("max-size") {
            Some(text) => Some(size(text)?),
            None => (driver == Driver::Local).then_some(20 << 20),
        };
        let max_files = match options.get("max-file") {
            Some(text) => count(text)?,
            None if driver == Driver::Local => 5,
            None => 1,
        };
        if driver == Driver::JsonFile && max_files > 1 && max_size_bytes.is_none() {
            return Err(Error::invalid("max-size must be set when using max-file"));
        }
        let list = |key: &str| -> Vec<String> {
            options.get(key).into_iter().flat_map(|text| text.split(',')).map(|word| word.trim().to_owned()).collect()
        };
        let (labels, env) = (list("labels"), list("env"));
        Ok(Self { driver, max_size_bytes, max_files, labels, env, tag: options.get("tag").cloned() })
    }

    /// What every entry carries beside its text, as an encoded JSON object; empty when nothing.
    pub fn attributes(&self, labels: &HashMap<String, String>, env: &[String]) -> String {
        let mut found = BTreeMap::new();
        for name in &self.labels {
            if let Some(value) = labels.get(name) {
                found.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in env.iter().filter_map(|pair| pair.split_once('=')) {
            if self.env.iter().any(|wanted| wanted == name) {
                found.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some(tag) = &self.tag {
            found.insert("tag".to_owned(), tag.clone());
        }
        if found.is_empty() { String::new() } else { serde_json::to_string(&found).unwrap_or_default() }
    }
}

impl Driver {
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::None => "none",
        }
    }
}

fn check_mode(options: &BTreeMap<String, String>) -> Result<()> {
    match options.get("mode").map(String::as_str) {
        None | Some("" | "blocking" | "non-blocking") => {}
        Some(other) => return Err(Error::invalid(format!("logger: logging mode not supported: {other}"))),
    }
    match options.get("max-buffer-size") {
        Some(text) => size(text).map(drop),
        None => Ok(()),
    }
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

    fn parse(driver: &str, options: &[(&str, &str)]) -> Result<LogOptions> {
        let config = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LogOptions::parse(&LogConfig { driver: driver.to_owned(), config: Some(config) })
    }

    #[test]
    fn options_are_checked_in_dockerds_words() {
        assert_eq!(parse("", &[]).unwrap().driver, Driver::JsonFile);
        let options = parse("json-file", &[("max-size", "10m"), ("max-file", "3")]).unwrap();
        assert_eq!((options.max_size_bytes, options.max_files), (Some(10_000_000), 3));
        assert_eq!(
            parse("json-file", &[("bogus", "1")]).unwrap_err().message(),
            "unknown log opt 'bogus' for json-file log driver"
        );
        assert!(parse("syslog", &[]).is_err());
        assert!(parse("json-file", &[("max-file", "2")]).is_err());
        assert!(parse("json-file", &[("max-size", "-1")]).is_err());
        assert!(parse("json-file", &[("max-size", "1e400")]).is_err());
    }
}
