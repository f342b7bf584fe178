//! Pull (cold and with half of the layers here), load, save and push of a 300 MB image of twelve layers, against podman and
//! skopeo where they are installed, and against decoding and writing the same streams alone.
//!
//! Every round removes what it brought, for every subject alike. Why that matters: ext4 is slow to reuse inodes that were
//! freed within the last minutes, so absolute times are worse than on a fresh disk; ratios within the run stand.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use cubby_harness::{Docker, NativeEngine, Registry, RegistryOptions};
use serde_json::json;
use sha2::Digest;

use crate::{page::Page, summary::Summary};

const ROUNDS: usize = 5;
const LAYERS: usize = 12;
const FILES: usize = 250;
const FILE_BYTES: usize = 100 << 10;

pub fn measure(page: &mut Page) {
    let engine = NativeEngine::start();
    let docker = engine.docker();
    let registry = Registry::start(RegistryOptions::default());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bench = Bench { docker, place: format!("127.0.0.1:{}", registry.port), dir: dir.path().to_owned() };
    let layers: Vec<Vec<u8>> = (0..LAYERS as u64).map(layer).collect();
    fs::write(bench.dir.join("whole.tar"), archive(&bench.name("whole"), &layers)).expect("the archive is written");
    fs::write(bench.dir.join("half.tar"), archive(&bench.name("half"), &layers[..LAYERS / 2])).expect("written");
    drop(layers);
    let peers = bench.peers();
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    let mut note = |what: String, seconds: f64| match rows.iter_mut().find(|(known, _)| *known == what) {
        Some((_, samples)) => samples.push(seconds),
        None => rows.push((what, vec![seconds])),
    };
    let mut blobs = Vec::new();
    for _ in 0..ROUNDS {
        bench.round(&mut note);
        if blobs.is_empty() {
            blobs = bench.layer_blobs(&registry);
        }
        note("decode and write alone (two streams side by side)".to_owned(), decode_and_write(&blobs, &bench.dir));
        for (name, pull, forget) in &peers {
            shell(forget);
            note(format!("{name}: pull, cold"), timed(|| shell(pull)));
            shell(forget);
        }
    }
    let how = "300 MB in 12 layers, docker-registry on loopback, interleaved rounds";
    for (what, samples) in rows {
        page.row(&format!("images: {what}, s"), Summary::of(samples).expect("rounds were run"), "", how);
    }
    let peak = peak_kib(engine.pid()) as f64 / 1024.0;
    page.row("images: engine's memory at its peak over all of it, MiB", format!("{peak:.1}"), "≤ 64 MiB", "VmHWM");
}

struct Bench {
    docker: Docker,
    place: String,
    dir: PathBuf,
}

impl Bench {
    fn name(&self, tag: &str) -> String {
        format!("{}/bench:{tag}", self.place)
    }

    fn round(&self, note: &mut impl FnMut(String, f64)) {
        let (whole, half) = (self.name("whole"), self.name("half"));
        let [whole_tar, half_tar] = ["whole.tar", "half.tar"].map(|name| self.dir.join(name).display().to_string());
        let mut step = |what: &str, arguments: &[&str]| {
            note(format!("cubby: {what}"), timed(|| drop(self.docker.run(arguments).ok())));
        };
        step("load", &["load", "-i", &whole_tar]);
        step("save", &["save", "-o", &self.dir.join("saved.tar").display().to_string(), &whole]);
        self.docker.run(["load", "-i", &half_tar]).ok();
        step("push (the registry has it after the first round)", &["push", "-q", &whole]);
        self.docker.run(["push", "-q", &half]).ok();
        step("pull, all of it here", &["pull", "-q", &whole]);
        step("remove", &["rmi", &whole, &half]);
        step("pull, cold", &["pull", "-q", &whole]);
        self.docker.run(["rmi", &whole]).ok();
        self.docker.run(["pull", "-q", &half]).ok();
        step("pull, half of it here", &["pull", "-q", &whole]);
        self.docker.run(["rmi", &whole, &half]).ok();
    }

    /// Name, pull, and how to forget it again.
    fn peers(&self) -> Vec<(String, String, String)> {
        let (name, dir) = (self.name("whole"), self.dir.display());
        let podman = format!("podman --root {dir}/podman --runroot {dir}/podman-run --storage-driver overlay");
        let all = [
            ("podman", format!("{podman} pull -q --tls-verify=false {name}"), format!("{podman} rmi -af")),
            (
                "skopeo (fetch only)",
                format!("skopeo copy -q --src-tls-verify=false docker://{name} dir:{dir}/skopeo"),
                format!("rm -rf {dir}/skopeo"),
            ),
        ];
        let installed = |command: &str| {
            let program = command.split(' ').next().unwrap_or_default();
            Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        all.into_iter().filter(|(_, pull, _)| installed(pull)).map(|(n, p, f)| (n.to_owned(), p, f)).collect()
    }

    /// The files of the image's compressed layers in the registry's store.
    fn layer_blobs(&self, registry: &Registry) -> Vec<PathBuf> {
        let raw = Command::new("skopeo")
            .args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{}", self.name("whole"))])
            .output()
            .expect("package skopeo is needed");
        let manifest: serde_json::Value = serde_json::from_slice(&raw.stdout).expect("a manifest");
        let layers = manifest["layers"].as_array().expect("layers").iter();
        let digests = layers.filter_map(|layer| layer["digest"].as_str()?.strip_prefix("sha256:"));
        digests.map(|hex| registry.blob(hex)).collect()
    }
}

/// Seconds of unpacking the blobs by other programs: igzip where it is installed, else gzip, and tar.
fn decode_and_write(blobs: &[PathBuf], dir: &Path) -> f64 {
    let out = dir.join("limit");
    fs::create_dir_all(&out).expect("a directory");
    let list: String = blobs.iter().map(|blob| format!("{}\n", blob.display())).collect();
    fs::write(dir.join("list"), list).expect("a file");
    let command = format!(
        "D=$(command -v igzip || command -v gzip); export D; cd {0} && xargs -P2 -I% sh -c \
         'o=$(basename $(dirname %)); mkdir $o && $D -dc < % | tar -x -C $o' < ../list && sync -f .",
        out.display()
    );
    let seconds = timed(|| shell(&command));
    fs::remove_dir_all(&out).expect("it can be removed");
    seconds
}

fn shell(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().expect("a shell");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
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

fn archive(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let hex = |bytes: &[u8]| -> String { sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect() };
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", hex(layer))).collect();
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let config =
        json!({ "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = config.to_string();
    let paths: Vec<String> = (0..layers.len()).map(|n| format!("{n}.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": paths }]).to_string();
    let mut tar = tar::Builder::new(Vec::new());
    let files = paths.iter().map(String::as_str).zip(layers.iter().map(Vec::as_slice));
    for (path, bytes) in files.chain([("config.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())]) {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes).expect("memory does not fail");
    }
    tar.into_inner().expect("memory does not fail")
}
