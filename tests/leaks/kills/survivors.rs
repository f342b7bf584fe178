//! Containers that print numbers at some speed for the whole test and know nothing of what happens to the engine.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use cubby_harness::{request, wait_for};
use serde_json::{Value, json};

use super::container;

const EXIT_CODE: i64 = 41;
/// Lines of each burst and the pause after it, then a last word. The last one prints at full speed most of the time: a kill
/// finds the engine between reading and writing.
const PACES: [(u32, &str); 4] = [(1, "0.01"), (20, "0.05"), (200, "0.1"), (20_000, "0.2")];

pub struct Survivors {
    pub names: Vec<String>,
    /// Process and start of each, which no crash may change.
    identities: Vec<(Value, Value)>,
}

impl Survivors {
    pub fn start(socket: &Path) -> Self {
        let names: Vec<String> = (0..PACES.len()).map(|n| format!("survivor{n}")).collect();
        for (name, (burst, pause)) in names.iter().zip(PACES) {
            let script = format!(
                "trap 'echo end; exit {EXIT_CODE}' TERM; n=0; \
                 while :; do seq $((n + 1)) $((n + {burst})); n=$((n + {burst})); sleep {pause}; done"
            );
            let mut body = container(&["sh", "-c", &script]);
            body["HostConfig"] = json!({ "LogConfig": { "Type": "json-file" } });
            let path = format!("/containers/create?name={name}");
            let reply = request(socket, "POST", &path, body.to_string().as_bytes()).expect("an answer");
            assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
            let reply = request(socket, "POST", &format!("/containers/{name}/start"), b"").expect("an answer");
            assert_eq!(reply.status, 204, "{}", String::from_utf8_lossy(&reply.body));
        }
        let identities = names.iter().map(|name| identity(socket, name)).collect();
        Self { names, identities }
    }

    /// Each is the process it was, and goes on printing through this engine.
    pub fn still_run(&self, socket: &Path) {
        for (name, before) in self.names.iter().zip(&self.identities) {
            assert_eq!(&identity(socket, name), before, "{name}");
            let seen = last_line(socket, name);
            wait_for("another line", Duration::from_secs(30), || (last_line(socket, name) != seen).then_some(()));
        }
    }

    /// Ends them: the exit code is theirs, and not a line is missing, doubled or out of order.
    pub fn end_whole(&self, socket: &Path) {
        for name in &self.names {
            request(socket, "POST", &format!("/containers/{name}/kill?signal=TERM"), b"").expect("an answer");
            let waited = request(socket, "POST", &format!("/containers/{name}/wait"), b"").expect("an answer").json();
            assert_eq!(waited["StatusCode"], EXIT_CODE, "{name}");
            let log = request(socket, "GET", &format!("/containers/{name}/logs?stdout=1"), b"").expect("an answer");
            let mut lines = printed(&log.body).expect("frames");
            assert_eq!(lines.pop().as_deref(), Some("end"), "{name}");
            let wrong = lines.iter().zip(1..).find(|(line, n)| **line != n.to_string());
            assert_eq!(wrong, None, "{name}: the first line that is not where it belongs");
            println!("{name}: {} lines, all there", lines.len());
        }
    }
}

fn identity(socket: &Path, name: &str) -> (Value, Value) {
    let state = request(socket, "GET", &format!("/containers/{name}/json"), b"").expect("an answer").json();
    assert_eq!(state["State"]["Status"], "running", "{name}: {}", state["State"]);
    (state["State"]["Pid"].clone(), state["State"]["StartedAt"].clone())
}

fn last_line(socket: &Path, name: &str) -> Vec<String> {
    let log = request(socket, "GET", &format!("/containers/{name}/logs?stdout=1&tail=1"), b"").expect("an answer");
    printed(&log.body).expect("frames")
}

/// Lines of a multiplexed stream. Source: API, `ContainerAttach`, "Stream format".
pub fn printed(mut raw: &[u8]) -> io::Result<Vec<String>> {
    let mut text = Vec::new();
    while !raw.is_empty() {
        let cut = || io::Error::other("a frame is cut off");
        let head = raw.get(..8).ok_or_else(cut)?;
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        text.extend_from_slice(raw.get(8..8 + length).ok_or_else(cut)?);
        raw = &raw[8 + length..];
    }
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

/// Where the engine's directories of a kind are.
pub fn data(dir: &Path, kind: &str) -> PathBuf {
    dir.join("data").join(kind)
}
