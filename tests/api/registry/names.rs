//! What names mean: tags, digests, every tag, other repositories, and what is not there.

use super::{archive, plain, send};
use crate::docker;

#[test]
fn what_is_pushed_is_pulled_by_tag_and_by_digest_as_the_same_image() {
    let (docker, engine) = docker();
    let (_registry, address) = plain(&engine);
    let name = format!("{address}/team/names");
    docker.run_with_input(["load"], &archive(&format!("{name}:1"), 300_000, 1)).ok();
    let id = docker.run(["image", "inspect", "-f", "{{.Id}}", &format!("{name}:1")]).ok();
    let pushed = docker.run(["push", &format!("{name}:1")]).ok();
    let digest = pushed.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest").to_owned();
    assert!(pushed.contains(&format!("The push refers to repository [{name}]")), "{pushed}");

    for (asked, says) in [
        (format!("{name}:1"), format!("Downloaded newer image for {name}:1")),
        (format!("{name}@{digest}"), digest.clone()),
    ] {
        docker.run(["rmi", &id]).ok();
        let pulled = docker.run(["pull", &asked]).ok();
        assert!(pulled.contains(&says), "{pulled}");
        assert_eq!(docker.run(["image", "inspect", "-f", "{{.Id}}", &asked]).ok(), id);
    }
    docker.run(["tag", &format!("{name}@{digest}"), &format!("{name}:again")]).ok();
    let again = docker.run(["push", &format!("{name}:again")]).ok();
    assert!(again.contains("Layer already exists"), "{again}");
    assert!(again.contains(&digest), "an image that is not changed keeps its digest: {again}");

    let distribution = send(&engine, "GET", &format!("/distribution/{name}:again/json"), None).json();
    assert_eq!(distribution["Descriptor"]["digest"], digest.as_str(), "{distribution}");
    assert_eq!(distribution["Platforms"][0]["os"], "linux");
    let other = format!("{address}/other/names:1");
    docker.run(["tag", &id, &other]).ok();
    let mounted = docker.run(["push", &other]).ok();
    assert!(mounted.contains("Mounted from team/names"), "{mounted}");
    docker.run(["rmi", "-f", &id]).ok();
}

#[test]
fn every_tag_of_a_repository_comes_and_goes_at_once() {
    let (docker, engine) = docker();
    let (_registry, address) = plain(&engine);
    let name = format!("{address}/every");
    docker.run_with_input(["load"], &archive(&format!("{name}:a"), 1000, 2)).ok();
    docker.run_with_input(["load"], &archive(&format!("{name}:b"), 1000, 3)).ok();
    let pushed = docker.run(["push", "--all-tags", &name]).ok();
    assert!(pushed.contains("a: digest: ") && pushed.contains("b: digest: "), "{pushed}");
    let names = [format!("{name}:a"), format!("{name}:b")];
    docker.run(["rmi", &names[0], &names[1]]).ok();
    docker.run(["pull", "--all-tags", &name]).ok();
    docker.run(["rmi", &names[0], &names[1]]).ok();

    let found = docker.run(["search", "--format", "{{.Name}}", &format!("{address}/ever")]).ok();
    assert_eq!(found, name);
    let refused = docker.run(["search", "--limit", "101", &format!("{address}/x")]);
    assert!(refused.stderr.contains("limit 101 is outside the range of [1, 100]"), "{refused:?}");
}

#[test]
fn what_is_not_there_is_refused_in_dockerds_words() {
    let (docker, engine) = docker();
    let (_registry, address) = plain(&engine);
    let name = format!("{address}/present");
    docker.run_with_input(["load"], &archive(&format!("{name}:1"), 1000, 4)).ok();
    docker.run(["push", &format!("{name}:1")]).ok();
    let unknown = docker.run(["pull", &format!("{name}:2")]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    let words = format!("manifest for {name}:2 not found: manifest unknown: manifest unknown");
    assert!(unknown.stderr.contains(&words), "{unknown:?}");
    let reply = send(&engine, "GET", &format!("/distribution/{name}:2/json"), None);
    assert_eq!((reply.status, reply.message().as_str()), (404, "manifest unknown: manifest unknown"));
    let foreign = docker.run(["pull", "--platform", "linux/s390x", &format!("{name}:1")]);
    let warning = "was found but its platform (linux/amd64) does not match the specified platform (linux/s390x)";
    assert!(foreign.stdout.contains(warning) || std::env::consts::ARCH != "x86_64", "{foreign:?}");
    docker.run(["rmi", &format!("{name}:1")]).ok();
}
