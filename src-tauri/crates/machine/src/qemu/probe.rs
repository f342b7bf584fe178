//! Which accelerator really boots a guest here.
//!
//! `/dev/kvm` that opens proves nothing: nested and cloud hosts exist where the guest dies at its first instructions.
//! So the probe boots our own kernel under KVM, without a disk, and waits for its first words on the console. The
//! result is remembered per host kernel, QEMU, guest kernel and permission, because a failed probe takes seconds.

use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command;
use super::find::Program;
use super::process::Process;
use crate::hypervisor::{Accelerator, Capabilities};
use crate::image::{Arch, GuestImage};

/// A kernel that is executed says something well before this, even under TCG on a busy host.
const DEADLINE: Duration = Duration::from_secs(10);
/// The console is the guest's alone, so a line's worth of anything on it was written by a running kernel.
const SIGN_OF_LIFE_BYTES: usize = 32;
/// Source: QEMU accel/kvm/kvm-all.c, `kvm_handle_internal_error`.
const BROKEN: &str = "KVM internal error";
const CACHE_FILE: &str = "accelerator.json";

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Remembered {
    /// Everything that the result depends on.
    of: String,
    kvm: bool,
    reason: Option<String>,
}

/// Decides, by trying or from memory. Never fails: TCG always remains.
pub async fn probe(program: &Program, image: &GuestImage, state_dir: &Path) -> Capabilities {
    let verdict = match obstacle(image.arch) {
        Some(obstacle) => Err(obstacle),
        None => remembered_or_tried(program, image, state_dir).await,
    };
    let accelerator = if verdict.is_ok() { Accelerator::Kvm } else { Accelerator::Tcg };
    Capabilities { accelerator, version: program.version.clone(), slow_because: verdict.err() }
}

/// Why it is no use to try KVM.
fn obstacle(arch: Arch) -> Option<String> {
    if arch.as_str() != std::env::consts::ARCH {
        return Some(format!("KVM runs only {} guests here", std::env::consts::ARCH));
    }
    let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    match rustix::fs::access("/dev/kvm", access) {
        Ok(()) => None,
        Err(rustix::io::Errno::ACCESS) => {
            Some("no permission to use /dev/kvm: run `sudo usermod -aG kvm $USER` and log in again".into())
        }
        Err(_) => Some("no /dev/kvm: switch on virtualisation in the firmware, or load kvm_intel or kvm_amd".into()),
    }
}

async fn remembered_or_tried(program: &Program, image: &GuestImage, state_dir: &Path) -> Result<(), String> {
    let of = subject(program, image);
    let cache = state_dir.join(CACHE_FILE);
    let known = std::fs::read(&cache).ok().and_then(|text| serde_json::from_slice::<Remembered>(&text).ok());
    if let Some(known) = known.filter(|known| known.of == of) {
        return if known.kvm { Ok(()) } else { Err(known.reason.unwrap_or_default()) };
    }
    let verdict = boots(program, image, Accelerator::Kvm).await;
    let remembered = Remembered { of, kvm: verdict.is_ok(), reason: verdict.clone().err() };
    if let Err(err) = remember(&cache, &remembered) {
        tracing::warn!(%err, "the accelerator probe could not be remembered");
    }
    verdict
}

fn subject(program: &Program, image: &GuestImage) -> String {
    let host = rustix::system::uname();
    format!("{} | {} | {}", host.release().to_string_lossy(), program.version, image.kernel_digest())
}

fn remember(cache: &Path, remembered: &Remembered) -> std::io::Result<()> {
    let text = serde_json::to_vec_pretty(remembered)?;
    let unfinished = cache.with_extension("new");
    std::fs::write(&unfinished, text)?;
    std::fs::rename(&unfinished, cache)
}

/// Boots the kernel; the reason if it shows no sign of life.
async fn boots(program: &Program, image: &GuestImage, accelerator: Accelerator) -> Result<(), String> {
    let mut command = Command::new(&program.path);
    command.args(command::probe(program, image.arch, &image.kernel, accelerator));
    let (seen, alive) = tokio::sync::oneshot::channel();
    let mut process = Process::spawn(command, None, move |out| watch_console(out, seen))
        .map_err(|err| format!("QEMU could not be started: {err}"))?;
    let verdict = tokio::select! {
        alive = tokio::time::timeout(DEADLINE, alive) => alive.map_err(|_| "it stood still"),
        () = broke(&process) => Err(BROKEN),
    };
    process.kill();
    process.wait().await;
    match verdict {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(format!("{accelerator} does not run a guest here: {}", first_line(&process.said()))),
        Err(why) => Err(format!("{accelerator} does not run a guest here: {why}")),
    }
}

/// Returns when QEMU says that it cannot go on. It does not end by itself then: it waits for somebody to look at the guest.
async fn broke(process: &Process) {
    while !process.said().contains(BROKEN) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn watch_console(mut out: impl Read, seen: tokio::sync::oneshot::Sender<()>) {
    let mut heard = 0;
    let mut buffer = [0; 1024];
    while let Ok(n) = out.read(&mut buffer) {
        heard += n;
        if heard >= SIGN_OF_LIFE_BYTES {
            let _ = seen.send(());
            return;
        }
        // Dropping `seen` reports the end.
        if n == 0 {
            return;
        }
    }
}

fn first_line(said: &str) -> &str {
    said.lines().next().unwrap_or("it stopped without a word")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Without this, a probe that waits for the wrong words would send every KVM host to TCG and nobody would know.
    #[tokio::test]
    async fn our_kernel_shows_the_sign_of_life_where_it_runs() {
        let Some(dir) = std::env::var_os("CUBBY_GUEST_IMAGE").map(PathBuf::from) else {
            eprintln!("\n*** SKIPPED: no CUBBY_GUEST_IMAGE, the accelerator probe was not tried on a kernel ***\n");
            return;
        };
        let image = GuestImage::open(&dir).unwrap();
        let program = Program::on_path(image.arch).await.unwrap();
        boots(&program, &image, Accelerator::Tcg).await.unwrap();
        let mut no_kernel = image;
        no_kernel.kernel = no_kernel.initramfs.clone();
        assert!(boots(&program, &no_kernel, Accelerator::Tcg).await.is_err());
    }
}
