//! Registries behind a proxy that wants a password: plain ones through its requests, those with TLS through its tunnels.
//!
//! On an engine of its own: a proxy counts for every registry.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use cubby_harness::{Engine, NativeEngine, Place, Registry, RegistryOptions, free_port, wait_for};
use serde_json::{Value, json};

use super::{archive, change_settings, host, send};

/// Whom the proxy serves, as addresses have it.
const USER: &str = "user:secret@";

/// The distribution's proxy; gone when dropped.
struct Proxy {
    process: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Proxy {
    fn start() -> Self {
        let (dir, port) = (tempfile::tempdir().expect("a temporary directory"), free_port());
        let log = dir.path().join("log");
        let config = format!(
            "Port {port}\nTimeout 600\nMaxClients 50\nLogLevel Connect\nLogFile \"{}\"\nBasicAuth user secret\n",
            log.display()
        );
        fs::write(dir.path().join("config"), config).expect("a file can be written");
        let process = Command::new("tinyproxy")
            .args(["-d", "-c"])
            .arg(dir.path().join("config"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("package tinyproxy-bin is needed: scripts/test installs it");
        wait_for("the proxy to listen", Duration::from_secs(60), || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { process, dir, port }
    }

    /// What it was asked for, as it tells in its log.
    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).expect("the proxy logs")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn set_proxies(engine: &Engine, user: &str, proxy: &str, direct: &str) {
    let url = format!("http://{user}{proxy}");
    change_settings(engine, |stored| {
        stored["proxies"] = json!({ "http-proxy": url, "https-proxy": url, "no-proxy": direct });
    });
}

#[test]
fn registries_are_reached_through_the_proxies_of_the_settings_and_directly_where_those_say_so() {
    if Place::of_this_run() == Place::Guest {
        return eprintln!("skipped: the shared machine's other cases must not go through a proxy");
    }
    let engine = Arc::new(Engine::Native(NativeEngine::start()));
    let docker = engine.docker();
    let address = host(&engine);
    let plain = Registry::start(RegistryOptions::default());
    let secure = Registry::start(RegistryOptions { tls: Some(address), ..RegistryOptions::default() });
    let [plain, secure] = [(plain, "GET http://"), (secure, "CONNECT ")]
        .map(|(registry, words)| (format!("{address}:{}", registry.port), registry, words));
    super::allow_plain(&engine, &plain.0);
    let certificates = format!("/cubby/registries/certificates/{}", secure.0);
    assert_eq!(send(&engine, "PUT", &certificates, Some(&json!({ "ca": secure.1.authority() }))).status, 204);
    let proxy = Proxy::start();
    let through = format!("{address}:{}", proxy.port);

    for (server, _, words) in [&plain, &secure] {
        let name = format!("{server}/team/proxied:1");
        docker.run_with_input(["load"], &archive(&name, 300_000, 11)).ok();
        set_proxies(&engine, USER, &through, "");
        docker.run(["push", &name]).ok();
        docker.run(["rmi", &name]).ok();
        docker.run(["pull", &name]).ok();
        let log = proxy.log();
        assert!(log.contains(&format!("{words}{server}")), "{server} was reached past the proxy: {log}");

        set_proxies(&engine, "", &through, "");
        let refused = docker.run(["pull", &name]);
        assert!(refused.stderr.contains("Proxy Authentication Required"), "{refused:?}");
        set_proxies(&engine, "user:wrong@", &through, "");
        let wrong = docker.run(["pull", &name]);
        assert!(wrong.code != 0 && !wrong.stderr.contains("wrong"), "a password is shown: {wrong:?}");
        set_proxies(&engine, USER, "127.0.0.1:1", "");
        let dead = docker.run(["pull", &name]);
        let words = "proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused";
        assert!(dead.stderr.contains(words), "{dead:?}");
        for direct in [server.as_str(), &address.to_string(), &format!("example.org,{address}/32"), "*"] {
            set_proxies(&engine, USER, "127.0.0.1:1", direct);
            docker.run(["pull", &name]).ok();
        }
    }
    let info = send(&engine, "GET", "/info", None).json();
    assert_eq!(info["HttpProxy"], Value::from("http://xxxxx:xxxxx@127.0.0.1:1"), "{info}");
}
