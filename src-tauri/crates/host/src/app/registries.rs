//! Logins, kept where the docker CLI keeps them, so that both know the same registries.
//!
//! ```text
//! config.json  credHelpers[registry], credsStore ──▶ docker-credential-<name> get|store|erase|list   (the system's own store)
//!              neither ──▶ a helper that this system has, remembered as credsStore, or "auths" in the file (0600)
//! ```
//!
//! Secrets go to the engine with the request that needs them, and nowhere else. Source: docker/cli,
//! cli/config/credentials; docker/docker-credential-helpers, the protocol.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;

use super::Inner;
use crate::context::Config;
use crate::engine::reference::HUB;
use crate::schema::{AppError, Login, LoginStore, RegistryCommand, Reply, Secret};

/// A helper may ask its user to unlock the store.
const HELPER_PATIENCE: Duration = Duration::from_secs(60);
/// Of this system, best first.
const HELPERS: &[&str] = if cfg!(target_os = "macos") {
    &["osxkeychain"]
} else if cfg!(windows) {
    &["wincred"]
} else {
    &["secretservice", "pass"]
};
/// A user of this name means that the secret is a token. Source: docker/cli, `tokenUsername`.
const TOKEN: &str = "<token>";

pub(super) async fn call(inner: &Inner, command: RegistryCommand) -> Result<Reply, AppError> {
    match command {
        RegistryCommand::List => {}
        RegistryCommand::Login { registry, user, secret } => {
            let registry = canonical(&registry);
            check(inner, &registry, &user, &secret).await?;
            keep(&registry, &user, &secret)
                .await
                .map_err(|err| AppError::failed("The login could not be kept", err))?;
        }
        RegistryCommand::Logout { registry } => {
            forget(&registry).await.map_err(|err| AppError::failed("The login could not be removed", err))?;
        }
    }
    let logins = list().await.map_err(|err| AppError::failed("The logins could not be read", err))?;
    Ok(Reply::Logins { logins })
}

fn canonical(registry: &str) -> String {
    let plain = registry.trim().trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    match plain {
        "" | "docker.io" | "index.docker.io" | "index.docker.io/v1" | "registry-1.docker.io" => HUB.to_owned(),
        plain => plain.to_owned(),
    }
}

/// The engine tries it: only it has to reach the registry.
async fn check(inner: &Inner, registry: &str, user: &str, secret: &Secret) -> Result<(), AppError> {
    let title = format!("{registry} does not accept this login");
    let body = json!({ "username": user, "password": secret.0, "serveraddress": registry }).to_string();
    let answer = inner.endpoint().request("POST", "/auth", body).await?;
    match answer {
        (200 | 204, _) => Ok(()),
        (_, text) => {
            let message =
                serde_json::from_str::<Value>(&text).ok().and_then(|body| body["message"].as_str().map(str::to_owned));
            Err(AppError::failed(title, message.unwrap_or(text)))
        }
    }
}

/// What to send along for `registry`; `None` when nobody is logged in there, or the store does not answer.
pub(super) async fn credentials(registry: &str) -> Option<DockerCredentials> {
    let config = Config::of_process().ok()?.read().ok()?;
    let (user, secret) = match helper(&config, registry) {
        Some(helper) => {
            let answer = ask(&helper, "get", registry).await.ok()?;
            let answer: Value = serde_json::from_str(&answer).ok()?;
            (answer["Username"].as_str()?.to_owned(), answer["Secret"].as_str()?.to_owned())
        }
        None => of_file(config.get("auths")?.get(registry)?)?,
    };
    let server = Some(registry.to_owned());
    Some(if user == TOKEN {
        DockerCredentials { identitytoken: Some(secret), serveraddress: server, ..DockerCredentials::default() }
    } else {
        DockerCredentials {
            username: Some(user),
            password: Some(secret),
            serveraddress: server,
            ..DockerCredentials::default()
        }
    })
}

fn of_file(entry: &Value) -> Option<(String, String)> {
    if let Some(token) = entry["identitytoken"].as_str() {
        return Some((TOKEN.to_owned(), token.to_owned()));
    }
    let text = String::from_utf8(STANDARD.decode(entry["auth"].as_str()?).ok()?).ok()?;
    text.split_once(':').map(|(user, secret)| (user.to_owned(), secret.to_owned()))
}

fn helper(config: &Map<String, Value>, registry: &str) -> Option<String> {
    let own = config.get("credHelpers").and_then(|helpers| helpers[registry].as_str());
    own.or(config.get("credsStore").and_then(Value::as_str)).filter(|name| !name.is_empty()).map(str::to_owned)
}

