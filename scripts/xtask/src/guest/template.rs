//! The data disk's template: a small empty ext4 that the host copies and the guest grows online.
//!
//! Deterministic: fixed UUID, hash seed, time and features, whatever the build machine's `mke2fs.conf` says.

use std::process::Command;

use anyhow::Context;

use super::files;

/// Volume name by which pid 1 recognises its disk (`guest/src/init/disk.rs`).
const LABEL: &str = "cubby-data";
const UUID: &str = "c0bbed15-0000-4000-8000-000000000001";
const BLOCK_BYTES: u64 = 4096;
/// Room for the journal and little else.
const SIZE_BYTES: u64 = 256 << 20;
/// Why: a journal's size is fixed at birth; one sized for this template would slow down the disk it grows into.
const JOURNAL_MIB: u32 = 64;
/// Descriptor blocks are reserved for growth up to this size; beyond it the kernel switches to another layout by itself.
const GROWS_TO_BYTES: u64 = 4 << 40;
/// For the engine alone, so that things can be deleted on a full disk: pid 1 mounts with a `resuid` that no container has.
///
/// Why below one: growing scales it by whole per cents, so this stays the 2.5 MiB that the engine's records need.
const RESERVED_PERCENT: &str = "0.99";
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,\
huge_file,dir_nlink,extra_isize,metadata_csum";

/// Defines the types that mkfs looks up, so that it neither warns nor reads the machine's own.
const CONFIGURATION: &str = "[defaults]\n\tblocksize = 4096\n[fs_types]\n\text4 = {\n\t\tinode_size = 256\n\t}\n\tsmall = {\n\t\tinode_ratio = 16384\n\t}\n";

/// The filesystem's bytes, mostly zeroes.
pub fn build() -> anyhow::Result<Vec<u8>> {
    let scratch = tempfile::tempdir()?;
    let path = scratch.path().join("data.ext4");
    std::fs::File::create(&path)?.set_len(SIZE_BYTES)?;
    let own = scratch.path().join("mke2fs.conf");
    std::fs::write(&own, CONFIGURATION)?;
    let extended = format!(
        "hash_seed={UUID},lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0,resize={}",
        GROWS_TO_BYTES / BLOCK_BYTES
    );
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.env("MKE2FS_CONFIG", &own)
        .env("E2FSPROGS_FAKE_TIME", "1")
        .args(["-q", "-F", "-L", LABEL, "-U", UUID, "-m", RESERVED_PERCENT, "-I", "256", "-i", "16384"])
        .args(["-b", &BLOCK_BYTES.to_string(), "-J", &format!("size={JOURNAL_MIB}")])
        .args(["-O", FEATURES, "-E", &extended])
        .arg(&path);
    files::run(&mut mkfs).context("the data disk's template needs mkfs.ext4 (package e2fsprogs)")?;
    files::read(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_templates_are_equal_and_carry_the_label() {
        if Command::new("mkfs.ext4").arg("-V").output().is_err() {
            eprintln!("skipped: no mkfs.ext4");
            return;
        }
        let first = build().unwrap();
        assert_eq!(first.len() as u64, SIZE_BYTES);
        assert_eq!(&first[1024 + 0x78..][..LABEL.len()], LABEL.as_bytes());
        assert!(first == build().unwrap(), "the template depends on something besides its inputs");
    }
}
