//! Shared folders: a directory of this computer in a container, both ways, confined, and with true file events.

use std::{
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use cubby_harness::{Docker, IMAGE, Machine, busybox_archive, wait_for};

const PATIENCE: Duration = Duration::from_secs(120);

struct Folders {
    _dir: tempfile::TempDir,
    shared: PathBuf,
    private: PathBuf,
}

impl Folders {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let base = dir.path().canonicalize().expect("it is there");
        let (shared, private) = (base.join("shared"), base.join("private"));
        for folder in [&shared, &private] {
            std::fs::create_dir(folder).expect("a folder");
        }
        std::fs::write(private.join("secret"), "secret").expect("a file");
        Self { _dir: dir, shared, private }
    }

    fn shared(&self) -> &str {
        self.shared.to_str().expect("text")
    }
}

#[test]
fn a_folder_of_the_host_is_the_containers_and_nothing_beside_it() {
    let folders = Folders::new();
    let machine = Machine::start_with([("CUBBY_SHARES", folders.shared())]);
    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    helper(&folders);
    both_ways(&docker, &folders);
    sources(&docker, &folders);
    confined(&docker, &folders);
    of_the_containers_user(&docker, &folders);
    true_events(&docker, &folders);
    a_repository(&docker, &folders);
    programs(&docker, &folders);
}

/// A shell in a container with the folder at `/x`.
fn inside(docker: &Docker, folders: &Folders, script: &str) -> cubby_harness::Output {
    docker.run(["run", "--rm", "-v", &format!("{}:/x", folders.shared()), IMAGE, "sh", "-c", script])
}

/// The program in C that does what busybox cannot, put into the folder.
fn helper(folders: &Folders) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/watcher.c");
    let mut compiler = Command::new("cc");
    let built = compiler.args(["-static", "-O1", "-o"]).arg(folders.shared.join("watcher")).arg(source).status();
    assert!(built.expect("a C compiler, which Rust needs as well").success());
}

fn both_ways(docker: &Docker, folders: &Folders) {
    std::fs::write(folders.shared.join("from-host"), "hello").expect("a file");
    assert_eq!(inside(docker, folders, "cat /x/from-host; stat -c ' %u:%g' /x/from-host").ok(), "hello 0:0");
    let script = "umask 027; mkdir /x/made && echo back > /x/made/file && chown 33:33 /x/made/file && stat -c %u:%g:%a /x/made/file";
    assert_eq!(inside(docker, folders, script).ok(), "33:33:640");
    let made = std::fs::metadata(folders.shared.join("made/file")).expect("the container's file is here");
    assert_eq!((made.uid(), made.mode() & 0o777), (rustix::process::geteuid().as_raw(), 0o640));
    let script = "cd /x && ln -s made/file link && ln made/file hard && mv made/file moved && cat link hard moved 2>&1; rm moved";
    assert_eq!(inside(docker, folders, script).ok(), "cat: can't open 'link': No such file or directory\nback\nback");
    assert_eq!(std::fs::read_to_string(folders.shared.join("hard")).expect("the other name"), "back\n");
    let big =
        inside(docker, folders, "head -c 3000000 /dev/zero | tr '\\0' z > /x/big && wc -c < /x/big && md5sum < /x/big");
    assert_eq!(big.ok().lines().next(), Some("3000000"));
    assert!(std::fs::read(folders.shared.join("big")).expect("all of it").iter().all(|byte| *byte == b'z'));
    std::fs::write(folders.shared.join("big"), "short now").expect("a change");
    assert_eq!(inside(docker, folders, "cat /x/big").ok(), "short now");
    inside(docker, folders, "/x/watcher lock /x/locked").ok();
    assert!(std::fs::read(folders.shared.join("locked")).expect("the mapped file").starts_with(b"mapped\0"));
}

