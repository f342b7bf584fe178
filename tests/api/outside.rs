//! What containers are told of the way out, if they ask: proxies and certificates of the engine.

use cubby_harness::{IMAGE, NativeEngine, Place, busybox_archive, request};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

#[test]
fn proxies_and_certificates_are_handed_to_those_who_ask() {
    if Place::of_this_run() == Place::Guest {
        println!("not in the guest: the engine there is shared, and its other users want no proxy");
        return;
    }
    let engine = NativeEngine::start();
    let docker = engine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    let put =
        |path: &str, body: &str| request(&engine.socket(), "PUT", path, body.as_bytes()).expect("an answer").status;
    let proxies = r#"{"proxies":{"http-proxy":"http://user:secret@proxy:3128","no-proxy":"localhost"}}"#;
    assert_eq!(put("/cubby/registries", proxies), 200);
    let wrong = serde_json::json!({ "pem": "no certificate" }).to_string();
    assert_eq!(put("/cubby/certificates", &wrong), 400);
    let right = serde_json::json!({ "pem": CERTIFICATE }).to_string();
    assert_eq!(put("/cubby/certificates", &right), 204);
    let shown = request(&engine.socket(), "GET", "/cubby/certificates", b"").expect("an answer").json();
    assert_eq!(shown["pem"], CERTIFICATE);

    let script =
        "env | grep -i _proxy= | sort; cat /etc/ssl/certs/ca-certificates.crt 2>/dev/null; echo $NODE_EXTRA_CA_CERTS";
    let run =
        |options: &[&str]| docker.run([&["run", "--rm"][..], options, &[IMAGE, "sh", "-c", script]].concat()).ok();
    assert_eq!(run(&[]), "", "who does not ask is told nothing");
    let proxied = run(&["--label", "cubby.proxies=engine", "-e", "NO_PROXY=mine"]);
    let wanted = "HTTP_PROXY=http://user:secret@proxy:3128\nNO_PROXY=mine\nhttp_proxy=http://user:secret@proxy:3128\nno_proxy=localhost";
    assert_eq!(proxied.trim_end(), wanted);
    let trusting = run(&["--label", "cubby.certificates=engine"]);
    assert_eq!(trusting, format!("{CERTIFICATE}/etc/ssl/certs/ca-certificates.crt"));
    let inspected = docker.run(["create", "--name", "quiet", "--label", "cubby.proxies=engine", IMAGE, "true"]);
    inspected.ok();
    let shown = docker.run(["inspect", "quiet"]).ok();
    assert!(!shown.contains("secret"), "the password is no part of the container's configuration");
    docker.run(["rm", "quiet"]).ok();
}
