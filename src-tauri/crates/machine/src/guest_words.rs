//! The words on the kernel's command line that hypervisors without a device of ours need: `guest/src/init/cmdline.rs`
//! reads them.

/// The virtio-fs tag of Apple's translator for amd64 programs.
#[cfg(any(all(test, unix), target_os = "macos"))]
pub const ROSETTA_TAG: &str = "cubby-rosetta";

/// The virtio-fs device `tag` is the folder `path` of the host.
#[cfg(any(test, target_os = "macos"))]
pub fn share(tag: &str, path: &str) -> String {
    format!("cubby.share={tag}:{}", escape(path))
}

/// The Plan 9 server on vsock port `port` of the host serves the folder that is `path` in the guest, under `name`.
#[cfg(any(test, windows))]
pub fn share_9p(name: &str, port: u32, path: &str) -> String {
    format!("cubby.share9p={port}:{name}:{}", escape(path))
}

#[cfg(any(all(test, unix), target_os = "macos"))]
pub fn rosetta(tag: &str) -> String {
    format!("cubby.rosetta={tag}")
}

/// One word for the kernel, whatever is in the path. Source: RFC 3986 §2.1; the kernel splits at spaces and minds quotes.
fn escape(path: &str) -> String {
    let mut word = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' | b'+' | b'@' => {
                word.push(byte.into());
            }
            _ => word.push_str(&format!("%{byte:02X}")),
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_port_and_name() {
        assert_eq!(share_9p("share0", 50_001, "/c/Users"), "cubby.share9p=50001:share0:/c/Users");
    }

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(share("s0", "/Users/jö \"x\"=%,"), "cubby.share=s0:/Users/j%C3%B6%20%22x%22%3D%25%2C");
    }
}
