//! The layer view: what each step of an image did to its files, and who shares it.

use cubby_harness::{Engine, image, layer, request};
use serde_json::Value;

use crate::docker;

fn view(engine: &Engine, path: &str) -> Value {
    let reply = request(&engine.socket(), "GET", path, b"").expect("the engine answers");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn lines(engine: &Engine, path: &str) -> Vec<Value> {
    let reply = request(&engine.socket(), "GET", path, b"").expect("the engine answers");
    assert_eq!(reply.status, 200, "{reply:?}");
    let text = String::from_utf8(reply.body).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn each_step_tells_its_command_its_files_and_who_shares_it() {
    let (docker, engine) = docker();
    let base = layer("data/base", b"base");
    docker.run_with_input(["load"], &image("view/one:1", std::slice::from_ref(&base))).ok();
    docker.run_with_input(["load"], &image("view/two:1", &[base, layer("data/more", b"more!")])).ok();
    docker.run(["create", "--name", "view-change", "view/two:1", "true"]).ok();
    docker.run_with_input(["cp", "-", "view-change:/"], &layer("data/base", b"other")).ok();
    docker.run(["commit", "-c", "LABEL view=1", "view-change", "view/three:1"]).ok();
    docker.run(["rm", "view-change"]).ok();

    let steps = view(&engine, "/cubby/images/view/three:1/layers?counts=1");
    let steps = steps.as_array().expect("a list");
    assert_eq!(steps.len(), 3, "{steps:?}");
    let names = |step: &Value| -> Vec<String> {
        let shared = step["layer"]["sharedWith"].as_array().expect("a list");
        shared
            .iter()
            .flat_map(|other| other["names"].as_array().cloned().unwrap_or_default())
            .map(|n| n.as_str().unwrap_or("").to_owned())
            .collect()
    };
    assert_eq!(names(&steps[0]), ["view/one:1", "view/two:1"]);
    assert_eq!(names(&steps[1]), ["view/two:1"]);
    assert!(names(&steps[2]).is_empty());
    assert_eq!(steps[1]["layer"]["size"], 5);
    assert!(steps[0]["command"].as_str().is_some_and(|command| command.starts_with("layer sha256:")));
    let files = &steps[2]["layer"]["files"];
    assert_eq!((&files["changed"], &files["removed"]), (&Value::from(1), &Value::from(0)), "{steps:?}");

    let paths = |path: &str| -> Vec<String> {
        let of =
            |line: &Value| format!("{} {}", line["kind"].as_str().unwrap_or(""), line["path"].as_str().unwrap_or(""));
        lines(&engine, path).iter().map(of).collect()
    };
    assert_eq!(paths("/cubby/images/view/two:1/layers/0/files"), ["added data", "added data/base"]);
    assert_eq!(paths("/cubby/images/view/two:1/layers/0/files?after=data&limit=1"), ["added data/base"]);
    assert_eq!(paths("/cubby/images/view/two:1/layers/1/files"), ["added data/more"]);
    assert!(paths("/cubby/images/view/three:1/layers/2/files").contains(&"changed data/base".to_owned()));
    let missing = request(&engine.socket(), "GET", "/cubby/images/view/two:1/layers/9/files", b"").expect("an answer");
    assert_eq!(missing.status, 404);
    docker.run(["rmi", "view/one:1", "view/two:1", "view/three:1"]).ok();
}

#[test]
fn manifests_shared_sizes_and_containers_are_listed() {
    let (docker, engine) = docker();
    let base = layer("shared", &[7; 5000]);
    docker.run_with_input(["load"], &image("sizes/one:1", std::slice::from_ref(&base))).ok();
    docker.run_with_input(["load"], &image("sizes/two:1", &[base, layer("own", &[8; 300])])).ok();
    docker.run(["create", "--name", "sizes-user", "sizes/two:1", "true"]).ok();
    let listed = view(
        &engine,
        "/v1.50/images/json?shared-size=1&manifests=1&filters=%7B%22reference%22%3A%5B%22sizes%2Ftwo%22%5D%7D",
    );
    let two = &listed[0];
    assert_eq!((&two["SharedSize"], &two["Size"]), (&Value::from(5000), &Value::from(5300)), "{listed}");
    assert_eq!(two["Containers"], 1);
    let manifest = &two["Manifests"][0];
    assert_eq!((&manifest["Kind"], &manifest["Available"]), (&Value::from("image"), &Value::from(true)), "{listed}");
    assert_eq!(manifest["ImageData"]["Platform"]["os"], "linux");
    let tree = docker.run(["image", "ls", "--tree"]).ok();
    assert!(tree.contains("sizes/two:1"), "{tree}");
    let wrong = docker.run(["save", "--platform", "linux/s390x", "sizes/two:1"]);
    assert!(wrong.stderr.contains("does not match the specified platform (linux/s390x)"), "{wrong:?}");
    docker.run(["rm", "sizes-user"]).ok();
    docker.run(["rmi", "sizes/one:1", "sizes/two:1"]).ok();
}
