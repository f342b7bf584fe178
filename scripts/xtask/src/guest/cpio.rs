//! A deterministic writer of `newc` cpio archives, the kernel's initramfs format.
//!
//! Source: Documentation/driver-api/early-userspace/buffer-format.rst. Every member is a 110-byte header of hexadecimal
//! fields, the name with its NUL, padding to 4, the data, padding to 4; `TRAILER!!!` ends the archive. Same members in,
//! same bytes out: sorted by name, owned by root, time 0, numbered in order.

use std::collections::BTreeMap;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER: u32 = 0o020_000;
const TRAILER: &str = "TRAILER!!!";

struct Member {
    mode: u32,
    device: (u32, u32),
    data: Vec<u8>,
}

/// Collects members; names are relative (`dev/console`), parents are the caller's to add.
#[derive(Default)]
pub struct Archive {
    members: BTreeMap<String, Member>,
}

impl Archive {
    pub fn directory(&mut self, name: &str, mode: u32) {
        self.add(name, DIRECTORY | mode, (0, 0), Vec::new());
    }

    pub fn file(&mut self, name: &str, mode: u32, data: Vec<u8>) {
        self.add(name, REGULAR | mode, (0, 0), data);
    }

    pub fn character_device(&mut self, name: &str, mode: u32, major: u32, minor: u32) {
        self.add(name, CHARACTER | mode, (major, minor), Vec::new());
    }

    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), data: Vec<u8>) {
        self.members.insert(name.to_owned(), Member { mode, device, data });
    }

    /// The archive's bytes. A directory sorts before what it holds, as the kernel needs it.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, (name, member)) in (1..).zip(&self.members) {
            write(&mut out, number, name, member);
        }
        write(&mut out, 0, TRAILER, &Member { mode: 0, device: (0, 0), data: Vec::new() });
        out
    }
}

fn write(out: &mut Vec<u8>, number: u32, name: &str, member: &Member) {
    let links = if member.mode & 0o170_000 == DIRECTORY { 2 } else { 1 };
    let size = u32::try_from(member.data.len()).expect("a guest's files are far below 4 GiB");
    let name_size = u32::try_from(name.len() + 1).expect("names are short");
    let (major, minor) = member.device;
    let (owner, group, time, checksum) = (0, 0, 0, 0);
    out.extend(b"070701");
    for field in [number, member.mode, owner, group, links, time, size, 0, 0, major, minor, name_size, checksum] {
        out.extend(format!("{field:08x}").as_bytes());
    }
    out.extend(name.as_bytes());
    out.push(0);
    pad(out);
    out.extend(&member.data);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(reversed: bool) -> Vec<u8> {
        let mut archive = Archive::default();
        let mut steps: Vec<fn(&mut Archive)> = vec![
            |archive| archive.directory("dev", 0o755),
            |archive| archive.character_device("dev/console", 0o600, 5, 1),
            |archive| archive.file("init", 0o755, b"binary".to_vec()),
            |archive| archive.file("bin", 0o644, Vec::new()),
        ];
        if reversed {
            steps.reverse();
        }
        for step in steps {
            step(&mut archive);
        }
        archive.finish()
    }

    #[test]
    fn the_order_of_adding_leaves_no_trace() {
        assert_eq!(sample(false), sample(true));
    }

    #[test]
    fn members_are_aligned_and_the_archive_ends_with_its_trailer() {
        let bytes = sample(false);
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.starts_with(b"070701"));
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.trim_end_matches('\0').ends_with(TRAILER));
        assert!(text.find("dev\0").unwrap() < text.find("dev/console\0").unwrap());
    }

    #[test]
    fn cpio_itself_reads_it_back() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let child = Command::new("cpio")
            .args(["-itv"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else { return };
        child.stdin.take().unwrap().write_all(&sample(false)).unwrap();
        let listing = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let lines: Vec<_> = listing.lines().collect();
        assert_eq!(lines.len(), 4, "{listing}");
        assert!(lines[0].starts_with("-rw-r--r--") && lines[0].ends_with("bin"), "{listing}");
        assert!(lines[2].starts_with("crw-------") && lines[2].contains("5,   1"), "{listing}");
    }
}
