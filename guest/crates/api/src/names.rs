//! Names of containers with slashes: `/name`, and `parent/alias` of a link.
//!
//! No pattern of the router takes several parts of a path between two fixed ones, so they become one part before routing.

use axum::http::{Uri, uri::PathAndQuery};

/// The address with the container's name, if it is one with slashes, as one part.
pub fn whole(uri: Uri) -> Uri {
    let Some(rest) = uri.path().strip_prefix("/containers/") else { return uri };
    let (rest, socket) = match rest.strip_suffix("/attach/ws") {
        Some(name) => (name, "/attach/ws"),
        None => (rest, ""),
    };
    let (name, verb) = match socket {
        "" => rest.rsplit_once('/').unwrap_or((rest, "")),
        _ => (rest, ""),
    };
    // Why not without a verb: only DELETE has none, and its links have a route of their own.
    if !name.contains('/') || (verb.is_empty() && socket.is_empty()) {
        return uri;
    }
    let name = name.replace('/', "%2F");
    let path =
        if socket.is_empty() { format!("/containers/{name}/{verb}") } else { format!("/containers/{name}{socket}") };
    let target = uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    target.parse::<PathAndQuery>().map_or(uri, Uri::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_in_names_are_kept_together() {
        for (path, whole_path) in [
            ("/containers/a/json", "/containers/a/json"),
            ("/containers/json?all=1", "/containers/json?all=1"),
            ("/containers//a/json?size=1", "/containers/%2Fa/json?size=1"),
            ("/containers/a/b/json", "/containers/a%2Fb/json"),
            ("/containers/a/attach/ws?x=1", "/containers/a/attach/ws?x=1"),
            ("/containers/a/b/attach/ws", "/containers/a%2Fb/attach/ws"),
            ("/containers/a/b", "/containers/a/b"),
            ("/images/a/b/json", "/images/a/b/json"),
        ] {
            assert_eq!(whole(path.parse().unwrap()).to_string(), whole_path);
        }
    }
}
