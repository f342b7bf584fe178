//! Cubby's own engine lists one directory: `GET /cubby/containers/{id}/files?path=…`.

use serde::Deserialize;

use crate::engine::endpoint::Endpoint;
use crate::schema::{FileEntry, FileKind};

/// As `guest/crates/api` writes it.
#[derive(Deserialize)]
struct Listing {
    entries: Vec<Entry>,
    cut: bool,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    size: u64,
    /// `st_mode`
    mode: u32,
    modified_unix_ms: u64,
    link_target: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Absent when the engine has no such listing; an error is the engine's own words.
pub(super) async fn directory(
    endpoint: &Endpoint,
    id: &str,
    path: &str,
) -> Option<Result<(Vec<FileEntry>, bool), String>> {
    let page = format!("/cubby/containers/{}/files?path={}", escaped(id), escaped(path));
    let (status, body) = endpoint.request("GET", &page, String::new()).await.ok()?;
    if status == 200 {
        let listing: Listing = serde_json::from_str(&body).ok()?;
        return Some(Ok((listing.entries.into_iter().map(row).collect(), listing.cut)));
    }
    let refusal: Refusal = serde_json::from_str(&body).ok()?;
    // `page not found` is what an engine says that has no such page.
    (refusal.message != "page not found").then_some(Err(refusal.message))
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

fn row(entry: Entry) -> FileEntry {
    let kind = match entry.mode & 0o170_000 {
        0o040_000 => FileKind::Directory,
        0o100_000 => FileKind::File,
        0o120_000 => FileKind::Link,
        _ => FileKind::Other,
    };
    FileEntry {
        name: entry.name,
        kind,
        size_bytes: entry.size,
        mode: entry.mode & 0o7777,
        modified_unix_ms: Some(entry.modified_unix_ms),
        link_target: entry.link_target,
        change: None,
    }
}
