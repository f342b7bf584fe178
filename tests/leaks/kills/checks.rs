//! What must hold after a restart: every promise kept, nothing half-made, nothing left over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use cubby_harness::{NativeEngine, children, request, wait_for};
use serde_json::Value;

use super::{
    client::LINES,
    ledger::{Item, Ledger},
    survivors::{Survivors, data, printed},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Ledgers against the restarted engine. Returns the ids of all containers it has.
pub fn what_was_promised(engine: &NativeEngine, ledgers: &[Ledger]) -> BTreeSet<String> {
    let socket = engine.socket();
    let found = containers(&socket);
    for (name, item) in ledgers.iter().flat_map(|ledger| &ledger.containers) {
        container_keeps(&socket, name, item, found.get(name));
    }
    let networks = names(&get(&socket, "/networks"));
    for (name, known) in ledgers.iter().flat_map(|ledger| &ledger.networks) {
        assert!(!known.contradicts(networks.contains(name)), "network {name}: {known:?} was promised");
    }
    let volumes = names(&get(&socket, "/volumes")["Volumes"]);
    for (name, known) in ledgers.iter().flat_map(|ledger| &ledger.volumes) {
        assert!(!known.contradicts(volumes.contains(name)), "volume {name}: {known:?} was promised");
    }
    found.values().filter_map(|state| state["Id"].as_str().map(str::to_owned)).collect()
}

fn container_keeps(socket: &Path, name: &str, item: &Item, found: Option<&Value>) {
    assert!(!item.exists.contradicts(found.is_some()), "container {name}: {item:?}, found {found:?}");
    let Some(found) = found else { return };
    let state = &found["State"];
    assert!(!item.runs.contradicts(state["Running"] == true), "container {name}: {item:?}, found {state}");
    let status = state["Status"].as_str().unwrap_or_default();
    assert!(["created", "running", "paused", "exited"].contains(&status), "{name}: {state}");
    if let Some(code) = item.ends_with.filter(|_| status != "created") {
        let waited = request(socket, "POST", &format!("/containers/{name}/wait"), b"").expect("an answer").json();
        assert_eq!(waited["StatusCode"], code, "{name}: {item:?}");
        let log = request(socket, "GET", &format!("/containers/{name}/logs?stdout=1"), b"").expect("an answer");
        let lines = printed(&log.body).expect("frames");
        let wanted: Vec<String> = (1..=LINES).map(|n| n.to_string()).collect();
        assert!(lines == wanted, "{name}: {item:?}: {} lines, {:?}…{:?}", lines.len(), lines.first(), lines.last());
    }
}

/// Removes what the clients left, as a client would.
pub fn remove_all(engine: &NativeEngine, survivors: &Survivors) {
    let socket = engine.socket();
    for name in containers(&socket).into_keys().filter(|name| !survivors.names.contains(name)) {
        delete(&socket, &format!("/containers/{name}?force=1&v=1"));
    }
    for name in names(&get(&socket, "/networks")) {
        if !["bridge", "host", "none"].contains(&name.as_str()) {
            delete(&socket, &format!("/networks/{name}"));
        }
    }
    for name in names(&get(&socket, "/volumes")["Volumes"]) {
        // An anonymous one here is one that a removed container has left: that is a leak.
        assert!(name.starts_with('r'), "volume {name} has outlived its container");
        delete(&socket, &format!("/volumes/{name}"));
    }
}

/// Directories, links and processes are those of the survivors.
pub fn nothing_is_left(engine: &NativeEngine, survivors: &Survivors) {
    let found = containers(&engine.socket());
    assert_eq!(found.keys().collect::<Vec<_>>(), survivors.names.iter().collect::<Vec<_>>());
    let ids: BTreeSet<String> = found.values().filter_map(|state| state["Id"].as_str().map(str::to_owned)).collect();
    let pids: BTreeSet<u64> = found.values().filter_map(|state| state["State"]["Pid"].as_u64()).collect();
    same("directories of containers", || entries(&data(engine.dir(), "containers")), ids);
    same("directories of volumes", || entries(&data(engine.dir(), "volumes")), BTreeSet::new());
    let keeper = engine.keeper().expect("there is a keeper");
    same("processes", || children(keeper).into_iter().map(u64::from).collect(), pids);
}

/// Waits for equality: the engine cleans up after its answer.
fn same<T: Ord + std::fmt::Debug>(what: &str, mut found: impl FnMut() -> BTreeSet<T>, wanted: BTreeSet<T>) {
    let mut last = BTreeSet::new();
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for(what, PATIENCE, || {
            last = found();
            (last == wanted).then_some(())
        });
    }));
    assert!(waited.is_ok(), "{what}: {last:?} instead of {wanted:?}");
}

fn entries(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Every container by name, as inspected.
fn containers(socket: &Path) -> BTreeMap<String, Value> {
    let list = get(socket, "/containers/json?all=1");
    let ids = list.as_array().expect("a list").iter().map(|entry| entry["Id"].as_str().expect("an id").to_owned());
    ids.map(|id| {
        let state = get(socket, &format!("/containers/{id}/json"));
        (state["Name"].as_str().expect("a name").trim_start_matches('/').to_owned(), state)
    })
    .collect()
}

fn names(list: &Value) -> BTreeSet<String> {
    let entries = list.as_array().into_iter().flatten();
    entries.filter_map(|entry| entry["Name"].as_str().map(str::to_owned)).collect()
}

fn get(socket: &Path, path: &str) -> Value {
    let reply = request(socket, "GET", path, b"").expect("an answer");
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

fn delete(socket: &Path, path: &str) {
    let reply = request(socket, "DELETE", path, b"").expect("an answer");
    assert_eq!(reply.status, 204, "{path}: {}", String::from_utf8_lossy(&reply.body));
}
