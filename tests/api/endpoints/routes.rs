//! Which routes the engine serves: read off its source, because a router tells nobody.

use std::{fs, path::Path};

/// Methods and paths of every `.route(…)` of the API crate, sorted. `ANY` stands for all methods.
pub fn served() -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/crates/api/src");
    let mut routes = Vec::new();
    read(&source, &mut routes);
    assert!(routes.len() > 50, "the source of the API was found: {routes:?}");
    // What lies under our own prefix is in nobody's published description; other cases speak of it.
    routes.retain(|(_, path)| !path.starts_with("/cubby/"));
    routes.sort();
    routes
}

fn read(dir: &Path, routes: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).expect("the source of the API").flatten() {
        let path = entry.path();
        if path.is_dir() {
            read(&path, routes);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source is text");
            for call in text.split(".route(").skip(1) {
                routes.extend(route(call));
            }
        }
    }
}

/// `"/path", get(list).delete(remove))…` as its routes.
fn route(call: &str) -> Vec<(String, String)> {
    let call = &call[..closing(call)];
    let mut parts = call.splitn(3, '"');
    let (Some(_), Some(path), Some(methods)) = (parts.next(), parts.next(), parts.next()) else { return Vec::new() };
    let path = path.replace("{{", "{").replace("}}", "}");
    let verbs = ["get", "post", "put", "delete", "head", "any"];
    let found = verbs.iter().filter(|verb| {
        methods
            .match_indices(&format!("{verb}("))
            .any(|(at, _)| !methods[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    });
    found.map(|verb| (verb.to_uppercase(), path.clone())).collect()
}

/// Where the parenthesis closes that the text begins in.
fn closing(text: &str) -> usize {
    let mut depth = 1;
    for (at, character) in text.char_indices() {
        depth += match character {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth == 0 {
            return at;
        }
    }
    text.len()
}
