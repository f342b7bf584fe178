//! `--change`: single Dockerfile instructions that alter an image's config. Source: moby builder/dockerfile
//! `BuildFromConfig`, `validCommitCommands`.

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
    match instruction.as_str() {
        "CMD" => config.cmd = Some(command(config, rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(config, rest)),
        "ENV" => {
            for (name, value) in pairs(rest)? {
                let prefix = format!("{name}=");
                config.env.retain(|known| !known.starts_with(&prefix));
                config.env.push(prefix + &value);
            }
        }
        "LABEL" => config.labels.get_or_insert_default().extend(pairs(rest)?),
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

/// `a=b c="d e"`, or the older `a b c` with a single name.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let words = words(text);
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (name, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::invalid(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value"))),
    };
    words.into_iter().map(pair).collect()
}

/// Words with quotes and backslashes taken away.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(characters.next()),
            ('"' | '\'', None) => (quote, begun) = (Some(c), true),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (c, _) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
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
        assert_eq!(config.env, ["A=2", "B=x y", "C= d", "D=e f"]);
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
