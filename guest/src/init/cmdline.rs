//! The kernel command line's `cubby.*` words, all optional.
//!
//! | word | meaning | default |
//! |---|---|---|
//! | `cubby.net=ADDRESS/PREFIX,GATEWAY,DNS` | eth0's IPv4; `off`: leave it alone; `kernel`: the kernel's `ip=` did it | QEMU's user network |
//! | `cubby.data=DEVICE` | the data disk; `tmpfs`: none, everything is forgotten at power-off | `/dev/vda` |
//! | `cubby.log=FILTER` | the engine's log filter | `info` |
//! | `cubby.share=TAG:PATH` | virtio-fs device TAG is the host's folder PATH; as often as needed | one device for all |
//! | `cubby.share9p=PORT:NAME:PATH` | the same from a Plan 9 server on the host's vsock port PORT | – |
//! | `cubby.rosetta=TAG` | virtio-fs device TAG has Apple's translator for amd64 programs | – |
//!
//! In PATH everything but letters, digits and a few signs is `%XX`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, PathBuf};

/// The words as the hypervisor gave them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cmdline {
    pub net: Option<String>,
    pub data: Option<String>,
    pub log: Option<String>,
    pub folders: Vec<Folder>,
    pub rosetta: Option<String>,
}

/// A folder of the host with a server of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Folder {
    pub server: Server,
    /// Absolute, where containers name it.
    pub path: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Server {
    VirtioFs { tag: String },
    Plan9 { port: u32, name: String },
}

impl Cmdline {
    /// Reads the running kernel's; an unreadable one is an empty one.
    pub fn read() -> Cmdline {
        Cmdline::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default())
    }

    fn parse(text: &str) -> Cmdline {
        let mut found = Cmdline::default();
        for word in text.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("cubby.net", value)) => found.net = Some(value.into()),
                Some(("cubby.data", value)) => found.data = Some(value.into()),
                Some(("cubby.log", value)) => found.log = Some(value.into()),
                Some(("cubby.share", value)) => found.folders.extend(virtio_fs(value)),
                Some(("cubby.share9p", value)) => found.folders.extend(plan9(value)),
                Some(("cubby.rosetta", value)) => found.rosetta = Some(value.into()),
                _ => {}
            }
        }
        found
    }
}

fn virtio_fs(value: &str) -> Option<Folder> {
    let (tag, path) = value.split_once(':')?;
    Some(Folder { server: Server::VirtioFs { tag: tag.into() }, path: unescape(path)? })
}

fn plan9(value: &str) -> Option<Folder> {
    let (port, rest) = value.split_once(':')?;
    let (name, path) = rest.split_once(':')?;
    let server = Server::Plan9 { port: port.parse().ok()?, name: name.into() };
    Some(Folder { server, path: unescape(path)? })
}

/// `None`: not an absolute path, or one that leads elsewhere.
fn unescape(word: &str) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let (code, after) = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(str::from_utf8(code).ok()?, 16).ok()?);
                rest = after;
            }
            byte => bytes.push(*byte),
        }
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    (path.is_absolute() && plain && path.parent().is_some()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_host_have_a_server_each() {
        let found = Cmdline::parse(
            "cubby.share=share0:/Users/j%C3%B6%20x cubby.share9p=50001:share1:/c/Users cubby.rosetta=r cubby.share=t:../x \
             cubby.share=t:/a/../b cubby.share9p=x:y:/z cubby.share=t:/%4 cubby.share=t:/",
        );
        let virtio_fs = Server::VirtioFs { tag: "share0".into() };
        let plan9 = Server::Plan9 { port: 50_001, name: "share1".into() };
        assert_eq!(
            found.folders,
            [
                Folder { server: virtio_fs, path: "/Users/jö x".into() },
                Folder { server: plan9, path: "/c/Users".into() }
            ]
        );
        assert_eq!(found.rosetta.as_deref(), Some("r"));
    }

    #[test]
    fn our_words_are_found_among_the_kernel_s_and_the_last_wins() {
        let found = Cmdline::parse("console=hvc0 cubby.data=/dev/vdb quiet cubby.data=tmpfs cubby.net=off\n");
        assert_eq!(found, Cmdline { data: Some("tmpfs".into()), net: Some("off".into()), ..Cmdline::default() });
    }

    #[test]
    fn words_without_a_value_and_strangers_are_left_alone() {
        assert_eq!(Cmdline::parse("cubby.net cubby.nets=1 xcubby.data=2"), Cmdline::default());
    }
}
