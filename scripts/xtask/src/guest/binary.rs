//! Static programs for the guest: built by cargo, checked to need no loader.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::arch::Arch;
use super::files;

/// How a package is built.
pub struct Build<'a> {
    pub package: &'a str,
    pub arch: Arch,
    pub profile: &'a str,
    /// `CARGO_PROFILE_…` settings that this package needs.
    pub settings: &'a [(&'a str, &'a str)],
}

impl Build<'_> {
    /// Builds and gives the program's path.
    pub fn run(&self, root: &Path) -> anyhow::Result<PathBuf> {
        let target = self.arch.rust_target();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(root)
            .args(["build", "-p", self.package, "--target", target, "--profile", self.profile])
            .env("RUSTFLAGS", flags(root))
            .env("CARGO_TARGET_DIR", crate::target_dir(root))
            .envs(self.settings.iter().copied());
        if let Some(prefix) = self.arch.cross_prefix() {
            let name = target.replace('-', "_");
            cargo.env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), format!("{prefix}gcc"));
            cargo.env(format!("CC_{name}"), format!("{prefix}gcc")).env(format!("AR_{name}"), format!("{prefix}ar"));
            build_std(&mut cargo, target)?;
        }
        files::run(&mut cargo)?;
        let profile_dir = if self.profile == "dev" { "debug" } else { self.profile };
        let program = crate::target_dir(root).join(target).join(profile_dir).join(self.package);
        must_be_static(&files::read(&program)?).with_context(|| program.display().to_string())?;
        Ok(program)
    }
}

/// Static, with relocations packed (they are a tenth of the program otherwise), and with no absolute path of the build machine.
fn flags(root: &Path) -> String {
    let root = root.display();
    format!("-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs --remap-path-prefix={root}=.")
}

/// Lets cargo compile the standard library where none is installed for `target`: `CUBBY_BUILD_STD_RUSTC` names a compiler
/// that has its library's sources beside it.
fn build_std(cargo: &mut Command, target: &str) -> anyhow::Result<()> {
    let sysroot = PathBuf::from(files::first_line(Command::new("rustc").args(["--print", "sysroot"]))?);
    if sysroot.join("lib/rustlib").join(target).join("lib").is_dir() {
        return Ok(());
    }
    let Some(rustc) = std::env::var_os("CUBBY_BUILD_STD_RUSTC") else {
        bail!(
            "no standard library for {target}: run `rustup target add {target}`, or name a compiler with library sources in \
             CUBBY_BUILD_STD_RUSTC"
        );
    };
    cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
    Ok(())
}

/// Refuses programs that ask for a dynamic loader: the guest has none. Source: elf(5).
fn must_be_static(program: &[u8]) -> anyhow::Result<()> {
    const PT_INTERP: u32 = 3;
    let half = |at: usize| program.get(at..at + 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let header = program.get(32..40).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let (Some(b"\x7fELF\x02\x01"), Some(at), Some(size), Some(count)) = (program.get(..6), header, half(54), half(56))
    else {
        bail!("no 64-bit ELF program");
    };
    for number in 0..usize::from(count) {
        let at = usize::try_from(at)? + number * usize::from(size);
        let kind = program.get(at..at + 4).context("the program's headers are cut off")?;
        if kind == PT_INTERP.to_le_bytes() {
            bail!("the program needs a dynamic loader");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_is_refused() {
        let this_test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(must_be_static(&this_test).unwrap_err().to_string(), "the program needs a dynamic loader");
        assert!(must_be_static(b"#!/bin/sh").is_err());
    }
}
