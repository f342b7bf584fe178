//! Filters of the list of containers, and of every prune: what they choose, and what they refuse.

use std::collections::BTreeSet;

use cubby_harness::{IMAGE, Reply, request};
use serde_json::{Value, json};

use crate::{docker, engine};

fn ask(method: &str, path: &str, filters: &Value) -> Reply {
    let filters: String = filters.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    request(&engine().socket(), method, &format!("{path}filters={filters}"), b"").expect("an answer")
}

/// Names of this file's containers that a filter lets through.
fn listed(filters: &Value) -> BTreeSet<String> {
    let reply = ask("GET", "/containers/json?all=1&", filters);
    let list = reply.json();
    let list = list.as_array().unwrap_or_else(|| panic!("{filters}: {list}")).clone();
    let names = list.iter().filter_map(|line| line["Names"][0].as_str());
    names.filter_map(|name| name.strip_prefix("/filters-")).map(str::to_owned).collect()
}

fn refused(method: &str, path: &str, filters: Value) -> String {
    let reply = ask(method, path, &filters);
    assert_eq!(reply.status, 400, "{filters}: {}", reply.json());
    reply.message()
}

#[test]
fn each_filter_of_the_list_chooses() {
    let (docker, _engine) = docker();
    docker.run(["network", "create", "filters-net"]).ok();
    docker.run(["create", "--name", "filters-first", "--label", "kind=a", "--expose", "7071", IMAGE, "true"]).ok();
    docker.run([
        "run",
        "--name",
        "filters-ended",
        "--label",
        "kind=b",
        "-v",
        "filters-vol:/data",
        IMAGE,
        "sh",
        "-c",
        "exit 3",
    ]);
    let running = ["run", "-d", "--name", "filters-running", "--label", "kind=a", "--label", "only"];
    let healthy =
        ["--network", "filters-net", "--health-cmd", "true", "--health-interval", "1h", IMAGE, "sleep", "1000"];
    let id = docker.run(running.into_iter().chain(healthy)).ok();
    for (filters, names) in [
        (json!({ "name": ["filters-"] }), "ended first running"),
        (json!({ "name": ["^/?filters-e"] }), "ended"),
        (json!({ "name": ["filters-"], "label": ["kind=a"] }), "first running"),
        (json!({ "label": ["kind=a", "only"] }), "running"),
        (json!({ "name": { "filters-": true }, "label": { "kind=b": true } }), "ended"),
        (json!({ "id": [&id[..12]] }), "running"),
        (json!({ "id": [&id[1..13]] }), ""),
        (json!({ "name": ["filters-"], "status": ["created"] }), "first"),
        (json!({ "name": ["filters-"], "status": ["exited", "running"] }), "ended running"),
        (json!({ "name": ["filters-"], "exited": ["3"] }), "ended"),
        (json!({ "name": ["filters-"], "exited": ["0"] }), ""),
        (json!({ "name": ["filters-"], "health": ["starting"] }), "running"),
        (json!({ "name": ["filters-"], "health": ["none"] }), "ended first"),
        (json!({ "volume": ["filters-vol"] }), "ended"),
        (json!({ "name": ["filters-"], "volume": ["/data"] }), "ended"),
        (json!({ "network": ["filters-net"] }), "running"),
        (json!({ "name": ["filters-"], "ancestor": [IMAGE] }), "ended first running"),
        (json!({ "name": ["filters-"], "ancestor": ["no-such-image"] }), ""),
        (json!({ "name": ["filters-"], "before": ["filters-ended"] }), "first"),
        (json!({ "name": ["filters-"], "since": ["filters-ended"] }), "running"),
        (json!({ "name": ["filters-"], "is-task": ["false"] }), "ended first running"),
        (json!({ "name": ["filters-"], "is-task": ["true"] }), ""),
        (json!({ "name": ["filters-"], "publish": ["7071"] }), ""),
        (json!({ "name": ["filters-"], "status": [], "label": [] }), "ended first running"),
    ] {
        let names: BTreeSet<String> = names.split_whitespace().map(str::to_owned).collect();
        assert_eq!(listed(&filters), names, "{filters}");
    }
    let older =
        request(&engine().socket(), "GET", "/containers/json?all=1&before=filters-ended", b"").expect("an answer");
    assert!(
        older.json().to_string().contains("/filters-first") && !older.json().to_string().contains("/filters-running")
    );
    for (filters, fault) in [
        (json!({ "colour": ["red"] }), "invalid filter 'colour'"),
        (json!({ "is-task": ["maybe"] }), "invalid filter 'is-task=[maybe]'"),
        (json!({ "exited": ["x"] }), "invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax"),
    ] {
        assert_eq!(refused("GET", "/containers/json?", filters), fault);
    }
    docker.run(["rm", "-f", "filters-first", "filters-ended", "filters-running"]).ok();
    docker.run(["volume", "rm", "filters-vol"]).ok();
    docker.run(["network", "rm", "filters-net"]).ok();
}

#[test]
fn prunes_take_what_their_filters_name_and_nothing_else() {
    let (docker, _engine) = docker();
    for (name, label) in [("prunes-a", "prunes=yes"), ("prunes-b", "prunes=yes"), ("prunes-c", "prunes=no")] {
        docker.run(["create", "--name", name, "--label", label, IMAGE, "true"]).ok();
        docker.run(["volume", "create", "--label", label, name]).ok();
        docker.run(["network", "create", "--label", label, name]).ok();
    }
    let mine = json!({ "label": ["prunes=yes"] });
    let young = json!({ "label": ["prunes=yes"], "until": ["1h"] });
    assert_eq!(ask("POST", "/containers/prune?", &young).json()["ContainersDeleted"], Value::Null);
    let pruned = ask("POST", "/containers/prune?", &mine).json();
    assert_eq!(pruned["ContainersDeleted"].as_array().map(Vec::len), Some(2), "{pruned}");
    docker.run(["inspect", "prunes-c"]).ok();
    // Named volumes are spared unless all are meant; those of before 1.42 are always.
    assert_eq!(ask("POST", "/volumes/prune?", &mine).json()["VolumesDeleted"], json!([]));
    let all = json!({ "label": ["prunes=yes"], "label!": ["prunes=no"], "all": ["true"] });
    let pruned = ask("POST", "/volumes/prune?", &all).json();
    assert_eq!(pruned["VolumesDeleted"].as_array().map(Vec::len), Some(2), "{pruned}");
    let pruned = ask("POST", "/v1.41/volumes/prune?", &json!({ "label": ["prunes=no"] })).json();
    assert_eq!(pruned["VolumesDeleted"], json!(["prunes-c"]));
    let pruned = ask("POST", "/networks/prune?", &mine).json();
    assert_eq!(pruned["NetworksDeleted"].as_array().map(Vec::len), Some(2), "{pruned}");
    for page in ["/containers/prune?", "/volumes/prune?", "/networks/prune?", "/images/prune?"] {
        assert_eq!(refused("POST", page, json!({ "colour": ["red"] })), "invalid filter 'colour'", "{page}");
        let reply = request(&engine().socket(), "POST", &format!("{page}filters=nonsense"), b"").expect("an answer");
        assert_eq!((reply.status, reply.message().as_str()), (400, "invalid filter"), "{page}");
    }
    let twice = json!({ "until": ["1h", "2h"] });
    assert_eq!(refused("POST", "/containers/prune?", twice), "more than one until filter specified");
    docker.run(["rm", "prunes-c"]).ok();
    docker.run(["network", "rm", "prunes-c"]).ok();
}
