//! The QEMU binary: where it is, what it is, and what to install when it is not there.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::hypervisor::ProbeError;
use crate::image::Arch;

/// File name of the small firmware among QEMU's data.
pub const QBOOT: &str = "qboot.rom";

/// A QEMU that answered `--version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub path: PathBuf,
    /// The first line it says about itself.
    pub version: String,
    /// It brings the small firmware that only boots kernels.
    pub qboot: bool,
}

impl Program {
    /// The system emulator for `arch` on PATH.
    pub async fn on_path(arch: Arch) -> Result<Program, ProbeError> {
        let name = format!("qemu-system-{}", arch.as_str());
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        // Why more: an app started from a desktop has a shorter PATH than a shell.
        let extra = ["/usr/local/bin", "/usr/bin", "/usr/libexec"].map(PathBuf::from);
        let found =
            std::env::split_paths(&dirs).chain(extra).map(|dir| dir.join(&name)).find(|path| is_executable(path));
        match found {
            Some(path) => Program::at(&path).await,
            None => Err(ProbeError::Missing { remedy: remedy(arch, &os_release()), program: name }),
        }
    }

    /// The binary at `path`.
    pub async fn at(path: &Path) -> Result<Program, ProbeError> {
        let (version, dirs) = tokio::join!(ask(path, &["--version"]), ask(path, &["-L", "help"]));
        let has_qboot = |dirs: String| dirs.lines().any(|dir| Path::new(dir.trim()).join(QBOOT).is_file());
        let qboot = dirs.is_ok_and(has_qboot);
        Ok(Program { path: path.to_owned(), version: first_line(&version?), qboot })
    }
}

/// What `program` prints when called with `args`.
async fn ask(program: &Path, args: &[&str]) -> Result<String, ProbeError> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|source| ProbeError::Unusable { program: program.to_owned(), source })?;
    if !output.status.success() {
        let said = first_line(&String::from_utf8_lossy(&output.stderr));
        return Err(ProbeError::Failed { program: program.to_owned(), said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}

fn os_release() -> String {
    std::fs::read_to_string("/etc/os-release").unwrap_or_default()
}

/// The command that installs QEMU here.
fn remedy(arch: Arch, os_release: &str) -> String {
    let field = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let family = format!(" {} {} ", field("ID"), field("ID_LIKE"));
    let is = |names: &[&str]| names.iter().any(|name| family.contains(&format!(" {name} ")));
    let x86 = arch == Arch::X86_64;
    if is(&["debian", "ubuntu"]) {
        format!("sudo apt install {}", if x86 { "qemu-system-x86" } else { "qemu-system-arm" })
    } else if is(&["fedora", "rhel", "centos"]) {
        format!("sudo dnf install {}", if x86 { "qemu-system-x86-core" } else { "qemu-system-aarch64-core" })
    } else if is(&["arch"]) {
        format!("sudo pacman -S {}", if x86 { "qemu-system-x86" } else { "qemu-system-aarch64" })
    } else if is(&["suse", "opensuse"]) {
        format!("sudo zypper install {}", if x86 { "qemu-x86" } else { "qemu-arm" })
    } else if is(&["alpine"]) {
        format!("sudo apk add qemu-system-{}", arch.as_str())
    } else if is(&["nixos"]) {
        "add pkgs.qemu to your configuration".to_owned()
    } else {
        format!("install QEMU with its system emulator for {}", arch.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_fits_the_distribution() {
        let cases = [
            ("ID=debian\n", "sudo apt install qemu-system-x86"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "sudo apt install qemu-system-x86"),
            ("ID=fedora\n", "sudo dnf install qemu-system-x86-core"),
            ("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n", "sudo zypper install qemu-x86"),
            ("ID=endeavouros\nID_LIKE=arch\n", "sudo pacman -S qemu-system-x86"),
            ("", "install QEMU with its system emulator for x86_64"),
        ];
        for (os_release, command) in cases {
            assert_eq!(remedy(Arch::X86_64, os_release), command, "{os_release}");
        }
        assert_eq!(remedy(Arch::Aarch64, "ID=debian\n"), "sudo apt install qemu-system-arm");
    }

    #[tokio::test]
    async fn something_that_is_no_qemu_is_reported_with_its_words() {
        let err = Program::at(Path::new("/bin/false")).await.unwrap_err();
        assert!(matches!(err, ProbeError::Failed { .. }), "{err}");
        let err = Program::at(Path::new("/nonexistent/qemu")).await.unwrap_err();
        assert!(matches!(err, ProbeError::Unusable { .. }), "{err}");
    }
}
