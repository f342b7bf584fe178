//! `docker cp`, `diff` and `export`: a container's files from outside, whatever the container makes of them.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use cubby_harness::{IMAGE, request};

use crate::docker;

#[test]
fn copies_go_both_ways_and_stay_inside_the_container() {
    let (docker, _engine) = docker();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let outside = dir.path().join("outside");
    std::fs::write(&outside, "untouched").expect("a file");
    // Links that would lead to our own files if they were followed on this side.
    let script = format!("ln -s {} /tmp/file; ln -s {} /tmp/dir; sleep 1000", outside.display(), dir.path().display());
    docker.run(["run", "-d", "--name", "copies", IMAGE, "sh", "-c", &script]).ok();
    let source = dir.path().join("source");
    std::fs::create_dir(&source).expect("a directory");
    std::fs::write(source.join("a"), "content").expect("a file");
    docker.run(["cp", source.to_str().expect("text"), "copies:/tmp/target"]).ok();
    assert_eq!(docker.run(["exec", "copies", "cat", "/tmp/target/a"]).ok(), "content");
    docker.run(["exec", "copies", "mkdir", "-p", dir.path().to_str().expect("text")]).ok();
    docker.run(["cp", source.join("a").to_str().expect("text"), "copies:/tmp/dir/escaped"]).ok();
    assert!(!dir.path().join("escaped").exists(), "a link led out of the container");
    let back = dir.path().join("back");
    docker.run(["cp", "copies:/tmp/target", back.to_str().expect("text")]).ok();
    assert_eq!(std::fs::read_to_string(back.join("a")).expect("copied back"), "content");
    assert_eq!(std::fs::read_to_string(&outside).expect("still there"), "untouched");
    let missing = docker.run(["cp", "copies:/no/such", back.to_str().expect("text")]);
    assert!(missing.stderr.contains("Could not find the file /no/such in container"), "{missing:?}");
    docker.run(["rm", "-f", "copies"]).ok();
}

#[test]
fn a_link_that_changes_under_a_copy_never_leads_out() {
    let (docker, engine) = docker();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "of the machine").expect("a file");
    let place = dir.path().display();
    let flip = format!(
        "mkdir -p /race/real /race/x; echo inside > /race/real/secret; cd /race; \
         while :; do rm -rf x; ln -s {place} x; rm x; cp -r real x; done"
    );
    docker.run(["run", "-d", "--name", "race", IMAGE, "sh", "-c", &flip]).ok();
    let stop = AtomicBool::new(false);
    let mut leaked = false;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut archive = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(4);
            header.set_mode(0o644);
            archive.append_data(&mut header, "written", &b"evil"[..]).expect("memory does not fail");
            let archive = archive.into_inner().expect("memory does not fail");
            let mut answered = 0;
            while !stop.load(Ordering::Acquire) {
                let put = request(&engine.socket(), "PUT", "/containers/race/archive?path=/race/x", &archive);
                answered += usize::from(put.is_ok());
            }
            answered
        });
        for _ in 0..150 {
            let read = request(&engine.socket(), "GET", "/containers/race/archive?path=/race/x/secret", b"");
            // An answer that breaks off is one: the file went while it was read.
            let Ok(reply) = read else { continue };
            leaked |= reply.body.windows(14).any(|window| window == b"of the machine");
        }
        stop.store(true, Ordering::Release);
        assert_ne!(writer.join().expect("the writer does not panic"), 0, "nothing was written");
    });
    assert!(!leaked, "read through a link");
    let names: Vec<_> = std::fs::read_dir(dir.path()).expect("a directory").flatten().map(|e| e.file_name()).collect();
    assert_eq!(names, ["secret"], "written through a link");
    docker.run(["rm", "-f", "race"]).ok();
}

#[test]
fn changes_are_told_by_kind() {
    let (docker, _engine) = docker();
    let script = "echo x > /tmp/added; echo x >> /etc/passwd; rm /bin/wget; mkdir -p /srv/deep; touch /srv/deep/file";
    docker.run(["run", "--name", "changes", IMAGE, "sh", "-c", script]).ok();
    let mut diff: Vec<String> = docker.run(["diff", "changes"]).ok().lines().map(str::to_owned).collect();
    diff.sort();
    let expected = [
        "A /srv",
        "A /srv/deep",
        "A /srv/deep/file",
        "A /tmp/added",
        "C /bin",
        "C /etc",
        "C /etc/passwd",
        "C /tmp",
        "D /bin/wget",
    ];
    assert_eq!(diff, expected);
    docker.run(["rm", "changes"]).ok();
}

#[test]
fn an_export_is_the_whole_tree() {
    let (docker, _engine) = docker();
    docker.run(["run", "--name", "exported", IMAGE, "sh", "-c", "echo new > /new; rm /bin/wget"]).ok();
    let mut client =
        docker.command(["export", "exported"]).stdout(std::process::Stdio::piped()).spawn().expect("docker");
    let tar = client.stdout.take().expect("piped");
    let listed = Command::new("tar").arg("-t").stdin(tar).output().expect("tar runs");
    assert!(client.wait().expect("docker ends").success());
    let names = String::from_utf8_lossy(&listed.stdout);
    let has = |name: &str| names.lines().any(|line| line.trim_start_matches("./") == name);
    assert!(has("new") && has("bin/busybox") && !has("bin/wget"), "{names}");
    docker.run(["rm", "exported"]).ok();
}