async fn list() -> Result<Vec<Login>, String> {
    let file = Config::of_process().map_err(|err| err.to_string())?;
    let config = file.read().map_err(|err| err.to_string())?;
    let mut logins: BTreeMap<String, Login> = BTreeMap::new();
    for (registry, entry) in config.get("auths").and_then(Value::as_object).into_iter().flatten() {
        // The CLI leaves an empty entry for what a helper keeps.
        if let Some((user, _)) = of_file(entry) {
            let store = LoginStore::File { path: file.path().display().to_string() };
            logins.insert(registry.clone(), Login { registry: registry.clone(), user: shown(user), store });
        }
    }
    if let Some(name) = config.get("credsStore").and_then(Value::as_str).filter(|name| !name.is_empty()) {
        let known: BTreeMap<String, String> =
            ask(name, "list", "").await.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        for (registry, user) in known {
            let store = LoginStore::Helper { name: name.to_owned() };
            logins.insert(registry.clone(), Login { registry, user: shown(user), store });
        }
    }
    Ok(logins.into_values().collect())
}

fn shown(user: String) -> String {
    if user == TOKEN { String::new() } else { user }
}

async fn keep(registry: &str, user: &str, secret: &Secret) -> Result<(), String> {
    let file = Config::of_process().map_err(|err| err.to_string())?;
    let mut config = file.read().map_err(|err| err.to_string())?;
    let known = helper(&config, registry);
    // Why only into an empty configuration: whoever keeps logins in the file already decided so.
    let undecided = config.get("auths").and_then(Value::as_object).is_none_or(Map::is_empty);
    let chosen = match known {
        Some(name) => Some(name),
        None if undecided => usable().await,
        None => None,
    };
    let auths = config.entry("auths").or_insert_with(|| json!({}));
    if let Some(name) = chosen {
        let entry = json!({ "ServerURL": registry, "Username": user, "Secret": secret.0 }).to_string();
        ask(&name, "store", &entry).await?;
        auths[registry] = json!({});
        if helper(&config, registry).is_none() {
            config.insert("credsStore".into(), json!(name));
        }
    } else {
        auths[registry] = json!({ "auth": STANDARD.encode(format!("{user}:{}", secret.0)) });
    }
    file.write(config).map_err(|err| err.to_string())
}

/// A helper that is here and whose store answers.
async fn usable() -> Option<String> {
    for name in HELPERS {
        if ask(name, "list", "").await.is_ok() {
            return Some((*name).to_owned());
        }
    }
    None
}

async fn forget(registry: &str) -> Result<(), String> {
    let file = Config::of_process().map_err(|err| err.to_string())?;
    let mut config = file.read().map_err(|err| err.to_string())?;
    if let Some(name) = helper(&config, registry) {
        ask(&name, "erase", registry).await?;
    }
    if let Some(auths) = config.get_mut("auths").and_then(Value::as_object_mut) {
        auths.remove(registry);
    }
    file.write(config).map_err(|err| err.to_string())
}

/// One conversation with a credential helper. What it prints may be a secret: it is in no error.
async fn ask(helper: &str, verb: &str, input: &str) -> Result<String, String> {
    if !helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(format!("{helper:?} is no name of a credential helper"));
    }
    let program: PathBuf = format!("docker-credential-{helper}").into();
    let failed = |err: std::io::Error| format!("{}: {err}", program.display());
    let mut command = tokio::process::Command::new(&program);
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    crate::local::windowless(command.as_std_mut());
    let mut child = command.spawn().map_err(failed)?;
    let mut stdin = child.stdin.take();
    let conversation = async {
        if let Some(stdin) = &mut stdin {
            stdin.write_all(input.as_bytes()).await?;
        }
        drop(stdin.take());
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(HELPER_PATIENCE, conversation).await;
    let output = output.map_err(|_| format!("{} does not answer", program.display()))?.map_err(failed)?;
    if !output.status.success() {
        return Err(format!("{} {verb} failed ({})", program.display(), output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} answered no text", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_one_name() {
        assert_eq!(canonical(" https://docker.io/ "), HUB);
        assert_eq!(canonical(""), HUB);
        assert_eq!(canonical("https://ghcr.io/"), "ghcr.io");
        assert_eq!(canonical("localhost:5000"), "localhost:5000");
    }

    #[test]
    fn logins_in_the_file_are_read_and_secrets_are_not_printed() {
        let entry = json!({ "auth": STANDARD.encode("ada:pa:ss") });
        assert_eq!(of_file(&entry), Some(("ada".into(), "pa:ss".into())));
        assert_eq!(of_file(&json!({})), None);
        let command =
            RegistryCommand::Login { registry: "r".into(), user: "u".into(), secret: Secret("hidden".into()) };
        assert!(!format!("{command:?}").contains("hidden"));
    }

    #[tokio::test]
    async fn a_helper_s_name_is_no_path() {
        assert!(ask("../evil", "list", "").await.is_err());
    }
}
