//! Bodies and archives that are almost right.

use fastrand::Rng;
use serde_json::{Value, json};

/// `body` with one to three of its members changed to something that does not belong there, or left out.
pub fn mutated(body: &Value, random: &mut Rng) -> Value {
    let mut body = body.clone();
    for _ in 0..random.usize(1..=3) {
        let mut paths = Vec::new();
        collect(&body, String::new(), &mut paths);
        let path = random.choice(&paths).cloned().unwrap_or_default();
        if let Some(place) = body.pointer_mut(&path) {
            *place = stranger(place, random);
        }
    }
    body
}

/// JSON pointers of everything below the top.
fn collect(value: &Value, at: String, paths: &mut Vec<String>) {
    if !at.is_empty() {
        paths.push(at.clone());
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                collect(member, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), paths);
            }
        }
        Value::Array(entries) => {
            for (n, entry) in entries.iter().enumerate() {
                collect(entry, format!("{at}/{n}"), paths);
            }
        }
        _ => {}
    }
}

fn stranger(place: &Value, random: &mut Rng) -> Value {
    let numbers = [0, -1, 1, 1000, 65_536, 1 << 32, i64::MAX, i64::MIN];
    let texts = [
        "",
        "\0",
        "../../../etc",
        "/",
        "a:b:c:d",
        "nobody",
        "-1",
        "99999999999999999999",
        "\u{202e}ü😀",
        "%s%n",
        "none",
    ];
    // Why half of the time: a wrong type is refused by the first thing that reads it; a wrong value gets further.
    if random.bool() {
        match place {
            Value::Number(_) => return json!(random.choice(numbers).unwrap_or_default()),
            Value::String(_) => return json!(random.choice(texts).unwrap_or_default()),
            Value::Bool(is) => return json!(!is),
            _ => {}
        }
    }
    match random.u8(0..9) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!(random.f64() * 1e300),
        3 => json!(random.i64(..)),
        4 => json!(random.choice(texts).unwrap_or_default()),
        5 => json!([]),
        6 => json!({ "": [[{}]] }),
        7 => json!([place, place]),
        _ => json!("x".repeat(random.usize(1..70_000))),
    }
}

/// `archive` with bytes changed, cut out or doubled.
pub fn damaged(archive: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = archive.to_vec();
    for _ in 0..random.usize(1..=4) {
        // Why mostly in front: headers are what is parsed.
        let end = if random.bool() { bytes.len().min(4096) } else { bytes.len() };
        let at = random.usize(0..end.max(1));
        match random.u8(0..4) {
            0 => bytes[at] = random.u8(..),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, vec![random.u8(..); random.usize(1..600)])),
            _ => bytes[at] ^= 1 << random.u8(0..8),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

/// Every kind of entry, some of which want out.
pub fn small_tar() -> Vec<u8> {
    use tar::EntryType;
    let mut archive = tar::Builder::new(Vec::new());
    let kinds = [
        ("dir/", EntryType::Directory, ""),
        ("dir/file", EntryType::Regular, ""),
        ("link", EntryType::Symlink, "/etc"),
        ("link/through", EntryType::Regular, ""),
        ("hard", EntryType::Link, "dir/file"),
        ("pipe", EntryType::Fifo, ""),
        ("up", EntryType::Symlink, "../../../../.."),
        ("up/out", EntryType::Regular, ""),
    ];
    for (name, kind, target) in kinds {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        let bytes: &[u8] = if kind == EntryType::Regular { b"content\n" } else { b"" };
        header.set_size(bytes.len() as u64);
        if !target.is_empty() {
            header.set_link_name(target).expect("a short name");
        }
        archive.append_data(&mut header, name, bytes).expect("memory does not fail");
    }
    archive.into_inner().expect("memory does not fail")
}
