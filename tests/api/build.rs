//! `docker build` through the classic builder: steps, cache, contexts, stages, refusals.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::Command,
    thread,
};

use cubby_harness::{Docker, IMAGE, Output, finish, sha256};
use tempfile::TempDir;

use crate::{docker, registry::host};

/// A context of a Dockerfile and files.
fn context(dockerfile: &str, files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("Dockerfile"), dockerfile.replace("IMAGE", IMAGE)).expect("a Dockerfile");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    dir
}

fn build(docker: &Docker, context: &Path, arguments: &[&str]) -> Output {
    classic(docker, &[arguments, &[context.to_str().expect("a plain path")]].concat(), b"")
}

/// `docker build` with its classic builder.
fn classic(docker: &Docker, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = docker.command([&["build"], arguments].concat());
    command.env("DOCKER_BUILDKIT", "0");
    finish(command, input)
}

fn output_of(docker: &Docker, image: &str, command: &[&str]) -> String {
    docker.run([&["run", "--rm", image], command].concat()).ok()
}

#[test]
fn a_dockerfile_becomes_an_image_that_runs() {
    let (docker, _engine) = docker();
    let dir = context(
        "FROM IMAGE\nARG WHO=nobody\nENV GREETING=\"hello $WHO\"\nWORKDIR /work\nCOPY src/ ./src/\nRUN echo \"$GREETING\" > out\n\
         LABEL part=one\nEXPOSE 80\nUSER 12:34\nCMD [\"cat\", \"out\"]",
        &[("src/a", "a\n"), ("src/deep/b", "b\n")],
    );
    let built = build(&docker, dir.path(), &["-t", "cubby-test/built:1", "--build-arg", "WHO=you", "--label", "x=y"]);
    let said = built.ok();
    assert!(said.contains("Step 1/11 : FROM"), "{said}");
    assert!(said.contains(" ---> Running in "), "{said}");
    assert!(said.contains(" ---> Removed intermediate container "), "{said}");
    assert!(said.ends_with("Successfully tagged cubby-test/built:1"), "{said}");
    assert_eq!(output_of(&docker, "cubby-test/built:1", &[]), "hello you");
    assert_eq!(output_of(&docker, "cubby-test/built:1", &["cat", "src/a", "src/deep/b"]), "a\nb");
    let format =
        "{{.Config.WorkingDir}} {{.Config.User}} {{.Config.Labels.part}} {{.Config.Labels.x}} {{.Config.ExposedPorts}}";
    let config = docker.run(["image", "inspect", "-f", format, "cubby-test/built:1"]).ok();
    assert_eq!(config, "/work 12:34 one y map[80/tcp:{}]");
    let history = docker.run(["history", "--no-trunc", "--format", "{{.CreatedBy}}", "cubby-test/built:1"]).ok();
    assert!(history.contains("|1 WHO=you /bin/sh -c echo \"$GREETING\" > out"), "{history}");
    docker.run(["rmi", "cubby-test/built:1"]).ok();
}

#[test]
fn what_was_done_before_is_not_done_again() {
    let (docker, _engine) = docker();
    let dir = context("FROM IMAGE\nENV CASE=cache\nRUN echo run\nCOPY file /file\nRUN cat /file", &[("file", "one\n")]);
    let first = build(&docker, dir.path(), &["-t", "cubby-test/cache"]).ok();
    assert_eq!(first.matches("Using cache").count(), 0, "{first}");
    let again = build(&docker, dir.path(), &["-t", "cubby-test/cache"]).ok();
    assert_eq!(again.matches("Using cache").count(), 4, "{again}");
    fs::write(dir.path().join("file"), "two\n").expect("the file changes");
    let changed = build(&docker, dir.path(), &["-t", "cubby-test/cache"]).ok();
    assert_eq!(changed.matches("Using cache").count(), 2, "{changed}");
    assert!(changed.contains("\ntwo\n"), "{changed}");
    let anew = build(&docker, dir.path(), &["--no-cache", "-t", "cubby-test/cache"]).ok();
    assert_eq!(anew.matches("Using cache").count(), 0, "{anew}");
    let quiet = build(&docker, dir.path(), &["-q"]);
    let id = docker.run(["image", "inspect", "-f", "{{.Id}}", "cubby-test/cache"]).ok();
    assert_eq!(quiet.ok(), id, "nothing but the id, which the cache has");
    docker.run(["rmi", "cubby-test/cache"]).ok();
}