/// Whoever the container's user is, the folder is theirs; on the host it stays ours.
fn of_the_containers_user(docker: &Docker, folders: &Folders) {
    let mount = format!("{}:/x", folders.shared());
    let script = "cd /x && stat -c %u:%g from-host && mkdir own && echo mine > own/file && mv own/file own/moved \
        && echo more >> from-host && stat -c %u:%g own own/moved hard && chmod 600 own/moved && cat own/moved";
    let made = docker.run(["run", "--rm", "--user", "1000:50", "-v", &mount, IMAGE, "sh", "-ec", script]);
    assert_eq!(made.ok(), "1000:50\n1000:50\n1000:50\n33:33\nmine", "somebody else's file stays somebody else's");
    let on_host = std::fs::metadata(folders.shared.join("own/moved")).expect("the container's file is here");
    assert_eq!((on_host.uid(), on_host.mode() & 0o777), (rustix::process::geteuid().as_raw(), 0o600));
    assert_eq!(inside(docker, folders, "stat -c %u:%g /x/own/moved").ok(), "0:0", "and another container's own there");

    // Root beside that user writes too, and what it makes is not the user's.
    docker.run(["run", "-d", "--name", "user", "--user", "1000:50", "-v", &mount, IMAGE, "sleep", "300"]).ok();
    let script = "cd /x && echo root >> own/moved && touch of-root && stat -c %u:%g of-root";
    assert_eq!(docker.run(["exec", "--user", "0", "user", "sh", "-ec", script]).ok(), "0:0");
    docker.run(["rm", "-f", "user"]).ok();

    // A dev container runs as root, and its editor as somebody else.
    let label = "devcontainer.metadata=[{\"remoteUser\":\"1000\"}]";
    docker.run(["run", "-d", "--name", "dev", "--label", label, "-v", &mount, IMAGE, "sleep", "300"]).ok();
    let script = "cd /x && echo edited > edited && stat -c %u edited";
    assert_eq!(docker.run(["exec", "--user", "1000", "dev", "sh", "-ec", script]).ok(), "1000");
    docker.run(["rm", "-f", "dev"]).ok();
    std::fs::write(folders.shared.join("from-host"), "hello").expect("as before");
}

fn sources(docker: &Docker, folders: &Folders) {
    let new = folders.shared.join("by-v");
    docker.run(["run", "--rm", "-v", &format!("{}:/x", new.display()), IMAGE, "touch", "/x/f"]).ok();
    assert!(new.join("f").exists(), "-v makes what is missing, on the host");
    let missing = format!("type=bind,source={}/none,target=/x", folders.shared());
    let refused = docker.run(["run", "--rm", "--mount", &missing, IMAGE, "true"]);
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.stderr.contains("bind source path does not exist"), "{refused:?}");
    let file = format!("{}/from-host:/file:ro", folders.shared());
    let read_only = docker.run(["run", "--rm", "-v", &file, IMAGE, "sh", "-c", "cat /file; echo x > /file"]);
    assert!(read_only.stdout.starts_with("hello") && read_only.stderr.contains("Read-only"), "{read_only:?}");
    let socket = ["run", "--rm", "-v", "/var/run/docker.sock:/s", IMAGE, "sh", "-c", "test -S /s && echo socket"];
    assert_eq!(docker.run(socket).ok(), "socket");
}

fn confined(docker: &Docker, folders: &Folders) {
    for path in [folders.private.as_path(), Path::new("/etc"), Path::new("/")] {
        let refused = docker.run(["run", "--rm", "-v", &format!("{}:/x", path.display()), IMAGE, "true"]);
        assert_eq!(refused.code, 125, "{refused:?}");
        assert!(refused.stderr.contains("Mounts denied") && refused.stderr.contains(folders.shared()), "{refused:?}");
    }
    symlink(folders.private.join("secret"), folders.shared.join("out")).expect("a link");
    symlink(&folders.private, folders.shared.join("out-dir")).expect("a link");
    let through = inside(docker, folders, "cat /x/out /x/out-dir/secret /x/../secret");
    assert!(!through.stdout.contains("secret") && through.code != 0, "{through:?}");
    let through = format!("type=bind,source={}/out-dir,target=/x", folders.shared());
    assert_ne!(docker.run(["run", "--rm", "--mount", &through, IMAGE, "cat", "/x/secret"]).code, 0);
    symlink(folders.shared.join("made"), folders.shared.join("in")).expect("a link");
    let through = format!("type=bind,source={}/in,target=/x", folders.shared());
    docker.run(["run", "--rm", "--mount", &through, IMAGE, "touch", "/x/through-a-link"]).ok();
    assert!(folders.shared.join("made/through-a-link").exists(), "a link within the folder leads on");
}

