//! Whose the host's files are in a container: the user's who works there.
//!
//! That is the container's own user, or, in a dev container, the one that its editor works as.

use cubby_runtime::OwnerMap;
use serde_json::Value;

use super::{
    model::Record,
    users::{Accounts, User},
};

/// Label of images and containers made by dev container tools. Source: containers.dev, implementors/spec, "Image metadata".
const DEV_CONTAINER: &str = "devcontainer.metadata";

/// None where they are root's anyway.
pub(super) fn files_owner(record: &Record, accounts: &Accounts, own: &User) -> Option<OwnerMap> {
    let label = record.config.labels.as_ref().and_then(|labels| labels.get(DEV_CONTAINER));
    let editor = label.and_then(|metadata| remote_user(metadata)).and_then(|user| accounts.resolve(&user, &[]).ok());
    let owner = editor.as_ref().unwrap_or(own);
    OwnerMap::new(owner.uid, owner.gid)
}

/// The last `remoteUser` that the label names; the text is a client's and may be anything.
fn remote_user(metadata: &str) -> Option<String> {
    let parts = match serde_json::from_str(metadata).ok()? {
        Value::Array(parts) => parts,
        one => vec![one],
    };
    let named = parts.iter().rev().find_map(|part| part.get("remoteUser")?.as_str());
    named.filter(|user| !user.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_that_names_a_user_counts() {
        let metadata = r#"[{"remoteUser":"root"},{"remoteUser":"vscode"},{"customizations":{}}]"#;
        assert_eq!(remote_user(metadata).as_deref(), Some("vscode"));
        assert_eq!(remote_user(r#"{"remoteUser":"node"}"#).as_deref(), Some("node"));
        for nothing in ["", "7", "[]", "[{\"remoteUser\":7}]", "{", r#"{"remoteUser":""}"#] {
            assert_eq!(remote_user(nothing), None, "{nothing}");
        }
    }
}
