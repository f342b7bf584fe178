//! `--change`: single Dockerfile instructions that alter an image's config. Source: moby builder/dockerfile
//! `BuildFromConfig`, `validCommitCommands`.

use cubby_build::parse_trigger;
use cubby_image::ImageConfig;

use crate::{
    build::{self, Scope},
    error::{Error, Result},
};

/// The instructions that change nothing but the config.
const ALLOWED: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Applies one instruction.
///
/// # Errors
/// Invalid, in dockerd's words, for instructions that change more than the config.
pub fn apply(config: &mut ImageConfig, change: &str) -> Result<()> {
    let change = change.trim();
    let instruction = change.split_whitespace().next().unwrap_or_default();
    if !ALLOWED.contains(&instruction.to_ascii_uppercase().as_str()) {
        return Err(Error::invalid(format!("{instruction} is not a valid change command")));
    }
    let parsed = parse_trigger(change).map_err(Error::invalid)?;
    // Variables mean the environment as it was before.
    let env = config.env.clone();
    build::apply_config(config, &parsed, &Scope::of_env(&env)).map(drop)
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
