//! Shared folders beside the guest's own disk and this computer: the same scripts over all three.
//!
//! | case | like |
//! |---|---|
//! | unpack | `tar x` of a source tree: many small files made |
//! | look | `git status`: every file's attributes, nothing changed |
//! | read | `grep -r`, a build: every file's content |
//! | install | `npm install` of a local tree: copied, listed, removed |
//!
//! Each is timed by the container itself (`/proc/uptime`), so neither the CLI nor the link counts. Times are those of busybox's
//! programs, on this computer too.

use std::{fs, path::Path, process::Command};

use cubby_harness::{Docker, IMAGE, Machine, busybox_archive};

use crate::{page::Page, summary::Summary};

const ROUNDS: usize = 5;
const DIRECTORIES: usize = 60;
const FILES: usize = 25;

/// Name and script; each leaves what the next needs.
const CASES: [(&str, &str); 4] = [
    ("unpack", "rm -rf tree; mkdir tree; tar xf /tree.tar -C tree"),
    ("look", "find tree -type f -exec stat -c %Y {} + > /dev/null"),
    ("read", "find tree -type f -exec cat {} + > /dev/null"),
    ("install", "cp -r tree copy; ls -lR copy > /dev/null; rm -rf copy"),
];

pub fn measure(page: &mut Page) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let base = dir.path().canonicalize().expect("it is there");
    let (shared, own) = (base.join("shared"), base.join("own"));
    for folder in [&shared, &own] {
        fs::create_dir(folder).expect("a folder");
    }
    pack(&base.join("tree.tar"));
    let share = base.to_str().expect("text");
    let machine = Machine::start_with([("CUBBY_SHARES", share)]);
    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    let tree = format!("{share}/tree.tar:/tree.tar:ro");
    let folder = format!("{share}/shared:/share");
    let options = ["run", "-d", "--name", "bench-files", "-v", &tree, "-v", &folder, "-v", "bench-disk:/disk"];
    docker.run([&options[..], &[IMAGE, "sleep", "100000"]].concat()).ok();
    let mut samples = vec![[Vec::new(), Vec::new(), Vec::new()]; CASES.len()];
    for _ in 0..ROUNDS {
        for ((_, script), samples) in CASES.iter().zip(&mut samples) {
            samples[0].push(in_container(&docker, "/share", script));
            samples[1].push(in_container(&docker, "/disk", script));
            samples[2].push(on_this_computer(&own, &base.join("tree.tar"), script));
        }
    }
    docker.run(["rm", "-f", "-v", "bench-files"]).ok();
    rows(page, samples);
}

fn rows(page: &mut Page, samples: Vec<[Vec<f64>; 3]>) {
    let how =
        format!("{} files in {DIRECTORIES} folders, busybox, timed inside; interleaved rounds", DIRECTORIES * FILES);
    for ((case, _), samples) in CASES.iter().zip(samples) {
        let [share, disk, host] = samples.map(|samples| Summary::of(samples).expect("rounds were run"));
        let against = |other: &Summary| share.median / other.median.max(0.01);
        let figure = format!("{share}; {:.2}× the guest's disk, {:.2}× this computer", against(&disk), against(&host));
        page.row(
            &format!("shared folder: {case}, s"),
            figure,
            if *case == "look" { "≤ 1.2× the guest's disk" } else { "" },
            &how,
        );
        page.row(&format!("guest's own disk: {case}, s"), disk, "", &how);
    }
}

/// A tree like a small project's, most files a few kilobytes.
fn pack(to: &Path) {
    let mut tar = tar::Builder::new(fs::File::create(to).expect("a file"));
    let mut random = fastrand::Rng::with_seed(7);
    for directory in 0..DIRECTORIES {
        for file in 0..FILES {
            let content: Vec<u8> = (0..random.usize(200..8000)).map(|_| random.alphanumeric() as u8).collect();
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(1_700_000_000);
            let path = format!("package-{}/lib-{directory}/file-{file}.js", directory % 10);
            tar.append_data(&mut header, path, content.as_slice()).expect("the file takes it");
        }
    }
    tar.finish().expect("the file takes it");
}

/// Seconds of a script in a folder of the container.
fn in_container(docker: &Docker, folder: &str, script: &str) -> f64 {
    let timed = format!(
        "cd {folder} && read a rest < /proc/uptime && {{ {script}; }} && read b rest < /proc/uptime && echo $a $b"
    );
    let printed = docker.run(["exec", "bench-files", "sh", "-ec", &timed]).ok();
    let times: Vec<f64> = printed.split_whitespace().filter_map(|text| text.parse().ok()).collect();
    times[1] - times[0]
}

fn on_this_computer(folder: &Path, tree: &Path, script: &str) -> f64 {
    let script = script.replace("/tree.tar", tree.to_str().expect("text"));
    let begin = std::time::Instant::now();
    let done = Command::new("busybox").args(["sh", "-ec", &script]).current_dir(folder).status();
    assert!(done.expect("busybox is installed").success(), "{script}");
    begin.elapsed().as_secs_f64()
}
