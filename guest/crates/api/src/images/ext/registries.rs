//! `GET|PUT /cubby/registries`, `PUT|DELETE /cubby/registries/certificates/{host}`: how registries are reached.
//!
//! The members are those of dockerd's configuration file, and `mirrors-of`. Passwords in proxies' addresses and keys are
//! taken, never given out.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use cubby_engine::{
    Engine,
    images::{HostCertificates, Proxies, RegistryOptions},
};
use serde_json::{Map, Value, json};

use crate::{error::ApiError, extract::JsonBody, images::stream::blocking};

pub async fn show(State(engine): State<Arc<Engine>>) -> Result<Json<Value>, ApiError> {
    let registries = engine.images.registries();
    let (effective, stored) = (hidden(registries.options()), hidden(registries.stored.clone()));
    let certificates = blocking(move || Ok(registries.certified_hosts())).await?;
    Ok(Json(json!({ "effective": effective, "stored": stored, "certificates": certificates })))
}

/// Replaces what was set before.
pub async fn set(
    State(engine): State<Arc<Engine>>,
    JsonBody(options): JsonBody<RegistryOptions>,
) -> Result<Json<Value>, ApiError> {
    let images = engine.images.clone();
    blocking(move || images.store_registries(options)).await?;
    show(State(engine)).await
}

pub async fn set_certificates(
    State(engine): State<Arc<Engine>>,
    Path(host): Path<String>,
    JsonBody(files): JsonBody<HostCertificates>,
) -> Result<StatusCode, ApiError> {
    blocking(move || engine.images.store_certificates(&host, &files)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn remove_certificates(
    State(engine): State<Arc<Engine>>,
    Path(host): Path<String>,
) -> Result<StatusCode, ApiError> {
    blocking(move || engine.images.remove_certificates(&host)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn hidden(mut options: RegistryOptions) -> RegistryOptions {
    let proxies = &mut options.proxies;
    for address in [&mut proxies.http_proxy, &mut proxies.https_proxy].into_iter().flatten() {
        *address = without_password(address);
    }
    options
}

/// Source: moby daemon/config `MaskCredentials`.
pub fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    match rest.split_once('@') {
        Some((_, host)) => format!("{scheme}://xxxxx:xxxxx@{host}"),
        None => address.to_owned(),
    }
}

/// `RegistryConfig` of `/info`.
pub fn registry_config(engine: &Engine) -> Value {
    let options = engine.images.registries().options();
    let (networks, hosts): (Vec<String>, Vec<String>) =
        options.insecure_registries.into_iter().partition(|known| known.contains('/'));
    let mirrors = options.registry_mirrors;
    let mut indexes = Map::new();
    for host in hosts {
        let shown = json!({ "Name": host, "Mirrors": [], "Secure": false, "Official": false });
        indexes.insert(host, shown);
    }
    let hub = json!({ "Name": "docker.io", "Mirrors": mirrors, "Secure": true, "Official": true });
    indexes.insert("docker.io".to_owned(), hub);
    let mut insecure = vec!["::1/128".to_owned(), "127.0.0.0/8".to_owned()];
    insecure.extend(networks);
    json!({
        "InsecureRegistryCIDRs": insecure,
        "IndexConfigs": indexes,
        "Mirrors": (!mirrors.is_empty()).then_some(mirrors),
    })
}

/// `HttpProxy`, `HttpsProxy` and `NoProxy` of `/info`.
pub fn proxies(engine: &Engine) -> [String; 3] {
    let Proxies { http_proxy, https_proxy, no_proxy } = hidden(engine.images.registries().options()).proxies;
    [http_proxy, https_proxy, no_proxy].map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_given_out() {
        assert_eq!(without_password("http://u:p@proxy:3128"), "http://xxxxx:xxxxx@proxy:3128");
        assert_eq!(without_password("http://proxy:3128"), "http://proxy:3128");
    }
}
