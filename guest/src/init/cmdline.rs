//! The kernel command line's `cubby.*` words, all optional.
//!
//! | word | meaning | default |
//! |---|---|---|
//! | `cubby.net=ADDRESS/PREFIX,GATEWAY,DNS` | eth0's IPv4; `off`: leave it alone; `kernel`: the kernel's `ip=` did it | QEMU's user network |
//! | `cubby.data=DEVICE` | the data disk; `tmpfs`: none, everything is forgotten at power-off | `/dev/vda` |
//! | `cubby.log=FILTER` | the engine's log filter | `info` |

use std::fs;

/// The words as the hypervisor gave them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cmdline {
    pub net: Option<String>,
    pub data: Option<String>,
    pub log: Option<String>,
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
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_words_are_found_among_the_kernel_s_and_the_last_wins() {
        let found = Cmdline::parse("console=hvc0 cubby.data=/dev/vdb quiet cubby.data=tmpfs cubby.net=off\n");
        assert_eq!(found, Cmdline { data: Some("tmpfs".into()), net: Some("off".into()), log: None });
    }

    #[test]
    fn words_without_a_value_and_strangers_are_left_alone() {
        assert_eq!(Cmdline::parse("cubby.net cubby.nets=1 xcubby.data=2"), Cmdline::default());
    }
}
