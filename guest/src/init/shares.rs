//! The host's shared folders, mounted where only the engine sees them: one device for all of them where the device is ours
//! (QEMU), one server for each where it is the hypervisor's.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use cubby_engine::host_files::ROOT;
use cubby_wire::files::SHARES_TAG;
use cubby_wire::ports;
use rustix::mount::{MountFlags, mount};
use vsock::VsockStream;

use super::cmdline::{Cmdline, Folder, Server};
use super::console;

/// Where Apple's translator lies.
const ROSETTA: &str = "/run/rosetta";

/// ELF programs for amd64, run by the translator, which the kernel opens at once (F) so that every root has it.
/// Source: Apple, "Running Intel Binaries in Linux VMs with Rosetta"; the kernel's binfmt-misc.rst.
const ROSETTA_FORMAT: &str = concat!(
    ":rosetta:M::",
    r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00:",
    r"\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:",
    "/run/rosetta/rosetta:CF"
);

const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Mounts what the hypervisor has. What cannot be mounted is told on the console, and containers cannot have it.
pub fn mount_all(cmdline: &Cmdline) {
    if cmdline.folders.is_empty() && cmdline.rosetta.is_none() {
        mount_one_for_all();
    }
    for folder in &cmdline.folders {
        if let Err(err) = mount_folder(folder) {
            console::say(&format!("init: shared folder {}: {err}", folder.path.display()));
        }
    }
    if let Some(tag) = &cmdline.rosetta
        && let Err(err) = set_up_rosetta(tag)
    {
        console::say(&format!("init: programs for amd64 will not run: {err}"));
    }
}

fn mount_folder(folder: &Folder) -> io::Result<()> {
    let relative = folder.path.strip_prefix("/").unwrap_or(&folder.path);
    let target = Path::new(ROOT).join(relative);
    fs::create_dir_all(&target)?;
    match &folder.server {
        Server::VirtioFs { tag } => mount(tag.as_str(), &target, "virtiofs", FLAGS, None)?,
        Server::Plan9 { port, name } => {
            let stream = VsockStream::connect_with_cid_port(ports::HOST_CID, *port)?;
            let fd = stream.as_raw_fd();
            // The kernel takes the connection over; ours is closed at the end. Source: the kernel's 9p.rst.
            let options =
                format!("trans=fd,rfdno={fd},wfdno={fd},version=9p2000.L,msize=65536,cache=mmap,aname={name}");
            let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
            mount(name.as_str(), &target, "9p", FLAGS, Some(options.as_c_str()))?;
        }
    }
    Ok(())
}

fn set_up_rosetta(tag: &str) -> io::Result<()> {
    const FORMATS: &str = "/proc/sys/fs/binfmt_misc";
    fs::create_dir_all(ROSETTA)?;
    mount(tag, ROSETTA, "virtiofs", MountFlags::NODEV | MountFlags::RDONLY, None)?;
    if !Path::new(FORMATS).join("register").exists() {
        mount("binfmt_misc", FORMATS, "binfmt_misc", FLAGS, None)?;
    }
    fs::write(Path::new(FORMATS).join("register"), ROSETTA_FORMAT)
}

/// A machine without shared folders has no device for them and works all the same.
fn mount_one_for_all() {
    let devices = Path::new("/sys/bus/virtio/drivers/virtiofs");
    let has_device = fs::read_dir(devices).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|e| e.file_name().as_encoded_bytes().starts_with(b"virtio")))
    });
    if !has_device {
        return;
    }
    let mounted = fs::create_dir_all(ROOT).and_then(|()| Ok(mount(SHARES_TAG, ROOT, "virtiofs", FLAGS, None)?));
    if let Err(err) = mounted {
        console::say(&format!("init: the shared folders could not be mounted: {err}"));
    }
}
