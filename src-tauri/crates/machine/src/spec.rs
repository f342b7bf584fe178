//! What a machine shall be.

use std::path::PathBuf;

use cubby_share_device::Folders;

use crate::image::GuestImage;

/// Everything that a backend needs to know. Paths are absolute.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// For logs and process titles; `default` for most people.
    pub name: String,
    /// Private directory (0700) for the machine's sockets, with a short path: socket names are limited to 107 bytes.
    pub runtime_dir: PathBuf,
    pub image: GuestImage,
    /// Appended to the image's own kernel command line.
    pub extra_cmdline: String,
    pub cpus: u32,
    pub memory_mib: u32,
    pub data_disk: DataDisk,
    /// Folders of the host that containers may have. None: the guest gets no device for them.
    pub shares: Folders,
    /// The newest console text; older text is in `<console_log>.1` and so on.
    pub console_log: PathBuf,
}

/// The one disk of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDisk {
    pub path: PathBuf,
    /// Size the guest shall see. A disk that is larger already stays as it is.
    pub size_bytes: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::image::Arch;

    /// A machine for tests of what is made of it, with awkward names.
    pub fn spec() -> MachineSpec {
        let cmdline = "console=hvc0 quiet";
        MachineSpec {
            name: "a,b".into(),
            runtime_dir: "/run/cubby".into(),
            image: GuestImage::of_files(Arch::X86_64, "/img/ker,nel", "/img/initramfs", "/img/data.zst", cmdline),
            extra_cmdline: "loglevel=7".into(),
            cpus: 2,
            memory_mib: 1024,
            data_disk: DataDisk { path: "/home/jo,e/data.raw".into(), size_bytes: 1 << 30 },
            shares: Folders::default(),
            console_log: "/log/console.log".into(),
        }
    }
}
