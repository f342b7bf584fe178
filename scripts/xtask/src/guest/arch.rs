//! The architectures that a guest may have, and what each tool calls them.

use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    #[value(name = "x86_64")]
    X86_64,
    #[value(name = "aarch64")]
    Aarch64,
}

impl Arch {
    /// This machine's; x86_64 where the guest is not made for it.
    pub fn host() -> Arch {
        if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 }
    }

    pub fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }

    /// Docker's word for it.
    pub fn oci(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::Aarch64 => "arm64",
        }
    }

    pub fn rust_target(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-unknown-linux-gnu",
            Arch::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// `ARCH=` of the kernel's makefiles.
    pub fn kernel_arch(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "arm64",
        }
    }

    /// The kernel's make target, and where it leaves its result. arm64's is uncompressed: Virtualization.framework takes no other.
    pub fn kernel_image(self) -> (&'static str, &'static str) {
        match self {
            Arch::X86_64 => ("bzImage", "arch/x86/boot/bzImage"),
            Arch::Aarch64 => ("Image", "arch/arm64/boot/Image"),
        }
    }

    /// Prefix of the compiler's name when built on another architecture.
    pub fn cross_prefix(self) -> Option<&'static str> {
        (self != Arch::host()).then_some(match self {
            Arch::X86_64 => "x86_64-linux-gnu-",
            Arch::Aarch64 => "aarch64-linux-gnu-",
        })
    }
}

/// `guest/image` of the source tree.
pub fn image_sources(root: &Path) -> PathBuf {
    root.join("guest/image")
}

/// Where the built image goes.
pub fn output_dir(root: &Path, arch: Arch) -> PathBuf {
    crate::target_dir(root).join("guest").join(arch.name())
}
