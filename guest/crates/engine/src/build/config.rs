//! Instructions that change nothing but the image's config. Source: moby builder/dockerfile/dispatchers.go.

use std::time::Duration;

use cubby_build::{Command, Healthcheck, Instruction, Pair};
use cubby_image::{HealthConfig, ImageConfig, config::Empty};

use super::Scope;
use crate::{
    containers::{mounts::clean, signals},
    error::{Error, Result},
};

/// Carries the instruction out on `config`. The text is how the history names it (`ENV a=b`); `None` for instructions that
/// need more than the config.
///
/// # Errors
/// Invalid, in dockerd's words.
pub fn apply(config: &mut ImageConfig, instruction: &Instruction, scope: &Scope<'_>) -> Result<Option<String>> {
    let said = match instruction {
        Instruction::Cmd(command) => {
            config.cmd = Some(whole(config, command));
            format!("CMD {}", listed(config.cmd.as_deref()))
        }
        Instruction::Entrypoint(command) => {
            config.entrypoint = Some(whole(config, command)).filter(|entrypoint| !entrypoint.is_empty());
            format!("ENTRYPOINT {}", listed(config.entrypoint.as_deref()))
        }
        Instruction::Env(pairs) => {
            let pairs = expanded(pairs, scope)?;
            for (name, value) in &pairs {
                set_env(&mut config.env, name, value);
            }
            format!("ENV {}", joined(&pairs))
        }
        Instruction::Label(pairs) => {
            let pairs = expanded(pairs, scope)?;
            config.labels.get_or_insert_default().extend(pairs.iter().cloned());
            format!("LABEL {}", joined(&pairs))
        }
        Instruction::Expose(words) => expose(config, words, scope)?,
        Instruction::Volume(words) => volume(config, words, scope)?,
        Instruction::User(user) => {
            config.user = scope.word(user)?;
            format!("USER {}", config.user)
        }
        Instruction::Workdir(path) => {
            let path = scope.word(path)?;
            if path.is_empty() {
                return Err(Error::invalid("cannot normalize nothing"));
            }
            config.working_dir = absolute(&config.working_dir, &path);
            format!("WORKDIR {}", config.working_dir)
        }
        Instruction::Stopsignal(signal) => {
            let signal = scope.word(signal)?;
            signals::parse(&signal).map_err(|_| Error::invalid(format!("invalid signal: {signal}")))?;
            config.stop_signal = Some(signal.clone());
            format!("STOPSIGNAL {signal}")
        }
        Instruction::Shell(shell) => {
            config.shell = Some(shell.clone());
            format!("SHELL {}", listed(Some(shell)))
        }
        Instruction::Onbuild(trigger) => {
            config.on_build.get_or_insert_default().push(trigger.clone());
            format!("ONBUILD {trigger}")
        }
        Instruction::Healthcheck(check) => healthcheck(config, check)?,
        Instruction::Add(_)
        | Instruction::Arg(_)
        | Instruction::Copy(_)
        | Instruction::Maintainer(_)
        | Instruction::Run(_) => return Ok(None),
    };
    Ok(Some(said))
}

/// A path as the image means it: below `/`, relative ones below its working directory.
pub(super) fn absolute(working_dir: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{working_dir}/{path}")) }
}

/// The shell of the image, for the shell form.
pub(super) fn shell(config: &ImageConfig) -> Vec<String> {
    config.shell.clone().unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()])
}

/// The exec form as it is, text through the shell.
pub(super) fn whole(config: &ImageConfig, command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) if text.is_empty() => Vec::new(),
        Command::Shell(text) => [shell(config), vec![text.clone()]].concat(),
    }
}

/// Keeps the place of a name that is there.
pub(super) fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    match env.iter_mut().find(|known| known.split_once('=').is_some_and(|(known, _)| known == name)) {
        Some(known) => *known = entry,
        None => env.push(entry),
    }
}

fn expanded(pairs: &[Pair], scope: &Scope<'_>) -> Result<Vec<Pair>> {
    pairs.iter().map(|(name, value)| Ok((scope.word(name)?, scope.word(value)?))).collect()
}

