//! Registries behind a proxy that wants a password: plain ones through its requests, those with TLS through its tunnels.
//!
//! On an engine of its own: a proxy counts for every registry.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use cubby_harness::{Engine, NativeEngine, Place, Registry, RegistryOptions, free_port, wait_for};
use serde_json::{Value, json};

use super::{archive, change_settings, host, send};

/// Whom the proxy serves, as addresses have it.
const USER: &str = "user:secret@";

/// The distribution's proxies; gone when dropped.
struct Proxy {
    process: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Proxy {
    /// Speaks HTTP.
    fn start() -> Self {
        Self::with("tinyproxy", |dir, port| {
            let log = dir.join("log");
            let config = format!(
                "Port {port}\nTimeout 600\nMaxClients 50\nLogLevel Connect\nLogFile \"{}\"\nBasicAuth user secret\n",
                log.display()
            );
            fs::write(dir.join("config"), config).expect("a file can be written");
            format!("-d -c {}", dir.join("config").display())
        })
    }

    /// Speaks SOCKS 5; its log tells whom it connected whom to.
    fn socks() -> Self {
        Self::with("microsocks", |_, port| format!("-i 0.0.0.0 -p {port} -u user -P secret"))
    }

    /// Speaks TLS, and passes on to another proxy what it hears.
    fn tls([certificate, key]: [PathBuf; 2], to: &Self) -> Self {
        Self::with("socat", |_, port| {
            let (certificate, key) = (certificate.display(), key.display());
            format!(
                "OPENSSL-LISTEN:{port},fork,reuseaddr,verify=0,cert={certificate},key={key} TCP:127.0.0.1:{}",
                to.port
            )
        })
    }

    /// `arguments` gets a directory and the port.
    fn with(program: &str, arguments: impl FnOnce(&Path, u16) -> String) -> Self {
        let (dir, port) = (tempfile::tempdir().expect("a temporary directory"), free_port());
        let log = fs::File::create(dir.path().join("log")).expect("a file can be made");
        let process = Command::new(program)
            .args(arguments(dir.path(), port).split(' '))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; scripts/test installs its package"));
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

/// `url` for every registry that `direct` does not name.
fn set_proxies(engine: &Engine, url: &str, direct: &str) {
    change_settings(engine, |stored| {
        stored["proxies"] = json!({ "http-proxy": url, "https-proxy": url, "no-proxy": direct });
    });
}

/// A plain registry and one with TLS, both allowed; their addresses for the engine.
fn registries(engine: &Engine) -> [(String, Registry); 2] {
    let address = host(engine);
    let options = [RegistryOptions::default(), RegistryOptions { tls: Some(address), ..RegistryOptions::default() }];
    let [plain, secure] = options.map(|options| {
        let registry = Registry::start(options);
        (format!("{address}:{}", registry.port), registry)
    });
    super::allow_plain(engine, &plain.0);
    let certificates = format!("/cubby/registries/certificates/{}", secure.0);
    assert_eq!(send(engine, "PUT", &certificates, Some(&json!({ "ca": secure.1.authority() }))).status, 204);
    [plain, secure]
}

#[test]
fn registries_are_reached_through_the_proxies_of_the_settings_and_directly_where_those_say_so() {
    if Place::of_this_run() == Place::Guest {
        return eprintln!("skipped: the shared machine's other cases must not go through a proxy");
    }
    let engine = Arc::new(Engine::Native(NativeEngine::start()));
    let docker = engine.docker();
    let address = host(&engine);
    let registries = registries(&engine);
    let proxy = Proxy::start();
    let through = format!("{address}:{}", proxy.port);
    let set_proxies =
        |user: &str, proxy: &str, direct: &str| set_proxies(&engine, &format!("http://{user}{proxy}"), direct);

    for ((server, _), words) in registries.iter().zip(["GET http://", "CONNECT "]) {
        let name = format!("{server}/team/proxied:1");
        docker.run_with_input(["load"], &archive(&name, 300_000, 11)).ok();
        set_proxies(USER, &through, "");
        docker.run(["push", &name]).ok();
        docker.run(["rmi", &name]).ok();
        docker.run(["pull", &name]).ok();
        let log = proxy.log();
        assert!(log.contains(&format!("{words}{server}")), "{server} was reached past the proxy: {log}");

        set_proxies("", &through, "");
        let refused = docker.run(["pull", &name]);
        assert!(refused.stderr.contains("Proxy Authentication Required"), "{refused:?}");
        set_proxies("user:wrong@", &through, "");
        let wrong = docker.run(["pull", &name]);
        assert!(wrong.code != 0 && !wrong.stderr.contains("wrong"), "a password is shown: {wrong:?}");
        set_proxies(USER, "127.0.0.1:1", "");
        let dead = docker.run(["pull", &name]);
        let words = "proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused";
        assert!(dead.stderr.contains(words), "{dead:?}");
        for direct in [server.as_str(), &address.to_string(), &format!("example.org,{address}/32"), "*"] {
            set_proxies(USER, "127.0.0.1:1", direct);
            docker.run(["pull", &name]).ok();
        }
    }
    let info = send(&engine, "GET", "/info", None).json();
    assert_eq!(info["HttpProxy"], Value::from("http://xxxxx:xxxxx@127.0.0.1:1"), "{info}");
}

#[test]
fn a_proxy_may_speak_socks_or_tls() {
    if Place::of_this_run() == Place::Guest {
        return eprintln!("skipped: the shared machine's other cases must not go through a proxy");
    }
    let engine = Arc::new(Engine::Native(NativeEngine::start()));
    let (docker, address) = (engine.docker(), host(&engine));
    let registries = registries(&engine);
    let (socks, plain) = (Proxy::socks(), Proxy::start());
    let tls = Proxy::tls(registries[1].1.server_certificate(), &plain);
    let everybodys = json!({ "pem": registries[1].1.authority() });
    assert_eq!(send(&engine, "PUT", "/cubby/certificates", Some(&everybodys)).status, 204);

    for (server, _) in &registries {
        let name = format!("{server}/team/proxied:1");
        docker.run_with_input(["load"], &archive(&name, 300_000, 11)).ok();
        let port = server.rsplit(':').next().expect("a port");
        for (scheme, proxy, told) in [("socks5", &socks, &socks), ("https", &tls, &plain)] {
            let before = told.log().matches(port).count();
            set_proxies(&engine, &format!("{scheme}://{USER}{address}:{}", proxy.port), "");
            docker.run(["push", &name]).ok();
            docker.run(["rmi", &name]).ok();
            docker.run(["pull", &name]).ok();
            let log = told.log();
            assert!(log.matches(port).count() > before, "{server} was reached past the {scheme} proxy: {log}");
            set_proxies(&engine, &format!("{scheme}://user:wrong@{address}:{}", proxy.port), "");
            let wrong = docker.run(["pull", &name]);
            assert!(wrong.code != 0 && !wrong.stderr.contains("wrong"), "{scheme}: {wrong:?}");
        }
    }
}
