//! A hostile guest at the shared folders, one request after the other, chosen by the fuzzer.
#![no_main]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use arbitrary::Arbitrary;
use cubby_share_device::fuzzing::Guest;
use libfuzzer_sys::fuzz_target;

const SECRET: &[u8] = b"not for the guest: 2f1a9c";
/// Requests of one input: bounds the time, not the server.
const MAX_STEPS: usize = 64;

#[derive(Arbitrary, Debug)]
struct Step {
    opcode: u8,
    node: u8,
    root: bool,
    room: u16,
    parts: Vec<Part>,
}

#[derive(Arbitrary, Debug)]
enum Part {
    /// A name that may be in the folder, or lead out of it.
    Name(u8),
    Text(Vec<u8>),
    Handle(u8),
    Node(u8),
    Small(u32),
    Wide(u64),
    Nothing(u8),
}

const NAMES: [&[u8]; 16] = [
    b"file", b"dir", b"out", b"absolute", b"new", b"..", b".", b"", b"../secret", b"dir/../../secret", b"out/secret",
    b"/etc/passwd", b"deep", b"user.cubby", b"security.capability", b"loop",
];

impl Part {
    fn append(&self, folder: u64, body: &mut Vec<u8>) {
        match self {
            Part::Name(which) => {
                body.extend(NAMES[usize::from(*which) % NAMES.len()]);
                body.push(0);
            }
            Part::Text(bytes) => body.extend(bytes),
            Part::Handle(fh) => body.extend(u64::from(*fh % 8).to_ne_bytes()),
            Part::Node(node) => body.extend((folder + u64::from(*node % 8)).to_ne_bytes()),
            Part::Small(value) => body.extend(value.to_ne_bytes()),
            Part::Wide(value) => body.extend(value.to_ne_bytes()),
            Part::Nothing(len) => body.resize(body.len() + usize::from(*len), 0),
        }
    }
}

fn furnish(outer: &Path) -> std::io::Result<()> {
    fs::write(outer.join("secret"), SECRET)?;
    let folder = outer.join("folder");
    fs::create_dir_all(folder.join("dir/deep"))?;
    fs::write(folder.join("file"), b"content")?;
    symlink("../secret", folder.join("out"))?;
    symlink(outer.join("secret"), folder.join("absolute"))?;
    symlink("loop", folder.join("loop"))
}

fuzz_target!(|steps: Vec<Step>| {
    let outer = tempfile::tempdir().expect("a directory");
    furnish(outer.path()).expect("files");
    let folder = outer.path().canonicalize().expect("a path").join("folder");
    let (guest, node) = Guest::new(&folder);
    for step in steps.iter().take(MAX_STEPS) {
        let mut body = Vec::new();
        for part in step.parts.iter().take(8) {
            part.append(node, &mut body);
        }
        let at = if step.node >= 128 { u64::from(step.node % 8) } else { node + u64::from(step.node % 8) };
        let uid = if step.root { 0 } else { 1000 };
        let reply = guest.request(u32::from(step.opcode % 56), at, uid, &body, usize::from(step.room));
        assert!(!reply.windows(SECRET.len()).any(|bytes| bytes == SECRET), "the secret was told");
    }
    drop(guest);
    assert_eq!(fs::read(outer.path().join("secret")).expect("it is there"), SECRET);
    let mut names: Vec<_> = fs::read_dir(outer.path()).expect("it is there").flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["folder", "secret"], "nothing is made outside the folder");
});
