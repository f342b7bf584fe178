//! Names and numbers of system calls. The tables are `number:name` words, generated from the kernel's headers
//! (asm/unistd_64.h, asm/unistd_32.h, asm-generic/unistd.h as arm64 sees it), with the calls of later kernels added:
//! since number 424 they are the same everywhere.

use std::collections::HashMap;
use std::sync::OnceLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    I386,
    Aarch64,
}

impl Abi {
    /// `AUDIT_ARCH_*` of linux/audit.h.
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    pub fn table(self) -> &'static HashMap<&'static str, u32> {
        static TABLES: [OnceLock<HashMap<&'static str, u32>>; 3] = [const { OnceLock::new() }; 3];
        let text = match self {
            Self::X86_64 => include_str!("tables/x86_64.txt"),
            Self::I386 => include_str!("tables/i386.txt"),
            Self::Aarch64 => include_str!("tables/aarch64.txt"),
        };
        TABLES[self as usize].get_or_init(|| parse(text))
    }
}

fn parse(text: &'static str) -> HashMap<&'static str, u32> {
    let word = |word: &'static str| {
        let (number, name) = word.split_once(':')?;
        Some((name, number.parse().ok()?))
    };
    text.split_whitespace().filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_whole() {
        for (abi, count) in [(Abi::X86_64, 382), (Abi::I386, 459), (Abi::Aarch64, 325)] {
            assert_eq!(abi.table().len(), count, "{abi:?}");
            assert_eq!(abi.table()["mseal"], 462);
        }
        #[cfg(target_arch = "x86_64")]
        let table = Abi::X86_64.table();
        #[cfg(target_arch = "aarch64")]
        let table = Abi::Aarch64.table();
        for (name, number) in [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("openat2", libc::SYS_openat2),
            ("bpf", libc::SYS_bpf),
            ("ptrace", libc::SYS_ptrace),
            ("futex_waitv", libc::SYS_futex_waitv),
            ("finit_module", libc::SYS_finit_module),
        ] {
            assert_eq!(i64::from(table[name]), number, "{name}");
        }
    }
}