#[test]
fn stages_give_each_other_files() {
    let (docker, _engine) = docker();
    let dir = context(
        "ARG BASE=IMAGE\nFROM $BASE AS maker\nRUN echo made > /made && chown 5:6 /made\nFROM IMAGE AS unneeded\nRUN false\n\
         FROM $BASE\nCOPY --from=maker /made /got/\nCOPY --chown=7:8 --chmod=0640 file* /b/\nCOPY <<EOF /doc\ntext of $BASE\nEOF",
        &[("file1", "1"), ("file2", "2")],
    );
    build(&docker, dir.path(), &["-t", "cubby-test/stages"]).ok();
    assert_eq!(output_of(&docker, "cubby-test/stages", &["cat", "/got/made"]), "made");
    assert_eq!(
        output_of(&docker, "cubby-test/stages", &["stat", "-c", "%u:%g %a", "/got/made", "/b/file2"]),
        "5:6 644\n7:8 640"
    );
    assert_eq!(output_of(&docker, "cubby-test/stages", &["cat", "/doc"]), "text of ");
    let history = docker.run(["history", "--no-trunc", "--format", "{{.CreatedBy}}", "cubby-test/stages"]).ok();
    assert!(history.contains("COPY --chown=7:8 multi:") && history.contains(" in /b/ "), "{history}");
    for (from, reason) in [("0", "refers to current build stage"), ("5", "index out of bounds")] {
        let dir = context(&format!("FROM IMAGE\nCOPY --from={from} /x /y"), &[]);
        let refused = build(&docker, dir.path(), &[]);
        assert!(refused.stderr.contains(&format!("invalid from flag value {from}: {reason}")), "{refused:?}");
    }
    let only = build(&docker, dir.path(), &["--target", "maker", "-t", "cubby-test/maker"]).ok();
    assert!(!only.contains("COPY"), "{only}");
    docker.run(["rmi", "cubby-test/stages", "cubby-test/maker"]).ok();
}

#[test]
fn dockerfiles_and_contexts_come_from_elsewhere() {
    let (docker, _engine) = docker();
    let dir = context("FROM nothing-that-exists", &[("file", "x\n"), ("secret", "s\n"), (".dockerignore", "secret\n")]);
    let path = dir.path().to_str().expect("a plain path");
    let text = format!("FROM {IMAGE}\nCOPY . /here/\nRUN ls -a /here > /listed");
    let outside = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&outside, &text).expect("a Dockerfile");
    let outside = outside.path().to_str().expect("a plain path");
    let build = |arguments: &[&str], input: &[u8]| {
        classic(&docker, &[&["-t", "cubby-test/elsewhere"], arguments].concat(), input).ok()
    };
    for (arguments, input) in [(["-f", outside, path], &b""[..]), (["-f", "-", path], text.as_bytes())] {
        build(&arguments, input);
        let listed = output_of(&docker, "cubby-test/elsewhere", &["cat", "/listed"]);
        assert!(listed.contains("file") && !listed.contains("secret"), "{arguments:?}: {listed}");
    }
    build(&["-"], format!("FROM {IMAGE}\nRUN echo alone > /listed").as_bytes());
    assert_eq!(output_of(&docker, "cubby-test/elsewhere", &["cat", "/listed"]), "alone");
    let mut unclean = tar::Builder::new(Vec::new());
    for (name, text) in
        [("Dockerfile", format!("FROM {IMAGE}\nCOPY foo bar /in/")), ("../../foo", "f".into()), ("/bar", "b".into())]
    {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        unclean.append(&header, text.as_bytes()).expect("an archive");
    }
    build(&["-"], &unclean.into_inner().expect("an archive"));
    assert_eq!(output_of(&docker, "cubby-test/elsewhere", &["cat", "/in/foo", "/in/bar"]), "fb");
    docker.run(["rmi", "cubby-test/elsewhere"]).ok();
}

/// A web server that has one file, by whatever path that does not begin with `/no`.
fn web(content: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let len = client.read(&mut request).unwrap_or_default();
            let is_there = !request[..len].starts_with(b"GET /no");
            let head = match is_there {
                false => "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone".to_owned(),
                true => format!(
                    "HTTP/1.1 200 OK\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: {}\r\n\r\n",
                    content.len()
                ),
            };
            let whole = if is_there { content } else { b"" };
            // Why ignored: a client that has seen enough may have gone.
            let _ = client.write_all(&[head.as_bytes(), whole].concat());
        }
    });
    port
}

