//! TLS with an authority of its own, and passwords.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use cubby_harness::{Registry, RegistryOptions};
use serde_json::json;

use super::{archive, host, own_docker, send};
use crate::docker;

#[test]
fn a_certificate_and_a_password_are_wanted_and_then_everything_works() {
    let (_, engine) = docker();
    let address = host(&engine);
    let options = RegistryOptions { tls: Some(address), password: true, ..RegistryOptions::default() };
    let (registry, stranger) = (Registry::start(options), Registry::start(options));
    let config = tempfile::tempdir().expect("a temporary directory");
    let docker = own_docker(&engine, config.path());
    let server = format!("{address}:{}", registry.port);
    let name = format!("{server}/team/secret:1");
    docker.run_with_input(["load"], &archive(&name, 100_000, 5)).ok();

    // No authority, then somebody else's.
    let refusal = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    let certificates = format!("/cubby/registries/certificates/{server}");
    let unknown = docker.run(["pull", &name]);
    assert!(unknown.stderr.contains(refusal), "{unknown:?}");
    assert_eq!(send(&engine, "PUT", &certificates, Some(&json!({ "ca": stranger.authority() }))).status, 204);
    let wrong = docker.run(["pull", &name]);
    assert!(wrong.stderr.contains(refusal), "{wrong:?}");
    assert_eq!(send(&engine, "PUT", &certificates, Some(&json!({ "ca": registry.authority() }))).status, 204);

    // No password, a wrong one, the right one.
    let nobody = docker.run(["pull", &name]);
    assert!(nobody.stderr.contains("no basic auth credentials"), "{nobody:?}");
    let login = |password: &str| {
        docker.run_with_input(["login", "-u", "user", "--password-stdin", &server], password.as_bytes())
    };
    let wrong = login("wrong");
    assert!(wrong.stderr.contains("failed with status: 401 Unauthorized"), "{wrong:?}");
    assert_eq!(login("secret").ok().lines().last(), Some("Login Succeeded"));
    let id = docker.run(["image", "inspect", "-f", "{{.Id}}", &name]).ok();
    docker.run(["push", &name]).ok();
    docker.run(["rmi", &name]).ok();
    docker.run(["pull", &name]).ok();
    assert_eq!(docker.run(["image", "inspect", "-f", "{{.Id}}", &name]).ok(), id);
    docker.run(["rmi", &name]).ok();

    let shown = send(&engine, "GET", "/cubby/registries", None).json();
    assert!(shown["certificates"].as_array().is_some_and(|hosts| hosts.contains(&json!(server))), "{shown}");
    assert_eq!(send(&engine, "DELETE", &certificates, None).status, 204);
    assert!(docker.run(["pull", &name]).stderr.contains(refusal));

    // As an authority that counts everywhere.
    let everywhere = |pem: &str| send(&engine, "PUT", "/cubby/certificates", Some(&json!({ "pem": pem }))).status;
    assert_eq!(everywhere(&registry.authority()), 204);
    docker.run(["pull", &name]).ok();
    docker.run(["rmi", &name]).ok();
    assert_eq!(everywhere(""), 204);
    assert!(docker.run(["pull", &name]).stderr.contains(refusal));
}

#[test]
fn a_registry_that_wants_a_clients_certificate_lets_in_the_one_that_is_stored_for_it() {
    let (docker, engine) = docker();
    let address = host(&engine);
    let options = RegistryOptions { tls: Some(address), client_certificates: true, ..RegistryOptions::default() };
    let (registry, stranger) = (Registry::start(options), Registry::start(options));
    let server = format!("{address}:{}", registry.port);
    let name = format!("{server}/team/mutual:1");
    docker.run_with_input(["load"], &archive(&name, 100_000, 10)).ok();
    let certificates = format!("/cubby/registries/certificates/{server}");
    let give = |files: serde_json::Value| send(&engine, "PUT", &certificates, Some(&files));
    let refused = |why: &str| {
        let refused = docker.run(["push", &name]);
        assert!(refused.code != 0 && refused.stderr.contains(why), "{why}: {refused:?}");
    };

    assert_eq!(give(json!({ "ca": registry.authority() })).status, 204);
    refused("remote error: tls: ");
    let (cert, key) = stranger.client();
    assert_eq!(give(json!({ "cert": cert, "key": key })).status, 204);
    refused("remote error: tls: ");
    let (cert, key) = registry.client();
    assert_eq!(give(json!({ "cert": cert })).status, 204);
    refused("private key does not match public key");
    assert_eq!(give(json!({ "key": key })).status, 204);

    docker.run(["push", &name]).ok();
    docker.run(["rmi", &name]).ok();
    docker.run(["pull", &name]).ok();
    docker.run(["rmi", &name]).ok();
    let secret = send(&engine, "GET", "/cubby/registries", None);
    assert!(!String::from_utf8_lossy(&secret.body).contains("PRIVATE KEY"), "{secret:?}");
    assert_eq!(send(&engine, "DELETE", &certificates, None).status, 204);
}

/// A credential helper that keeps one login in a file. Source: docker/docker-credential-helpers, the protocol.
const HELPER: &str = "#!/bin/sh
case $1 in
store) cat > \"$0.kept\" ;;
get) cat > /dev/null; cat \"$0.kept\" 2> /dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
erase) cat > /dev/null; rm -f \"$0.kept\" ;;
list) echo '{}' ;;
esac
";

fn install_helper(dir: &Path) {
    let helper = dir.join("docker-credential-cubby-test");
    fs::write(&helper, HELPER).expect("a file can be written");
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::write(dir.join("config.json"), json!({ "credsStore": "cubby-test" }).to_string())
        .expect("a file can be written");
}

#[test]
fn a_login_that_a_credential_helper_of_the_host_keeps_is_used() {
    let (_, engine) = docker();
    let registry = Registry::start(RegistryOptions { password: true, ..RegistryOptions::default() });
    let server = format!("{}:{}", host(&engine), registry.port);
    super::allow_plain(&engine, &server);
    let dir = tempfile::tempdir().expect("a temporary directory");
    install_helper(dir.path());
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
    let docker = own_docker(&engine, dir.path());
    let run = |arguments: &[&str]| docker.command(arguments).env("PATH", &path).output().expect("the client starts");
    let fine = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let name = format!("{server}/team/helped:1");
    docker.run_with_input(["load"], &archive(&name, 100_000, 14)).ok();
    assert!(!run(&["push", &name]).status.success(), "nobody is logged in yet");
    fine(&["login", "-u", "user", "-p", "secret", &server]);
    let config = fs::read_to_string(dir.path().join("config.json")).expect("the client's configuration");
    assert!(!config.contains("\"auth\""), "the helper keeps it, not the file: {config}");
    fine(&["push", &name]);
    fine(&["rmi", &name]);
    fine(&["pull", &name]);
    fine(&["rmi", &name]);
    fine(&["logout", &server]);
    assert!(!run(&["pull", &name]).status.success(), "nobody is logged in any more");
}
