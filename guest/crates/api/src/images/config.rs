//! `Config` of `GET /images/{name}/json`, which versions show differently. Source: moby `getImagesByName`.
//!
//! | version | `Config` | `ContainerConfig`, `Container` |
//! |---|---|---|
//! | 1.50 | what an image can say, without what is empty | no |
//! | 1.45 | a container's, most of it always empty | no |
//! | older | the same | what a builder left in the config document |

use cubby_engine::images::Image;
use serde_json::{Map, Value, json};

use crate::version::ApiVersion;

/// What an image can say of its containers. Source: moby `DockerOCIImageConfig`.
const MEMBERS: [&str; 13] = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell",
];

/// `Config` as a version has it.
pub fn of_version(image: &Image, version: ApiVersion) -> Value {
    shaped(member(image, "config"), version)
}

fn shaped(mut config: Map<String, Value>, version: ApiVersion) -> Value {
    config.retain(|name, value| MEMBERS.contains(&name.as_str()) && !is_empty(value));
    if version < ApiVersion(50) { Value::Object(of_a_container(config)) } else { Value::Object(config) }
}

/// Adds `ContainerConfig`, and `Container` if there is one.
pub fn add_builders(answer: &mut Value, image: &Image) {
    answer["ContainerConfig"] = Value::Object(of_a_container(member(image, "container_config")));
    let container = image.raw_member("container").and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    if let Some(container) = container.filter(|id| !id.is_empty()) {
        answer["Container"] = json!(container);
    }
}

fn member(image: &Image, name: &str) -> Map<String, Value> {
    image.raw_member(name).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// What Go leaves out as empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// With what is always there, empty or not. Source: moby `container.Config`.
fn of_a_container(config: Map<String, Value>) -> Map<String, Value> {
    let mut whole = Map::new();
    for name in ["Hostname", "Domainname", "User", "Image", "WorkingDir"] {
        whole.insert(name.to_owned(), json!(""));
    }
    for name in ["AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"] {
        whole.insert(name.to_owned(), json!(false));
    }
    for name in ["Env", "Cmd", "Volumes", "Entrypoint", "OnBuild", "Labels"] {
        whole.insert(name.to_owned(), Value::Null);
    }
    whole.extend(config);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_shape() {
        let config = json!({ "Hostname": "builder", "Cmd": ["sh"], "Env": [], "Labels": null, "User": "" });
        let Value::Object(config) = config else { unreachable!("it was made an object") };
        assert_eq!(shaped(config.clone(), ApiVersion(50)), json!({ "Cmd": ["sh"] }));
        let older = shaped(config, ApiVersion(49));
        assert_eq!(older["Hostname"], "", "an image has none, whatever its builder's container was called");
        assert_eq!((&older["Cmd"], &older["Env"], &older["Tty"]), (&json!(["sh"]), &Value::Null, &json!(false)));
    }
}
