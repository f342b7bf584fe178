//! Pull (cold, with half of the layers here, with all of them), load, save and push of a 300 MB image of twelve layers:
//! Cubby beside dockerd and podman (see [`places`]), skopeo as what fetching alone takes, and decoding and writing the same
//! streams by other programs as the floor.
//!
//! Every step begins on a file system that was made for it: ext4 is slow to reuse inodes that were freed within the last
//! minutes, which would be measured otherwise.

use std::{fs, path::PathBuf, process::Command, time::Instant};

use cubby_harness::{Registry, RegistryOptions, image};

use crate::{
    page::Page,
    places::{Disk, Kind, Place, shell},
    summary::Summary,
};

const ROUNDS: usize = 5;
const LAYERS: usize = 12;
const FILES: usize = 250;
const FILE_BYTES: usize = 100 << 10;
/// How the steps are called, in the order of their rows.
const STEPS: [&str; 6] = ["load", "save", "push", "pull, cold", "pull, half of it here", "pull, all of it here"];
const HOW: &str = "300 MB in 12 layers, docker-registry on loopback, a fresh ext4 each, interleaved rounds";

pub fn measure(page: &mut Page) {
    let rounds = std::env::var("CUBBY_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let bench = Bench::prepare();
    let kinds = Kind::installed();
    let mut samples: Vec<(Kind, &str, f64)> = Vec::new();
    let (mut floor, mut fetch, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        for kind in &kinds {
            let (times, peak) = bench.round(*kind, round);
            samples.extend(STEPS.iter().zip(times).map(|(step, seconds)| (*kind, *step, seconds)));
            peaks.push((*kind, peak));
        }
        floor.push(bench.decode_and_write());
        fetch.push(bench.fetch());
    }
    let of = |kind: Kind, step: &str| {
        let seconds = samples.iter().filter(|(k, s, _)| *k == kind && *s == step).map(|(.., seconds)| *seconds);
        Summary::of(seconds.collect()).expect("rounds were run")
    };
    for step in STEPS {
        let ours = of(Kind::Cubby, step);
        for kind in &kinds {
            let theirs = of(*kind, step);
            let (figure, budget) = match kind {
                Kind::Cubby => (theirs.to_string(), budget(step)),
                _ => (format!("{theirs}; cubby is {:.2}× of it", ours.median / theirs.median), ""),
            };
            page.row(&format!("{}: images: {step}, s", kind.name()), figure, budget, HOW);
        }
    }
    let cold = of(Kind::Cubby, "pull, cold").median;
    let relative = |samples: Vec<f64>| {
        let summary = Summary::of(samples).expect("rounds were run");
        format!("{summary}; cubby's cold pull is {:.2}× of it", cold / summary.median)
    };
    page.row(
        "images: decode and write alone, s",
        relative(floor),
        "",
        "igzip or gzip, tar, two streams side by side, syncfs",
    );
    page.row("images: fetch alone, s", relative(fetch), "", "skopeo copy to a directory of blobs");
    for kind in kinds {
        let most = peaks.iter().filter(|(of, _)| *of == kind).map(|(_, kib)| *kib).max().unwrap_or(0);
        if most > 0 {
            let budget = if kind == Kind::Cubby { "≤ 64 MiB" } else { "" };
            let what = format!("{}: images: memory at its peak in a cold pull, MiB", kind.name());
            page.row(&what, format!("{:.1}", most as f64 / 1024.0), budget, "VmHWM of the engine, fresh");
        }
    }
}

fn budget(step: &str) -> &'static str {
    match step {
        "pull, cold" | "load" => "≤ 0.5× dockerd 28",
        _ => "",
    }
}

struct Bench {
    registry: Registry,
    dir: tempfile::TempDir,
    blobs: Vec<PathBuf>,
}

