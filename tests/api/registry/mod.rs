//! Pull, push, search and login against real registries: plain, with TLS and passwords, dying and lying ones.
//!
//! The registries run on this machine; the engine reaches them from wherever it is.

mod cut;
mod elsewhere;
mod names;
mod proxied;
mod secured;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use cubby_harness::{Docker, Engine, Place, Registry, RegistryOptions, Reply, image, layer, noise, request};
use serde_json::{Value, json};

/// This machine's address for the engine under test; one that is not loopback for it, so that certificates count.
pub fn host(engine: &Engine) -> IpAddr {
    match Place::of_this_run() {
        // Source: QEMU's user network, which shows the host's loopback there.
        Place::Guest => IpAddr::from([10, 0, 2, 2]),
        Place::Native => {
            let network = send(engine, "GET", "/networks/bridge", None).json();
            let gateway = &network["IPAM"]["Config"][0]["Gateway"];
            gateway.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no gateway in {network}"))
        }
    }
}

fn send(engine: &Engine, method: &str, path: &str, body: Option<&Value>) -> Reply {
    let body = body.map(Value::to_string).unwrap_or_default();
    request(&engine.socket(), method, path, body.as_bytes()).expect("the engine answers")
}

/// A plain registry that the engine may speak plain HTTP to; its address for the engine.
fn plain(engine: &Engine) -> (Registry, String) {
    let registry = Registry::start(RegistryOptions::default());
    let address = format!("{}:{}", host(engine), registry.port);
    allow_plain(engine, &address);
    (registry, address)
}

/// Adds an insecure registry to the engine's settings.
pub fn allow_plain(engine: &Engine, address: &str) {
    change_settings(engine, |stored| {
        stored["insecure-registries"].as_array_mut().expect("a list").push(json!(address));
    });
    let info = send(engine, "GET", "/info", None).json();
    assert_eq!(info["RegistryConfig"]["IndexConfigs"][address]["Secure"], json!(false), "{info}");
}

/// One case at a time reads, changes and writes what is stored about registries.
fn change_settings(engine: &Engine, change: impl FnOnce(&mut Value)) {
    static SETTINGS: Mutex<()> = Mutex::new(());
    let _turn = SETTINGS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut stored = send(engine, "GET", "/cubby/registries", None).json()["stored"].clone();
    change(&mut stored);
    let reply = send(engine, "PUT", "/cubby/registries", Some(&stored));
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// The docker CLI with a configuration of the case's own: logins of others are not its.
fn own_docker(engine: &Arc<Engine>, dir: &Path) -> Docker {
    Docker::new(engine.docker().host, PathBuf::from(dir))
}

/// An archive of one image with one layer of `size` bytes that do not compress.
fn archive(name: &str, size: usize, seed: u32) -> Vec<u8> {
    image(name, &[layer(&format!("file-{seed}"), &noise(size, seed))])
}