#[test]
fn files_are_added_and_images_imported_from_elsewhere() {
    let (docker, engine) = docker();
    let address = format!("http://{}:{}", host(&engine), web(b"from elsewhere"));
    let sum = format!("sha256:{}", sha256(b"from elsewhere"));
    let dir = context(
        &format!(
            "FROM IMAGE\nADD {address}/a%20b?x=1 local /into/\nADD --chown=1:2 --checksum={sum} {address}/ /named\n\
             ADD --chmod=755 {address}/c[1].tar.gz /into/"
        ),
        &[("local", "l")],
    );
    build(&docker, dir.path(), &["-t", "cubby-test/added"]).ok();
    let listed = ["stat", "-c", "%n %s %u:%g %a %Y", "/into/a b", "/into/local", "/named", "/into/c[1].tar.gz"];
    let expected =
        "/into/a b 14 0:0 600 784111777\n/named 14 1:2 600 784111777\n/into/c[1].tar.gz 14 0:0 755 784111777";
    let found = output_of(&docker, "cubby-test/added", &listed);
    let but_local: Vec<_> = found.lines().filter(|line| !line.starts_with("/into/local 1 0:0 644")).collect();
    assert_eq!((but_local.join("\n").as_str(), found.lines().count()), (expected, 4), "{found}");
    assert!(build(&docker, dir.path(), &[]).ok().contains("Using cache"));
    for (line, reason) in [
        (format!("ADD {address}/none /x"), format!("failed to GET {address}/none with status 404 Not Found: gone")),
        (format!("ADD {address}/ /x/"), "cannot determine filename for source".to_owned()),
        (format!("COPY {address}/x /x"), "source can't be a URL for COPY".to_owned()),
        (format!("ADD --checksum=sha256:{} {address}/x /x", sha256(b"other")), format!("digest mismatch {sum}")),
        ("ADD http://127.0.0.1:1/x /x".to_owned(), "dial tcp 127.0.0.1:1: connect: connection refused".to_owned()),
    ] {
        let refused = build(&docker, context(&format!("FROM IMAGE\n{line}"), &[]).path(), &[]);
        assert!(refused.code != 0 && refused.stderr.contains(&reason), "{line}: {refused:?}");
    }
    docker.run(["rmi", "cubby-test/added"]).ok();

    let mut rootfs = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(2);
    rootfs.append_data(&mut header, "file", &b"x\n"[..]).expect("an archive");
    let rootfs = rootfs.into_inner().expect("an archive");
    let source = format!("http://{}:{}/rootfs.tar", host(&engine), web(rootfs.leak()));
    let said = docker.run(["import", &source, "cubby-test/imported"]).ok();
    assert!(said.starts_with(&format!("Downloading from {source}")) && said.contains("sha256:"), "{said}");
    assert_eq!(
        docker.run(["image", "inspect", "-f", "{{.Comment}}", "cubby-test/imported"]).ok(),
        format!("Imported from {source}")
    );
    docker.run(["rmi", "cubby-test/imported"]).ok();
}

#[test]
fn archives_of_every_kind_are_unpacked() {
    let (docker, _engine) = docker();
    let dir = context(
        "FROM IMAGE\nADD a.tar.gz a.tar.bz2 a.tar.xz /to/\nADD not.tar.xz /kept/",
        &[("not.tar.xz", "\u{fd}7zXZ no")],
    );
    for (flag, end) in [("-z", "gz"), ("-j", "bz2"), ("-J", "xz")] {
        let name = format!("from-{end}");
        fs::write(dir.path().join(&name), end).expect("a file");
        let archive = dir.path().join(format!("a.tar.{end}"));
        let made =
            Command::new("tar").arg("-C").arg(dir.path()).args(["-c", flag, "-f"]).arg(&archive).arg(&name).status();
        assert!(made.expect("tar runs").success(), "tar {flag}");
    }
    build(&docker, dir.path(), &["-t", "cubby-test/unpacked"]).ok();
    let found = output_of(&docker, "cubby-test/unpacked", &["ls", "/to", "/kept"]);
    assert_eq!(found, "/kept:\nnot.tar.xz\n\n/to:\nfrom-bz2\nfrom-gz\nfrom-xz");
    docker.run(["rmi", "cubby-test/unpacked"]).ok();
    for end in ["bz2", "xz"] {
        let archive = dir.path().join(format!("a.tar.{end}"));
        docker.run(["import", archive.to_str().expect("a plain path"), "cubby-test/imported"]).ok();
        let id = docker.run(["create", "cubby-test/imported", "x"]).ok();
        let listed = docker.run(["cp", &format!("{id}:/from-{end}"), "-"]).ok();
        assert!(listed.contains(end), "{listed}");
        docker.run(["rm", &id]).ok();
        docker.run(["rmi", "cubby-test/imported"]).ok();
    }
}

