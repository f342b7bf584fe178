//! Registries that die in the middle of a blob, and blobs that are not what they should be.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use cubby_harness::{Engine, NativeEngine, Place, Registry, wait_for};
use serde_json::{Value, json};

use super::{allow_plain, archive, change_settings, host, plain, send};
use crate::docker;

const BLOB: usize = 12 << 20;
/// The registry dies when this much of its answers has passed, or the connection when this much has gone in.
const DEATH: u64 = 4 << 20;

#[test]
fn a_registry_killed_in_the_middle_of_a_blob_is_taken_up_where_it_broke() {
    let (docker, engine) = docker();
    let (registry, address) = plain(&engine);
    let name = format!("{address}/cut:1");
    docker.run_with_input(["load"], &archive(&name, BLOB, 6)).ok();
    let id = docker.run(["image", "inspect", "-f", "{{.Id}}", &name]).ok();
    docker.run(["push", &name]).ok();
    docker.run(["rmi", &name]).ok();

    let registry = Arc::new(registry);
    let door = Door::before(registry.clone(), Fate::DiesOnce);
    let through = format!("{}:{}", host(&engine), door.port);
    allow_plain(&engine, &through);
    let name = format!("{through}/cut:1");
    docker.run(["pull", &name]).ok();
    assert_eq!(docker.run(["image", "inspect", "-f", "{{.Id}}", &name]).ok(), id);
    let passed = door.passed.load(Ordering::SeqCst);
    assert!(passed > BLOB as u64, "the whole blob came through the door: {passed}");
    // Why the slack: what was in flight when the registry died comes twice; a pull from the start would be 4 MiB more.
    assert!(passed < BLOB as u64 + DEATH - (1 << 20), "only the rest was asked for again: {passed} bytes passed");
    assert_eq!(door.deaths.load(Ordering::SeqCst), 1);
    docker.run(["rmi", &name]).ok();
    // Why by hand: the door's threads hold it until the suite's end, which drops nothing.
    registry.kill();
}

#[test]
fn what_a_mirror_that_dies_in_the_middle_of_a_blob_lacks_comes_from_its_registry() {
    let (docker, engine) = docker();
    let (mirror, registry) = (plain(&engine), plain(&engine));
    let names = [&mirror, &registry].map(|(_, address)| format!("{address}/orphan:1"));
    docker.run_with_input(["load"], &archive(&names[0], BLOB, 9)).ok();
    docker.run(["tag", &names[0], &names[1]]).ok();
    let id = docker.run(["image", "inspect", "-f", "{{.Id}}", &names[0]]).ok();
    for name in &names {
        docker.run(["push", name]).ok();
    }
    docker.run(["rmi", &names[0], &names[1]]).ok();

    let registry = Arc::new(registry.0);
    let before_mirror = Door::before(Arc::new(mirror.0), Fate::DiesForGood);
    let before_registry = Door::before(registry.clone(), Fate::Lives);
    let [through, mirror] = [&before_registry, &before_mirror].map(|door| format!("{}:{}", host(&engine), door.port));
    allow_plain(&engine, &through);
    allow_plain(&engine, &mirror);
    change_settings(&engine, |stored| stored["mirrors-of"][&through] = json!([format!("http://{mirror}")]));
    let name = format!("{through}/orphan:1");
    docker.run(["pull", &name]).ok();
    assert_eq!(docker.run(["image", "inspect", "-f", "{{.Id}}", &name]).ok(), id);
    assert_eq!(before_mirror.deaths.load(Ordering::SeqCst), 1);
    let passed = before_registry.passed.load(Ordering::SeqCst);
    // Why the slack: what was in flight when the mirror died comes twice.
    let rest = BLOB as u64 - DEATH;
    assert!((rest - (64 << 10)..rest + (3 << 20)).contains(&passed), "only the rest was asked of it: {passed} bytes");
    docker.run(["rmi", &name]).ok();
    registry.kill();
}

#[test]
fn a_pull_whose_client_goes_is_given_up_and_leaves_nothing() {
    // On an engine of its own: what others pull meanwhile would be counted.
    if Place::of_this_run() == Place::Guest {
        return eprintln!("skipped: the shared machine's other cases pull too");
    }
    let engine = Arc::new(Engine::Native(NativeEngine::start()));
    let docker = engine.docker();
    let registry = Arc::new(plain(&engine).0);
    let [stalled, straight] = [Fate::Stalls, Fate::Lives].map(|fate| Door::before(registry.clone(), fate));
    let [name, again] = [&stalled, &straight].map(|door| format!("{}:{}/given-up:1", host(&engine), door.port));
    for name in [&name, &again] {
        allow_plain(&engine, name.split('/').next().expect("a host"));
    }
    docker.run_with_input(["load"], &archive(&again, BLOB, 13)).ok();
    docker.run(["push", &again]).ok();
    docker.run(["rmi", &again]).ok();
    let unfinished = || {
        let verdicts = String::from_utf8(send(&engine, "GET", "/cubby/store/verify", None).body).expect("text");
        let done: Value = serde_json::from_str(verdicts.lines().last()?).expect("JSON");
        done["unfinished"].as_u64()
    };
    let mut client = docker.command(["pull", "-q", &name]).spawn().expect("the client starts");
    let patience = Duration::from_secs(60);
    wait_for("a layer on its way", patience, || {
        (stalled.passed.load(Ordering::SeqCst) >= DEATH && unfinished()? == 1).then_some(())
    });
    client.kill().expect("the client is ours");
    client.wait().expect("the client is ours");
    wait_for("nothing on its way", patience, || (unfinished()? == 0).then_some(()));
    docker.run(["pull", "-q", &again]).ok();
    registry.kill();
}

