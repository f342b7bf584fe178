//! A day's use, compressed: pulls, builds, runs and removals in turn, after which the machine takes what a fresh one takes.
//!
//! `CUBBY_DAY_MINUTES` says how long; without it a few rounds. `CUBBY_DAY_SEED` chooses other sizes.

use std::{
    env, fs,
    process::Stdio,
    time::{Duration, Instant},
};

use cubby_harness::{Docker, IMAGE, Machine, Registry, RegistryOptions, busybox_archive};
use serde_json::json;

use crate::footprint::{self, allocated, comes_down, disk_of, settled};

const MIB: u64 = 1 << 20;
/// Tables of the filesystem that are written when a part of the disk is used for the first time.
const TABLES: u64 = 8 * MIB;
/// Where the guest sees this computer's loopback. Source: QEMU's user network.
const HOST: &str = "10.0.2.2";

#[test]
fn a_day_of_use_leaves_a_fresh_machine() {
    let day = Day::begin();
    let held = || footprint::held(&day.machine);
    let disk = disk_of(&day.machine);
    let on_disk = || allocated(&disk);
    // The first round is the machine's first use: it fills what stays, such as QEMU's buffer of translated code.
    day.round(0);
    day.tidy_up();
    let (fresh_held, fresh_disk) = (settled(held), settled(on_disk));

    let minutes = number("CUBBY_DAY_MINUTES", 0);
    let (began, mut round) = (Instant::now(), 0);
    let (mut most_held, mut most_disk) = (0, 0);
    while round < 2 || began.elapsed() < Duration::from_secs(60 * minutes) {
        round += 1;
        day.round(round);
        (most_held, most_disk) = (most_held.max(held()), most_disk.max(on_disk()));
        if round % 4 == 0 {
            day.tidy_up();
        }
    }
    day.tidy_up();
    comes_down("memory", held, fresh_held + fresh_held / 10);
    comes_down("disk", on_disk, fresh_disk + fresh_disk / 10 + TABLES);
    println!(
        "{round} rounds: memory {} MiB fresh, {} at most, {} after; disk {} MiB fresh, {} at most, {} after",
        fresh_held / MIB,
        most_held / MIB,
        held() / MIB,
        fresh_disk / MIB,
        most_disk / MIB,
        on_disk() / MIB
    );
}

struct Day {
    machine: Machine,
    docker: Docker,
    /// Here, on the host.
    registry: Registry,
    seed: u64,
}

impl Day {
    fn begin() -> Self {
        let machine = Machine::start();
        let docker = machine.docker();
        docker.run_with_input(["load"], &busybox_archive()).ok();
        let registry = Registry::start(RegistryOptions::default());
        let settings = json!({ "insecure-registries": [format!("{HOST}:{}", registry.port)] }).to_string();
        let reply = cubby_harness::request(&machine.socket(), "PUT", "/cubby/registries", settings.as_bytes());
        let reply = reply.expect("the engine answers");
        assert_eq!(reply.status, 200, "{}", reply.message());
        Self { machine, docker, registry, seed: number("CUBBY_DAY_SEED", 1) }
    }

    /// What a developer does between two coffees. Every second round leaves its images to the next [`Day::tidy_up`].
    fn round(&self, round: u64) {
        let mut random = fastrand::Rng::with_seed(self.seed.wrapping_mul(1000) + round);
        let built = self.build(round, random.u64(1..6));
        self.run(&built, round, random.u64(8..40));
        let remote = format!("{HOST}:{}/day/app:{round}", self.registry.port);
        self.docker.run(["tag", &built, &remote]).ok();
        self.docker.run(["push", "--quiet", &remote]).ok();
        self.docker.run(["rmi", "--force", &remote, &built]).ok();
        self.docker.run(["pull", "--quiet", &remote]).ok();
        let seen = self.docker.run(["run", "--rm", &remote, "wc", "-c", "/content"]).ok();
        assert!(seen.ends_with("/content"), "{seen}");
        if round.is_multiple_of(2) {
            self.docker.run(["rmi", &remote]).ok();
        }
    }

    /// An image with a file of that many MiB that do not compress, and as much again written by a step.
    fn build(&self, round: u64, mib: u64) -> String {
        let name = format!("day/app:{round}");
        let context = tempfile::tempdir().expect("a temporary directory");
        let mut random = fastrand::Rng::with_seed(self.seed ^ round);
        let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take((mib * MIB) as usize).collect();
        fs::write(context.path().join("content"), content).expect("a file");
        let dockerfile = format!("FROM {IMAGE}\nCOPY content /content\nRUN cat /content > /made && wc -c /made\n");
        fs::write(context.path().join("Dockerfile"), dockerfile).expect("a Dockerfile");
        let directory = context.path().to_str().expect("a plain path");
        let mut command = self.docker.command(["build", "--quiet", "-t", &name, directory]);
        let output = command.env("DOCKER_BUILDKIT", "0").stdin(Stdio::null()).output().expect("the docker CLI runs");
        assert!(output.status.success(), "{output:?}");
        name
    }

    /// A service with a volume and a network of its own that writes, is entered, read from, and removed.
    fn run(&self, image: &str, round: u64, mib: u64) {
        let docker = &self.docker;
        let network = format!("day-{round}");
        let volume = format!("day-data-{round}");
        docker.run(["network", "create", &network]).ok();
        let script =
            "dd if=/dev/zero of=/data/x bs=1M count=$MIB 2>/dev/null; seq 1 20000; echo ready; exec sleep 1000";
        let (mount, size) = (format!("{volume}:/data"), format!("MIB={mib}"));
        let id = docker
            .run(["run", "-d", "--network", &network, "-v", &mount, "-e", &size, "-P", image, "sh", "-c", script])
            .ok();
        cubby_harness::wait_for("the service", Duration::from_secs(120), || {
            docker.run(["logs", "--tail", "1", &id]).stdout.contains("ready").then_some(())
        });
        docker.run(["exec", &id, "sh", "-c", "cp /data/x /tmp/y; rm /tmp/y"]).ok();
        docker.run(["stop", "-t", "0", &id]).ok();
        docker.run(["rm", "--volumes", &id]).ok();
        docker.run(["volume", "rm", &volume]).ok();
        docker.run(["network", "rm", &network]).ok();
    }

    /// Everything but the image that it began with.
    fn tidy_up(&self) {
        let images = self.docker.run(["images", "--quiet", "--filter", "reference=*/day/*"]).ok();
        for image in images.lines() {
            self.docker.run(["rmi", "--force", image]).ok();
        }
        self.docker.run(["system", "prune", "--force", "--volumes"]).ok();
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{name}: {error}")))
}