#[test]
fn triggers_run_in_images_built_on_top() {
    let (docker, _engine) = docker();
    let base = context("FROM IMAGE\nONBUILD COPY file /from-child\nONBUILD RUN echo triggered > /ran", &[]);
    build(&docker, base.path(), &["-t", "cubby-test/onbuild"]).ok();
    let child = context("FROM cubby-test/onbuild", &[("file", "child\n")]);
    let said = build(&docker, child.path(), &["-t", "cubby-test/child"]).ok();
    assert!(said.contains("# Executing 2 build triggers"), "{said}");
    assert_eq!(output_of(&docker, "cubby-test/child", &["cat", "/from-child", "/ran"]), "child\ntriggered");
    docker.run(["rmi", "cubby-test/child", "cubby-test/onbuild"]).ok();
}

#[test]
fn a_failed_step_says_so_and_leaves_no_container() {
    let (docker, _engine) = docker();
    let dir = context("FROM IMAGE\nLABEL cubby.case=failed\nRUN echo before; exit 3", &[]);
    let failed = build(&docker, dir.path(), &[]);
    // Why 3: the classic builder's CLI ends with the command's own code.
    assert_eq!(failed.code, 3, "{failed:?}");
    assert!(failed.stdout.contains("\nbefore\n"), "{failed:?}");
    assert!(
        failed.stderr.contains("The command '/bin/sh -c echo before; exit 3' returned a non-zero code: 3"),
        "{failed:?}"
    );
    assert_eq!(docker.run(["ps", "-aq", "--filter", "label=cubby.case=failed"]).ok(), "");
}

#[test]
fn dockerfiles_that_make_no_sense_are_refused_before_anything_runs() {
    let (docker, _engine) = docker();
    for (dockerfile, arguments, reason) in [
        ("FROM IMAGE\nBOGUS x", &[][..], "dockerfile parse error on line 2: unknown instruction: BOGUS"),
        ("FROM IMAGE\nCOPY --from=x y", &[], "COPY requires at least two arguments"),
        ("RUN x", &[], "no build stage in current context"),
        ("FROM IMAGE", &["--target", "none"], "target stage \"none\" could not be found"),
        ("FROM IMAGE\nCOPY missing /x", &[], "COPY failed: file not found in build context"),
        ("FROM IMAGE\nCOPY ../x /x", &[], "forbidden path outside the build context"),
        ("FROM IMAGE\nRUN --mount=type=cache,target=/c true", &[], "the --mount option requires BuildKit"),
    ] {
        let dir = context(dockerfile, &[]);
        let refused = build(&docker, dir.path(), arguments);
        assert_eq!(refused.code, 1, "{dockerfile}: {refused:?}");
        assert!(refused.stderr.contains(reason), "{dockerfile}: {refused:?}");
    }
}

#[test]
fn steps_are_hidden_from_the_list_and_go_with_their_image() {
    let (docker, _engine) = docker();
    let dir = context("FROM IMAGE\nLABEL cubby.case=steps\nENV A=1\nENV B=2", &[]);
    build(&docker, dir.path(), &["-t", "cubby-test/steps"]).ok();
    let images = |all: &[&str]| {
        let filter = ["--filter", "label=cubby.case=steps"];
        docker.run([&["images", "-q"][..], all, &filter].concat()).ok().lines().count()
    };
    assert_eq!((images(&[]), images(&["-a"])), (1, 3));
    let parent = docker.run(["image", "inspect", "-f", "{{.Parent}}", "cubby-test/steps"]).ok();
    let refused = docker.run(["rmi", &parent]);
    assert!(refused.stderr.contains("image has dependent child images"), "{refused:?}");
    docker.run(["rmi", "cubby-test/steps"]).ok();
    assert_eq!(images(&["-a"]), 0);
}
