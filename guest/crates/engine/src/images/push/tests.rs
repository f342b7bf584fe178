//! Push to, and pull from, Debian's `docker-registry`; skipped where it is not installed.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cubby_image::{Digest, Reference};
use cubby_registry::Credentials;

use super::*;
use crate::{
    images::{LoadOptions, PullOptions},
    state::State,
};

struct Registry {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn registry() -> Option<Registry> {
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = dir.path().join("config.yml");
    let text = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
        dir.path().join("data").display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else {
        eprintln!("skipped: needs docker-registry");
        return None;
    };
    let registry = Registry { child, port, _dir: dir };
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "the registry did not start");
        std::thread::yield_now();
    }
    Some(registry)
}

fn images(dir: &Path) -> Arc<Images> {
    let state = Arc::new(State::open(&dir.join("state.db")).unwrap());
    Images::open(dir, state, Arc::default()).unwrap()
}

async fn push(images: &Arc<Images>, name: &str) -> Vec<Message> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    let push = images.prepare_push(name, "", None, Credentials::Anonymous).await.unwrap();
    images.push(push, Arc::new(move |message| heard.lock().unwrap().push(message))).await.unwrap();
    said.lock().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_pulled_again_and_sent_only_once() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: needs root");
    }
    let Some(registry) = registry() else { return };
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [ours, theirs] = [images(dirs[0].path()), images(dirs[1].path())];
    let archive = crate::images::tests::archive(&["app:1"], &["a", "b", "a"]);
    ours.load(archive.as_slice(), &LoadOptions::default(), &|_| {}).unwrap();
    let name = format!("127.0.0.1:{}/team/app", registry.port);
    ours.tag("app:1", &name, "one").unwrap();
    ours.tag("app:1", &name, "two").unwrap();

    let said = push(&ours, &format!("{name}:one")).await;
    let pushed = said.iter().filter(|message| message.status.as_deref() == Some("Pushed")).count();
    assert_eq!(pushed, 2, "a layer that is there twice is sent once: {said:?}");
    let aux = said.iter().find_map(|message| message.aux.clone()).unwrap();
    let digest: Digest = aux["Digest"].as_str().unwrap().parse().unwrap();
    let image = ours.find(&format!("{name}@{digest}")).unwrap();
    assert_eq!(image.repo_digests, [format!("{name}@{digest}")]);

    let reference = Reference::parse(&format!("{name}:one")).unwrap();
    let options = PullOptions { reference, platform: None, credentials: Credentials::Anonymous };
    let resolved = theirs.resolve(&options).await.unwrap();
    assert_eq!(resolved.digest, digest);
    theirs.pull(resolved, Arc::new(|_| {})).await.unwrap();
    assert_eq!(theirs.find(&format!("{name}:one")).unwrap().id, image.id);

    // Without a tag every tag goes, and nothing that the registry has is sent again.
    let said = push(&theirs, &name).await;
    assert!(said.iter().all(|message| message.status.as_deref() != Some("Pushed")), "{said:?}");
    let error = ours.prepare_push("nothere", "1", None, Credentials::Anonymous).await.err().unwrap();
    assert_eq!(error.message(), "An image does not exist locally with the tag: nothere");
}
