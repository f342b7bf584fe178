//! What the command line, dockerd's kind of configuration file and the environment say about registries.
//!
//! | said by | mirrors | insecure registries | proxies |
//! |---|---|---|---|
//! | options | `--registry-mirror` | `--insecure-registry` | `--http-proxy`, `--https-proxy`, `--no-proxy` |
//! | `--config-file` | `registry-mirrors` | `insecure-registries` | `proxies.*-proxy` |
//! | environment | | | `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` |
//!
//! Options and file add up for lists; of proxies options win over the file and that over the environment. Where dockerd
//! refuses a value that both name, the option wins here. Source: moby daemon/config.

use std::{fs, path::PathBuf};

use anyhow::Context;
use cubby_engine::images::{Images, Proxies, RegistryOptions};
use serde_json::Value;

#[derive(clap::Args)]
#[group(id = "registries")]
pub struct RegistryArguments {
    /// Configuration file; of dockerd's members those about registries count
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Mirror of Docker Hub to try first (may repeat)
    #[arg(long, value_name = "URL")]
    registry_mirror: Vec<String>,
    /// Registry that may be spoken to in plain HTTP or with any certificate: host[:port] or network (may repeat)
    #[arg(long, value_name = "HOST")]
    insecure_registry: Vec<String>,
    /// Directory with <host>[:port]/{ca.crt,client.cert,client.key}
    #[arg(long, value_name = "DIR", default_value = "/etc/docker/certs.d")]
    registry_certs: PathBuf,
    /// Proxy for registries over http
    #[arg(long, value_name = "URL")]
    http_proxy: Option<String>,
    /// Proxy for registries over https
    #[arg(long, value_name = "URL")]
    https_proxy: Option<String>,
    /// Hosts without proxy, separated by commas
    #[arg(long, value_name = "HOSTS")]
    no_proxy: Option<String>,
}

/// Members of dockerd's file that mean something here.
const MEMBERS: [&str; 4] = ["registry-mirrors", "insecure-registries", "proxies", "mirrors-of"];

impl RegistryArguments {
    /// Tells the images.
    pub fn give(self, images: &Images) -> anyhow::Result<()> {
        let mut options = match &self.config_file {
            Some(file) => {
                let text = fs::read(file).with_context(|| format!("read {}", file.display()))?;
                parse(&text).with_context(|| format!("unable to configure the engine with file {}", file.display()))?
            }
            None => RegistryOptions::default(),
        };
        let certificates = self.registry_certs.clone();
        self.over(&mut options, |name| std::env::var(name).ok());
        Ok(images.give_registries(options, Some(certificates))?)
    }

    fn over(self, options: &mut RegistryOptions, variable: impl Fn(&str) -> Option<String>) {
        options.registry_mirrors.splice(0..0, self.registry_mirror);
        options.insecure_registries.extend(self.insecure_registry);
        let environment = Proxies::from_environment(variable);
        let proxies = &mut options.proxies;
        for (member, option, variable) in [
            (&mut proxies.http_proxy, self.http_proxy, environment.http_proxy),
            (&mut proxies.https_proxy, self.https_proxy, environment.https_proxy),
            (&mut proxies.no_proxy, self.no_proxy, environment.no_proxy),
        ] {
            *member = option.or_else(|| member.take()).or(variable).filter(|text| !text.is_empty());
        }
    }
}

fn parse(text: &[u8]) -> anyhow::Result<RegistryOptions> {
    let file: serde_json::Map<String, Value> = serde_json::from_slice(text)?;
    let (known, other): (serde_json::Map<_, _>, serde_json::Map<_, _>) =
        file.into_iter().partition(|(name, _)| MEMBERS.contains(&name.as_str()));
    if !other.is_empty() {
        let names: Vec<&String> = other.keys().collect();
        tracing::warn!(?names, "members of the configuration file that mean nothing here");
    }
    Ok(serde_json::from_value(Value::Object(known))?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        registries: RegistryArguments,
    }

    #[test]
    fn options_win_over_the_file_and_that_over_the_environment() {
        let file = br#"{"registry-mirrors":["https://a.example"],"insecure-registries":["lab:1"],"storage-driver":"x",
            "proxies":{"http-proxy":"http://file:1","https-proxy":"http://file:2"}}"#;
        let mut options = parse(file).unwrap();
        let line = [
            "x",
            "--registry-mirror",
            "https://b.example",
            "--insecure-registry",
            "lab:2",
            "--http-proxy",
            "http://o:1",
        ];
        Line::parse_from(line).registries.over(&mut options, |name| Some(format!("http://{}", name.to_lowercase())));
        assert_eq!(options.registry_mirrors, ["https://b.example", "https://a.example"]);
        assert_eq!(options.insecure_registries, ["lab:1", "lab:2"]);
        let proxies = options.proxies;
        assert_eq!(proxies.http_proxy.as_deref(), Some("http://o:1"));
        assert_eq!(proxies.https_proxy.as_deref(), Some("http://file:2"));
        assert_eq!(proxies.no_proxy.as_deref(), Some("http://no_proxy"));
        assert!(parse(b"[]").is_err());
        assert!(parse(br#"{"registry-mirrors":"x"}"#).is_err());
    }
}
