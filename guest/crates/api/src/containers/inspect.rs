//! `GET /containers/{id}/json`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use cubby_engine::Engine;
use serde_json::{Value, json};

use crate::{error::ApiError, extract::Query, version::ApiVersion};

pub async fn inspect(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    version: ApiVersion,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    let mut document = engine.containers.inspect(&id, query.flag("size")).await?;
    if version < ApiVersion(45) {
        add_own_names(&mut document);
    }
    Ok(Json(document))
}

/// Among the aliases in networks of the user's, older clients expect the short id and the host name. Source: moby
/// `getContainersByName`.
fn add_own_names(document: &mut Value) {
    let short = document["Id"].as_str().and_then(|id| id.get(..12)).unwrap_or_default().to_owned();
    let own = [json!(short), document["Config"]["Hostname"].clone()];
    let networks = document["NetworkSettings"]["Networks"].as_object_mut();
    for (name, endpoint) in networks.into_iter().flatten() {
        if matches!(name.as_str(), "bridge" | "host" | "none" | "default") {
            continue;
        }
        let mut aliases = endpoint["Aliases"].as_array().cloned().unwrap_or_default();
        for name in &own {
            if !aliases.contains(name) {
                aliases.push(name.clone());
            }
        }
        endpoint["Aliases"] = Value::Array(aliases);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_clients_find_a_containers_own_names_among_its_aliases() {
        let mut document = json!({
            "Id": "0123456789abcdef", "Config": { "Hostname": "here" },
            "NetworkSettings": { "Networks": {
                "bridge": { "Aliases": null }, "net": { "Aliases": ["here", "db"] }, "other": { "Aliases": null },
            } },
        });
        add_own_names(&mut document);
        let networks = &document["NetworkSettings"]["Networks"];
        assert_eq!(networks["bridge"]["Aliases"], Value::Null);
        assert_eq!(networks["net"]["Aliases"], json!(["here", "db", "0123456789ab"]));
        assert_eq!(networks["other"]["Aliases"], json!(["0123456789ab", "here"]));
    }
}