impl Bench {
    /// The archives, and both images in the registry.
    fn prepare() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut bench = Self { registry: Registry::start(RegistryOptions::default()), dir, blobs: Vec::new() };
        let layers: Vec<Vec<u8>> = (0..LAYERS as u64).map(layer).collect();
        let place = Place::start(Kind::Cubby, Disk::new(bench.dir.path()));
        for (tag, layers) in [("whole", &layers[..]), ("half", &layers[..LAYERS / 2])] {
            let archive = bench.archive(tag);
            fs::write(&archive, image(&bench.name(tag), layers)).expect("the archive is written");
            place.run(&format!("load -q -i {archive}"));
            place.run(&format!("push -q {}", bench.name(tag)));
        }
        bench.blobs = bench.layer_blobs();
        bench
    }

    fn name(&self, tag: &str) -> String {
        format!("127.0.0.1:{}/bench:{tag}", self.registry.port)
    }

    fn archive(&self, tag: &str) -> String {
        self.dir.path().join(format!("{tag}.tar")).display().to_string()
    }

    /// The seconds of each of [`STEPS`], and the engine's peak in the cold pull.
    fn round(&self, kind: Kind, round: usize) -> ([f64; STEPS.len()], u64) {
        let (whole, half) = (self.name("whole"), self.name("half"));
        let fresh = || Place::start(kind, Disk::new(self.dir.path()));
        let place = fresh();
        let load = timed(|| place.run(&format!("load -q -i {}", self.archive("whole"))));
        let saved = place.disk().join("saved.tar");
        let save = timed(|| place.run(&format!("save -o {} {whole}", saved.display())));
        // Why a repository of its own: the registry has the blobs in others only.
        let own = format!("127.0.0.1:{}/{}-{round}:1", self.registry.port, kind.name().replace(' ', "-"));
        place.run(&format!("tag {whole} {own}"));
        let push = timed(|| place.run(&format!("push -q {own}")));
        drop(place);
        let place = fresh();
        let cold = timed(|| place.run(&format!("pull -q {whole}")));
        let peak = place.peak_kib();
        let all = timed(|| place.run(&format!("pull -q {whole}")));
        drop(place);
        let place = fresh();
        place.run(&format!("pull -q {half}"));
        let rest = timed(|| place.run(&format!("pull -q {whole}")));
        ([load, save, push, cold, rest, all], peak)
    }

    /// The files of the image's compressed layers in the registry's store.
    fn layer_blobs(&self) -> Vec<PathBuf> {
        let raw = Command::new("skopeo")
            .args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{}", self.name("whole"))])
            .output()
            .expect("package skopeo is needed");
        let manifest: serde_json::Value = serde_json::from_slice(&raw.stdout).expect("a manifest");
        let layers = manifest["layers"].as_array().expect("layers").iter();
        let digests = layers.filter_map(|layer| layer["digest"].as_str()?.strip_prefix("sha256:"));
        digests.map(|hex| self.registry.blob(hex)).collect()
    }

    fn decode_and_write(&self) -> f64 {
        let disk = Disk::new(self.dir.path());
        let list: String = self.blobs.iter().map(|blob| format!("{}\n", blob.display())).collect();
        fs::write(self.dir.path().join("list"), list).expect("a file");
        let command = format!(
            "D=$(command -v igzip || command -v gzip); export D; cd {} && xargs -P2 -I% sh -c \
             'o=$(basename $(dirname %)); mkdir $o && $D -dc < % | tar -x -C $o' < {}/list && sync -f .",
            disk.path().display(),
            self.dir.path().display()
        );
        timed(|| shell(&command))
    }

    fn fetch(&self) -> f64 {
        let disk = Disk::new(self.dir.path());
        let to = disk.path().join("blobs");
        let from = format!("docker://{}", self.name("whole"));
        timed(|| shell(&format!("skopeo copy -q --src-tls-verify=false {from} dir:{}", to.display())))
    }
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// A tar of files of which about half compresses away.
fn layer(seed: u64) -> Vec<u8> {
    let mut state = seed + 1;
    let mut tar = tar::Builder::new(Vec::with_capacity(FILES * (FILE_BYTES + 1024)));
    for n in 0..FILES {
        let words = std::iter::repeat_with(|| {
            // Source: Knuth's MMIX generator.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        });
        let mut content: Vec<u8> = words.take(FILE_BYTES / 8).flat_map(|word| (word as u32).to_le_bytes()).collect();
        content.resize(FILE_BYTES, b'x');
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("layer-{seed}/{:02}/file-{n}", n % 16), content.as_slice())
            .expect("memory");
    }
    tar.into_inner().expect("memory does not fail")
}
