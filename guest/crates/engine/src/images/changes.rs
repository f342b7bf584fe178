//! `--change`: single Dockerfile instructions that alter an image's config. Source: moby builder/dockerfile
//! `BuildFromConfig`, `validCommitCommands`.

use cubby_build::words::{self, Expander};
use cubby_image::{HealthConfig, ImageConfig, config::Empty};

use crate::error::{Error, Result};

/// Applies one instruction.
///
/// # Errors
/// Invalid, in dockerd's words, for instructions that change more than the config.
pub fn apply(config: &mut ImageConfig, change: &str) -> Result<()> {
    let change = change.trim();
    let (instruction, rest) = change.split_once(char::is_whitespace).unwrap_or((change, ""));
    let (instruction, rest) = (instruction.to_uppercase(), rest.trim());
    let missing = || Error::invalid(format!("{instruction} requires at least one argument"));
    if rest.is_empty() && !matches!(instruction.as_str(), "CMD" | "ENTRYPOINT") {
        return Err(missing());
    }
    let expanded = match instruction.as_str() {
        "EXPOSE" | "VOLUME" | "USER" | "WORKDIR" | "STOPSIGNAL" => expand(config, rest)?,
        _ => rest.to_owned(),
    };
    let rest = expanded.as_str();
    match instruction.as_str() {
        "CMD" => config.cmd = Some(command(config, rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(config, rest)),
        "ENV" => {
            for (name, value) in pairs(config, rest)? {
                let prefix = format!("{name}=");
                config.env.retain(|known| !known.starts_with(&prefix));
                config.env.push(prefix + &value);
            }
        }
        "LABEL" => {
            let labels = pairs(config, rest)?;
            config.labels.get_or_insert_default().extend(labels);
        }
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let port = if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
                config.exposed_ports.get_or_insert_default().insert(port, Empty {});
            }
        }
        "VOLUME" => {
            let volumes = json_list(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            config.volumes.get_or_insert_default().extend(volumes.into_iter().map(|volume| (volume, Empty {})));
        }
        "USER" => config.user = rest.to_owned(),
        "WORKDIR" => {
            let joined = std::path::Path::new("/").join(&config.working_dir).join(rest);
            config.working_dir = joined.to_string_lossy().into_owned();
        }
        "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
        "ONBUILD" => config.on_build.get_or_insert_default().push(rest.to_owned()),
        "HEALTHCHECK" if rest.eq_ignore_ascii_case("none") => {
            config.healthcheck = Some(HealthConfig { test: vec!["NONE".to_owned()], ..HealthConfig::default() });
        }
        _ => return Err(Error::invalid(format!("{instruction} is not a valid change command"))),
    }
    Ok(())
}

/// Variables of the image's environment, as in a Dockerfile.
fn expand(config: &ImageConfig, text: &str) -> Result<String> {
    expanded(config, |expander| expander.document(text))
}

fn expanded<T>(config: &ImageConfig, work: impl Fn(&Expander<'_>) -> Result<T, String>) -> Result<T> {
    let lookup = |name: &str| {
        let value = |pair: &String| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        config.env.iter().rev().find_map(value)
    };
    work(&Expander { escape: '\\', lookup: &lookup }).map_err(Error::invalid)
}

/// The exec form as it is, anything else through the shell.
fn command(config: &ImageConfig, rest: &str) -> Vec<String> {
    json_list(rest).unwrap_or_else(|| {
        let shell = config.shell.clone().unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        if rest.is_empty() { Vec::new() } else { [shell, vec![rest.to_owned()]].concat() }
    })
}

fn json_list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// `a=b c="d e"`, or the older `a b c` with a single name. Variables are put in after the splitting: what they hold is not split.
fn pairs(config: &ImageConfig, text: &str) -> Result<Vec<(String, String)>> {
    let words = words::split(text, '\\');
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (name, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        return Ok(vec![(name.to_owned(), expanded(config, |expander| expander.word(value.trim()))?)]);
    }
    let pair = |raw: &String| {
        let word = expanded(config, |expander| expander.word(raw))?;
        match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => {
                Err(Error::invalid(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")))
            }
        }
    };
    words.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_change_the_config() {
        let mut config = ImageConfig { env: vec!["A=1".into()], working_dir: "/srv".into(), ..ImageConfig::default() };
        for change in [
            "CMD [\"a\", \"b\"]",
            "entrypoint run it",
            "ENV A=2 B=\"x y\" C=\\ d",
            "ENV D e f",
            "ENV E=$A:${B}:\\$A",
            "EXPOSE 80 53/udp",
            "LABEL l='v w'",
            "VOLUME /a /b",
            "WORKDIR sub",
            "USER 1:2",
            "HEALTHCHECK NONE",
        ] {
            apply(&mut config, change).unwrap();
        }
        assert_eq!(config.cmd.unwrap(), ["a", "b"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "run it"]);
        assert_eq!(config.env, ["A=2", "B=x y", "C= d", "D=e f", "E=2:x y:$A"]);
        assert_eq!(config.exposed_ports.unwrap().into_keys().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!(config.labels.unwrap()["l"], "v w");
        assert_eq!(
            (config.volumes.unwrap().len(), config.working_dir.as_str(), config.user.as_str()),
            (2, "/srv/sub", "1:2")
        );
    }

    #[test]
    fn what_changes_more_than_the_config_is_refused() {
        let error = apply(&mut ImageConfig::default(), "RUN rm -rf /").unwrap_err();
        assert_eq!(error.message(), "RUN is not a valid change command");
        assert!(apply(&mut ImageConfig::default(), "ENV a=b =c").is_err());
        assert!(apply(&mut ImageConfig::default(), "USER").is_err());
    }
}