#[test]
fn an_upload_that_is_cut_in_the_middle_is_taken_up_again() {
    let (docker, engine) = docker();
    let registry = Arc::new(plain(&engine).0);
    let door = Door::before(registry.clone(), Fate::CutOnce);
    let name = format!("{}:{}/uploaded:1", host(&engine), door.port);
    allow_plain(&engine, name.split('/').next().expect("a host"));
    docker.run_with_input(["load"], &archive(&name, BLOB, 12)).ok();
    let id = docker.run(["image", "inspect", "-f", "{{.Id}}", &name]).ok();
    docker.run(["push", &name]).ok();
    assert!(door.deaths.load(Ordering::SeqCst) > 0, "the upload was cut");
    docker.run(["rmi", &name]).ok();
    docker.run(["pull", &name]).ok();
    assert_eq!(docker.run(["image", "inspect", "-f", "{{.Id}}", &name]).ok(), id);
    docker.run(["rmi", &name]).ok();
    registry.kill();
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_refused_and_nothing_is_kept() {
    let (docker, engine) = docker();
    let (registry, address) = plain(&engine);
    let name = format!("{address}/false:1");
    docker.run_with_input(["load"], &archive(&name, 500_000, 7)).ok();
    docker.run(["push", &name]).ok();
    let view = send(&engine, "GET", &format!("/cubby/images/{name}/layers"), None).json();
    let blob = view[0]["layer"]["blob"][0].as_str().expect("the pushed blob is known").to_owned();
    docker.run(["rmi", &name]).ok();

    let hex = blob.strip_prefix("sha256:").expect("a digest");
    let file = registry.blob(hex);
    let mut bytes = fs::read(&file).expect("the registry has the blob");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("the registry's store is ours");
    let refused = docker.run(["pull", &name]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains(&format!("filesystem layer verification failed for digest {blob}")), "{refused:?}");
    assert_eq!(send(&engine, "GET", &format!("/images/{name}/json"), None).status, 404);
    let verdicts = String::from_utf8(send(&engine, "GET", "/cubby/store/verify", None).body).expect("text");
    let done: Value = serde_json::from_str(verdicts.lines().last().expect("a verdict")).expect("JSON");
    assert_eq!((&done["type"], &done["problems"]), (&Value::from("done"), &Value::from(0)), "{verdicts}");
}

/// What happens to the registry when enough of its answers has passed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lives,
    /// Killed; whoever comes then waits until it is there again.
    DiesOnce,
    DiesForGood,
    /// It lives, but one connection is cut when so much has gone in.
    CutOnce,
    /// When so much has come out, nothing more does.
    Stalls,
}

/// A door to a registry, which counts what comes out of it.
struct Door {
    port: u16,
    passed: Arc<AtomicU64>,
    deaths: Arc<AtomicU64>,
}

impl Door {
    fn before(registry: Arc<Registry>, fate: Fate) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (passed, deaths) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (count, killed) = (passed.clone(), deaths.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), registry) = (client, registry.clone()) else { return };
                let (count, killed) = (count.clone(), killed.clone());
                thread::spawn(move || serve(client, &registry, fate, &count, &killed));
            }
        });
        Self { port, passed, deaths }
    }
}

fn serve(mut client: TcpStream, registry: &Registry, fate: Fate, passed: &AtomicU64, deaths: &Arc<AtomicU64>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", registry.port)) else { return };
    let (Ok(mut from), Ok(mut to)) = (client.try_clone(), server.try_clone()) else { return };
    let cuts = deaths.clone();
    // Its other end goes with the thread, which ends with the client.
    let (here, gone) = std::sync::mpsc::channel::<()>();
    thread::spawn(move || {
        let _here = here;
        let (mut buffer, mut sent) = (vec![0; 64 << 10], 0);
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            sent += n as u64;
            let due = fate == Fate::CutOnce && sent >= DEATH && cuts.fetch_add(1, Ordering::SeqCst) == 0;
            if due || to.write_all(&buffer[..n]).is_err() {
                let _ = from.shutdown(Shutdown::Both);
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = server.read(&mut buffer) {
        if client.write_all(&buffer[..n]).is_err() {
            return;
        }
        let before = passed.fetch_add(n as u64, Ordering::SeqCst);
        if fate == Fate::Stalls && before + n as u64 >= DEATH {
            // Until the client is gone, which shuts the way in.
            while gone.recv().is_ok() {}
            return;
        }
        let due = matches!(fate, Fate::DiesOnce | Fate::DiesForGood) && before < DEATH && before + n as u64 >= DEATH;
        if due && deaths.fetch_add(1, Ordering::SeqCst) == 0 {
            registry.kill();
            // Why before the client's end is closed: whoever tries again finds the registry.
            if fate == Fate::DiesOnce {
                registry.restart();
            }
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}
