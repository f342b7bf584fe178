//! The portable part. Source: moby daemon/container.go `validateContainerConfig`.

use super::refuse;
use crate::{
    containers::{
        model::{Config, Healthcheck},
        mounts, signals,
    },
    error::Result,
};

/// Shortest time in a health check: a millisecond.
const MIN_DURATION: i64 = 1_000_000;

pub fn check(config: &mut Config) -> Result<()> {
    if config.hostname.len() > 64 {
        return refuse(format!("hostname {:?} is too long (maximum 64 bytes)", config.hostname));
    }
    if config.hostname.contains('\0') || config.hostname.contains('/') {
        return refuse(format!("invalid hostname format: {}", config.hostname));
    }
    if !config.working_dir.is_empty() {
        if !config.working_dir.starts_with('/') {
            return refuse(format!(
                "the working directory '{}' is invalid, it needs to be an absolute path",
                config.working_dir
            ));
        }
        config.working_dir = mounts::clean(&config.working_dir);
    }
    if !config.stop_signal.is_empty() {
        signals::parse(&config.stop_signal)?;
    }
    if let Some(bad) = config.env().iter().find(|pair| pair.is_empty() || pair.starts_with('=')) {
        return refuse(format!("invalid environment variable: {bad}"));
    }
    if let Some(bad) = config.env().iter().find(|pair| pair.contains('\0')) {
        return refuse(format!("environment variable contains a NUL byte: {bad:?}"));
    }
    config.healthcheck.as_ref().map_or(Ok(()), check_health)
}

fn check_health(check: &Healthcheck) -> Result<()> {
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != 0 && value < MIN_DURATION {
            return refuse(format!("{name} in Healthcheck cannot be less than 1ms"));
        }
    }
    if check.retries < 0 {
        return refuse("Retries in Healthcheck cannot be negative");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_are_checked() {
        let healthcheck = Some(Healthcheck { interval: 10, ..Healthcheck::default() });
        let mut config = Config { healthcheck, ..Config::default() };
        assert_eq!(check(&mut config).unwrap_err().message(), "Interval in Healthcheck cannot be less than 1ms");
    }

    #[test]
    fn paths_signals_and_environment_are_checked() {
        let mut config = Config { working_dir: "tmp".into(), ..Config::default() };
        assert!(check(&mut config).unwrap_err().message().contains("needs to be an absolute path"));
        let mut config = Config { working_dir: "/a/../b//c/".into(), ..Config::default() };
        check(&mut config).unwrap();
        assert_eq!(config.working_dir, "/b/c");
        let mut config = Config { env: Some(vec!["=x".into()]), ..Config::default() };
        assert_eq!(check(&mut config).unwrap_err().message(), "invalid environment variable: =x");
    }
}
