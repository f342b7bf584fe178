//! `kill -9` of the engine in the middle of pulls, loads and prunes leaves a store that verifies clean.
//!
//! Native only: the guest suite has its own way to kill the engine in the machine.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use cubby_harness::{Docker, NativeEngine, Place, Registry, RegistryOptions, image, layer, request, wait_for};
use serde_json::{Value, json};

/// Kills by default; `CUBBY_TEST_KILLS=20` for a longer run.
const KILLS: u64 = 9;
const PATIENCE: Duration = Duration::from_secs(120);

/// A small generator, so that a failing run can be had again by its seed.
struct Seeded(u64);

impl Seeded {
    /// Source: Vigna's splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }
}

/// Layers that images of all rounds have in common, and one of their own.
fn layers(seeded: &mut Seeded, common: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut layers: Vec<Vec<u8>> = common[..seeded.below(common.len() + 1)].to_vec();
    let len = 200_000 + seeded.below(1_500_000);
    let content = seeded.bytes(len);
    layers.push(layer(&format!("own-{len}"), &content));
    layers
}

#[test]
fn a_store_verifies_clean_after_kills_in_the_middle_of_everything() {
    if Place::of_this_run() == Place::Guest {
        return println!("not in the guest: the guest suite kills the engine there");
    }
    let kills = std::env::var("CUBBY_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut engine = NativeEngine::start();
    let docker = engine.docker();
    let registry = Registry::start(RegistryOptions::default());
    let gate = Gate::before(registry.port);
    let mut seeded = Seeded(2026);
    let common: Vec<Vec<u8>> = (0..3).map(|n| layer(&format!("common-{n}"), &seeded.bytes(400_000))).collect();
    for round in 0..kills {
        let name = format!("127.0.0.1:{}/kill/{round}:1", gate.port);
        let archive = image(&name, &layers(&mut seeded, &common));
        match round % 3 {
            0 => {
                docker.run_with_input(["load"], &archive).ok();
                docker.run(["push", &name]).ok();
                docker.run(["rmi", &name]).ok();
                // Why not more: layers of other rounds may be here, only this image's own is sure to come.
                gate.close_after(5_000 + seeded.below(190_000) as u64);
                let pull = docker.spawn(["pull", &name]);
                gate.wait();
                engine.kill();
                ended(pull);
            }
            1 => {
                let mut load = docker.spawn(["load"]);
                let mut input = load.stdin.take().expect("stdin is piped");
                let sent = seeded.below(archive.len());
                input.write_all(&archive[..sent]).expect("the CLI reads");
                engine.kill();
                drop(input);
                ended(load);
            }
            _ => {
                docker.run_with_input(["load"], &archive).ok();
                docker.run(["rmi", &name]).ok();
                docker.run_with_input(["load"], &archive).ok();
                let prune = docker.spawn(["image", "prune", "--all", "--force"]);
                (0..seeded.below(200_000)).for_each(|_| std::hint::spin_loop());
                engine.kill();
                ended(prune);
            }
        }
        engine.restart();
        gate.open();
        clean(&engine, round);
    }
    works_on(&docker, &mut seeded, &common);
}

fn ended(child: Child) {
    // Why whatever the outcome: its engine was killed.
    let _ = child.wait_with_output();
}

fn clean(engine: &NativeEngine, round: u64) {
    let done = wait_for("the trash to be emptied", PATIENCE, || {
        let reply = request(&engine.socket(), "GET", "/cubby/store/verify?content=1", b"").expect("the engine answers");
        let text = String::from_utf8(reply.body).expect("text");
        let done: Value = serde_json::from_str(text.lines().last()?).expect("JSON");
        assert_eq!((&done["type"], &done["problems"]), (&json!("done"), &json!(0)), "round {round}: {text}");
        (done["trash"] == 0).then_some(done)
    });
    assert_eq!(done["unfinished"], 0, "round {round}: {done}");
    let layers = std::fs::read_dir(engine.dir().join("data/layers")).expect("the layers").count() as u64;
    // Staging, trash and the empty directory.
    assert_eq!(done["layers"].as_u64(), Some(layers - 3), "round {round}: {done}");
}

fn works_on(docker: &Docker, seeded: &mut Seeded, common: &[Vec<u8>]) {
    let archive = image("kill/last:1", &layers(seeded, common));
    assert_eq!(docker.run_with_input(["load"], &archive).ok(), "Loaded image: kill/last:1");
    docker.run(["save", "kill/last:1"]).stdout.is_empty().then(|| panic!("an image that was loaded can be saved"));
}

/// A door to the registry that can be told to let only so much out, and says when that has passed.
struct Gate {
    port: u16,
    left: Arc<AtomicU64>,
}

impl Gate {
    fn before(registry: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let shared = left.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), left) = (client, shared.clone()) else { return };
                thread::spawn(move || pass(client, registry, &left));
            }
        });
        Self { port, left }
    }

    fn close_after(&self, bytes: u64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    fn open(&self) {
        self.left.store(u64::MAX, Ordering::SeqCst);
    }

    /// Until as much has passed as may.
    fn wait(&self) {
        wait_for("the gate to close", PATIENCE, || (self.left.load(Ordering::SeqCst) == 0).then_some(()));
    }
}

fn pass(mut client: TcpStream, registry: u16, left: &AtomicU64) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", registry)) else { return };
    let (Ok(mut from), Ok(mut to)) = (client.try_clone(), server.try_clone()) else { return };
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n @ 1..) = server.read(&mut buffer) {
        let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
            u64::MAX => None,
            left => Some(left.saturating_sub(n as u64)),
        });
        // Why silently: a client that waits for more is in the middle.
        if before.is_ok_and(|left| left <= n as u64) {
            wait_for("the gate to open", PATIENCE, || (left.load(Ordering::SeqCst) == u64::MAX).then_some(()));
            break;
        }
        if client.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}
