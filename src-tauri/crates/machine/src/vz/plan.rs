//! What the machine shall have, within what the system allows.

use std::path::{Path, PathBuf};

use crate::guest_words;
use crate::spec::MachineSpec;

const MIB: u64 = 1 << 20;

/// What the system allows, as the framework tells it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub cpus: (u32, u32),
    pub memory_bytes: (u64, u64),
    /// Apple silicon with Rosetta installed.
    pub rosetta: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
    pub command_line: String,
    pub cpus: u32,
    /// A multiple of a mebibyte, which the framework insists on.
    pub memory_bytes: u64,
    pub disk: PathBuf,
    /// A virtio-fs device each.
    pub shares: Vec<(String, PathBuf)>,
    /// The tag of the share with Apple's translator.
    pub rosetta: Option<&'static str>,
}

impl Plan {
    pub fn of(spec: &MachineSpec, limits: Limits) -> Plan {
        let shares: Vec<(String, PathBuf)> =
            spec.shares.iter().enumerate().map(|(at, path)| (format!("share{at}"), path.to_owned())).collect();
        let rosetta = limits.rosetta.then_some(guest_words::ROSETTA_TAG);
        // The framework's NAT hands out addresses by DHCP only; the kernel asks.
        let mut words = vec![spec.image.cmdline.trim().to_owned(), "ip=dhcp cubby.net=kernel".to_owned()];
        words.extend(shares.iter().map(|(tag, path)| guest_words::share(tag, &path_text(path))));
        words.extend(rosetta.map(guest_words::rosetta));
        words.push(spec.extra_cmdline.trim().to_owned());
        words.retain(|word| !word.is_empty());
        let memory_bytes = (u64::from(spec.memory_mib) * MIB).clamp(limits.memory_bytes.0, limits.memory_bytes.1);
        Plan {
            kernel: spec.image.kernel.clone(),
            initramfs: spec.image.initramfs.clone(),
            command_line: words.join(" "),
            cpus: spec.cpus.clamp(limits.cpus.0, limits.cpus.1),
            memory_bytes: memory_bytes / MIB * MIB,
            disk: spec.data_disk.path.clone(),
            shares,
            rosetta,
        }
    }
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::spec::tests::spec;

    const LIMITS: Limits = Limits { cpus: (1, 4), memory_bytes: (128 * MIB, 4096 * MIB + 5), rosetta: true };

    #[test]
    fn what_is_asked_stays_within_what_the_system_allows() {
        let mut spec = spec();
        (spec.cpus, spec.memory_mib) = (64, 1 << 20);
        let plan = Plan::of(&spec, LIMITS);
        assert_eq!((plan.cpus, plan.memory_bytes), (4, 4096 * MIB));
        (spec.cpus, spec.memory_mib) = (0, 1);
        let plan = Plan::of(&spec, LIMITS);
        assert_eq!((plan.cpus, plan.memory_bytes), (1, 128 * MIB));
    }

    #[test]
    fn the_kernel_is_told_of_network_shares_and_rosetta() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap().join("a b");
        std::fs::create_dir(&folder).unwrap();
        let mut spec = spec();
        spec.shares = crate::Folders::new([folder.clone()]).0;
        let plan = Plan::of(&spec, LIMITS);
        let text = folder.to_string_lossy().replace(' ', "%20");
        assert_eq!(
            plan.command_line,
            format!(
                "console=hvc0 quiet ip=dhcp cubby.net=kernel cubby.share=share0:{text} cubby.rosetta=cubby-rosetta loglevel=7"
            )
        );
        assert_eq!(plan.shares, [("share0".to_owned(), folder)]);
        let none = Plan::of(&spec, Limits { rosetta: false, ..LIMITS });
        assert_eq!(none.rosetta, None);
        assert!(!none.command_line.contains("rosetta"));
    }
}