fn joined(pairs: &[Pair]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// Go's `%q` of a list.
fn listed(words: Option<&[String]>) -> String {
    let quoted: Vec<String> = words.unwrap_or_default().iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn expose(config: &mut ImageConfig, words: &[String], scope: &Scope<'_>) -> Result<String> {
    let mut ports = Vec::new();
    for word in words {
        for port in scope.words(word)? {
            ports.extend(exposed(&port)?);
        }
    }
    config.exposed_ports.get_or_insert_default().extend(ports.into_iter().map(|port| (port, Empty {})));
    Ok(format!("EXPOSE {}", words.join(" ")))
}

/// `80`, `53/udp`, `8000-8010/tcp`.
fn exposed(text: &str) -> Result<Vec<String>> {
    let invalid = || Error::invalid(format!("invalid containerPort: {text}"));
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(Error::invalid(format!("invalid proto: {protocol}")));
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().map_err(|_| invalid())?, last.parse().map_err(|_| invalid())?);
    if first > last {
        return Err(invalid());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn volume(config: &mut ImageConfig, words: &[String], scope: &Scope<'_>) -> Result<String> {
    let mut said = Vec::new();
    for word in words {
        let volume = scope.word(word)?;
        if volume.is_empty() {
            return Err(Error::invalid("VOLUME specified can not be an empty string"));
        }
        said.push(volume.clone());
        config.volumes.get_or_insert_default().insert(volume, Empty {});
    }
    Ok(format!("VOLUME {}", listed(Some(&said))))
}

fn healthcheck(config: &mut ImageConfig, check: &Healthcheck) -> Result<String> {
    let Healthcheck::Check { command, interval, timeout, start_period, start_interval, retries } = check else {
        config.healthcheck = Some(HealthConfig { test: vec!["NONE".to_owned()], ..HealthConfig::default() });
        return Ok("HEALTHCHECK NONE".to_owned());
    };
    let test = match command {
        Command::Exec(words) => [vec!["CMD".to_owned()], words.clone()].concat(),
        Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
    };
    let health = HealthConfig {
        test,
        interval: nanoseconds("interval", interval.as_deref())?,
        timeout: nanoseconds("timeout", timeout.as_deref())?,
        start_period: nanoseconds("start-period", start_period.as_deref())?,
        start_interval: nanoseconds("start-interval", start_interval.as_deref())?,
        retries: i64::from(retries.unwrap_or(0)),
    };
    let said = format!("HEALTHCHECK {}", listed(Some(&health.test)));
    config.healthcheck = Some(health);
    Ok(said)
}

fn nanoseconds(flag: &str, text: Option<&str>) -> Result<i64> {
    let Some(text) = text else { return Ok(0) };
    let duration = crate::timestamps::go_duration(text)
        .ok_or_else(|| Error::invalid(format!("time: invalid duration {text:?}")))?;
    if duration > Duration::ZERO && duration < Duration::from_millis(1) {
        return Err(Error::invalid(format!("Interval {flag:?} cannot be less than 1ms")));
    }
    Ok(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(texts: &[&str]) -> (ImageConfig, Vec<String>) {
        let mut config = ImageConfig { env: vec!["A=1".into()], working_dir: "/srv".into(), ..ImageConfig::default() };
        let mut said = Vec::new();
        for text in texts {
            let env = config.env.clone();
            let instruction = cubby_build::parse_trigger(text).unwrap();
            said.extend(apply(&mut config, &instruction, &Scope::of_env(&env)).unwrap());
        }
        (config, said)
    }

    #[test]
    fn instructions_change_the_config_and_the_history_names_them() {
        let (config, said) = applied(&[
            "ENV A=2 B=\"$A y\"",
            "ENV D e f",
            "CMD [\"a\", \"b\"]",
            "EXPOSE 80 53/udp 90-91",
            "VOLUME /a $B",
            "WORKDIR sub/../dir",
            "USER 1:2",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --interval=1m30s CMD true",
            "LABEL l='v w'",
        ]);
        assert_eq!(config.env, ["A=2", "B=1 y", "D=e f"]);
        let ports: Vec<_> = config.exposed_ports.unwrap().into_keys().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "90/tcp", "91/tcp"]);
        assert_eq!(config.healthcheck.unwrap().interval, 90_000_000_000);
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv/dir", "1:2"));
        assert_eq!(said[0], "ENV A=2 B=1 y");
        assert_eq!(said[2], "CMD [\"a\" \"b\"]");
        assert_eq!(said[4], "VOLUME [\"/a\" \"1 y\"]");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |text: &str| {
            let instruction = cubby_build::parse_trigger(text).unwrap();
            apply(&mut ImageConfig::default(), &instruction, &Scope::of_env(&[])).unwrap_err().message().to_owned()
        };
        assert_eq!(refused("EXPOSE eighty"), "invalid containerPort: eighty");
        assert_eq!(refused("EXPOSE 80/foo"), "invalid proto: foo");
        assert_eq!(refused("STOPSIGNAL NOPE"), "invalid signal: NOPE");
        assert_eq!(refused("HEALTHCHECK --interval=5 CMD x"), "time: invalid duration \"5\"");
    }
}