/// What a watcher in a container hears of changes on the host, and not of the guest's own twice.
fn true_events(docker: &Docker, folders: &Folders) {
    let watched = folders.shared.join("watched");
    std::fs::create_dir(&watched).expect("a folder");
    let mount = format!("{}:/x", folders.shared());
    docker.run(["run", "-d", "--name", "watcher", "-v", &mount, IMAGE, "/x/watcher", "/x/watched"]).ok();
    let logs = || {
        let said = docker.run(["logs", "watcher"]);
        assert_eq!(said.stderr, "", "the watcher complains");
        said.stdout
    };
    let heard = |marker: &str| {
        wait_for(marker, PATIENCE, || Some(logs()).filter(|text| text.lines().any(|line| line == marker)))
    };
    heard("watching");

    let step = |script: &str, last: &str, wanted: &[&str]| {
        let before = logs().lines().count();
        let done = Command::new("sh").args(["-ec", script]).current_dir(&watched).status();
        assert!(done.expect("a shell").success());
        let lines: Vec<String> = heard(last).lines().skip(before).map(str::to_owned).collect();
        assert_eq!(lines, wanted, "{script}");
    };
    step("mkdir dir", "CREATE,ISDIR dir", &["CREATE,ISDIR dir"]);
    step(": > file", "CLOSE_WRITE file", &["CREATE file", "CLOSE_WRITE file"]);
    step("echo more >> file", "CLOSE_WRITE file", &["MODIFY file", "CLOSE_WRITE file"]);
    step("mv file name", "MOVED_TO name", &["MOVED_FROM file", "MOVED_TO name"]);
    step("chmod 600 name", "ATTRIB name", &["ATTRIB name"]);
    step("mv name dir/", "MOVED_FROM name", &["MOVED_FROM name"]);
    step("rm dir/name; rmdir dir", "DELETE,ISDIR dir", &["DELETE,ISDIR dir"]);
    let before = logs().lines().count();
    inside(docker, folders, "echo own > /x/watched/own && rm /x/watched/own").ok();
    let own: Vec<String> = heard("DELETE own").lines().skip(before).map(str::to_owned).collect();
    assert_eq!(own[..4], ["CREATE own", "MODIFY own", "CLOSE_WRITE own", "DELETE own"]);
    step(": > last", "CLOSE_WRITE last", &["CREATE last", "CLOSE_WRITE last"]);
    docker.run(["rm", "-f", "watcher"]).ok();
}

/// A working copy that the host made is clean for the container's eyes: the times and sizes that git compares.
fn a_repository(docker: &Docker, folders: &Folders) {
    let tree = folders.shared.join("tree");
    for number in 0..40 {
        let dir = tree.join(format!("d{}", number % 5));
        std::fs::create_dir_all(&dir).expect("a folder");
        std::fs::write(dir.join(format!("f{number}")), "x".repeat(number)).expect("a file");
    }
    let list =
        |root: &str| format!("cd {root}; find . -type f -exec stat -c '%n %s %Y %a %h %i' {{}} + | LC_ALL=C sort");
    let here = Command::new("sh").args(["-c", &list(tree.to_str().expect("text"))]).output().expect("a shell").stdout;
    let there = inside(docker, folders, &list("/x/tree")).ok();
    assert_eq!(there, String::from_utf8_lossy(&here).trim_end());
}

/// Programs of the host run, each time from pages that held another's code before: an emulator may go on executing that.
fn programs(docker: &Docker, folders: &Folders) {
    let tools = folders.shared.join("tools");
    std::fs::create_dir(&tools).expect("a folder");
    let mut wanted = String::new();
    for (number, factor) in [3u32, 5, 7, 11, 13, 17].into_iter().enumerate() {
        let (source, program) = (tools.join(format!("{number}.c")), tools.join(format!("tool{number}")));
        std::fs::write(&source, arithmetic(factor)).expect("a source file");
        let built = Command::new("cc").args(["-static", "-O0", "-o"]).arg(&program).arg(&source).status();
        assert!(built.expect("a C compiler").success());
        let said = Command::new(&program).output().expect("it runs here").stdout;
        wanted += &format!("tool{number} {}", String::from_utf8(said).expect("text"));
    }
    std::fs::write(tools.join("wanted"), wanted).expect("a file");
    let script = "cd /x/tools; for round in 1 2 3 4; do echo 3 > /proc/sys/vm/drop_caches; \
        while read -r tool wanted; do said=$(./$tool); [ \"$said\" = \"$wanted\" ] || echo \"$tool says $said\"; done < wanted; done";
    let mount = format!("{}:/x", folders.shared());
    let ran = docker.run(["run", "--rm", "--privileged", "-v", &mount, IMAGE, "sh", "-c", script]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
}

/// A program in C, tens of pages of code that no other factor's program has.
fn arithmetic(factor: u32) -> String {
    use std::fmt::Write;
    let mut source = String::from("#include <stdio.h>\n");
    for function in 0..120 {
        let steps = "y = y * FACTOR + x; ".repeat(1 + (function * factor as usize) % 9);
        let steps = steps.replace("FACTOR", &format!("{}u", factor * (2 * function as u32 + 1)));
        writeln!(source, "unsigned f{function}(unsigned x) {{ volatile unsigned y = x; {steps}return y; }}")
            .expect("text");
    }
    let calls: String = (0..120).map(|function| format!("x = f{function}(x); ")).collect();
    writeln!(source, "int main(void) {{ unsigned x = 1; {calls}printf(\"%u\\n\", x); return 0; }}").expect("text");
    source
}
