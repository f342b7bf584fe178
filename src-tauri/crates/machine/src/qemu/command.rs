//! QEMU's command line for one machine.
//!
//! The smallest set of devices that a machine needs, each on PCI. Names of sockets are relative to QEMU's working
//! directory, the machine's runtime directory, so that no path runs into the length limit of Unix sockets; other paths
//! are given where QEMU takes them verbatim (JSON, or an option of their own), so that commas in them mean nothing.

use std::ffi::OsString;
use std::path::Path;

use serde_json::json;

use super::find::{Program, QBOOT};
use crate::hypervisor::Accelerator;
use crate::image::Arch;
use crate::spec::MachineSpec;

/// Name of the vhost-user socket in the runtime directory.
pub const VSOCK_SOCKET: &str = "vsock.sock";
/// The same for the shared folders' device.
pub const SHARES_SOCKET: &str = "shares.sock";
/// The node of the data disk, as QMP events name it.
pub const DISK_NODE: &str = "data";
/// The guest's context id. Every machine has its own device, so all can have the same.
pub const GUEST_CID: u64 = 3;

/// A full machine. `qmp_fd` is inherited.
pub fn machine(spec: &MachineSpec, program: &Program, accelerator: Accelerator, qmp_fd: i32) -> Vec<OsString> {
    let mut args = Args::default();
    base(&mut args, program, spec.image.arch, accelerator, spec.cpus, spec.memory_mib);
    args.pair("-name", format!("cubby-{}", spec.name.replace(',', "_")));
    kernel(&mut args, &spec.image.kernel, &command_line(spec, accelerator));
    args.path("-initrd", &spec.image.initramfs);
    qmp(&mut args, qmp_fd);
    console(&mut args);
    disk(&mut args, &spec.data_disk.path);
    vsock(&mut args);
    if !spec.shares.is_empty() {
        shares(&mut args);
    }
    network(&mut args);
    args.pair("-object", "rng-random,id=rng,filename=/dev/urandom");
    args.pair("-device", "virtio-rng-pci,rng=rng");
    args.pair("-device", "virtio-balloon-pci,free-page-reporting=on,deflate-on-oom=on");
    args.pair("-device", "pvpanic-pci");
    args.0
}

/// Only the kernel and a console: enough to see whether the guest's instructions are executed.
pub fn probe(program: &Program, arch: Arch, kernel_path: &Path, accelerator: Accelerator) -> Vec<OsString> {
    let mut args = Args::default();
    base(&mut args, program, arch, accelerator, 1, 256);
    kernel(&mut args, kernel_path, "console=hvc0 panic=-1");
    console(&mut args);
    args.0
}

/// Why the size: QEMU's own bound for translated code is a gibibyte, which is never given back.
const TCG: &str = "tcg,thread=multi,tb-size=64";

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn flag(&mut self, flag: &str) {
        self.0.push(flag.into());
    }

    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.push(option.into());
        self.0.push(value.into());
    }

    fn path(&mut self, option: &str, path: &Path) {
        self.pair(option, path);
    }
}

fn base(args: &mut Args, program: &Program, arch: Arch, accelerator: Accelerator, cpus: u32, memory_mib: u32) {
    args.flag("-nodefaults");
    args.flag("-no-user-config");
    args.flag("-no-reboot");
    args.pair("-display", "none");
    args.pair("-serial", "none");
    args.pair("-parallel", "none");
    args.pair("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    // Why shared: the vsock device in our process reads and writes the guest's memory.
    args.pair("-object", format!("memory-backend-memfd,id=memory,size={memory_mib}M,share=on"));
    args.pair("-m", format!("{memory_mib}M"));
    args.pair("-smp", format!("{cpus}"));
    args.pair("-machine", machine_type(arch));
    if program.qboot && arch == Arch::X86_64 {
        // Why: SeaBIOS spends a fifth of the boot under TCG on devices that we do not have.
        args.pair("-bios", QBOOT);
    }
    args.pair("-accel", if accelerator == Accelerator::Kvm { "kvm" } else { TCG });
    args.pair("-cpu", processor(arch, accelerator));
}

fn processor(arch: Arch, accelerator: Accelerator) -> &'static str {
    match (accelerator, arch) {
        (Accelerator::Kvm, _) => "host",
        // Why: emulating the real pointer-authentication cipher halves the speed and protects nothing here.
        (_, Arch::Aarch64) => "max,pauth-impdef=on",
        (_, Arch::X86_64) => "max",
    }
}

fn machine_type(arch: Arch) -> &'static str {
    match arch {
        // Everything off that direct boot does not need; docs/adr/0002-machine-type.md has the measurements.
        // Why the HPET: on a busy host under TCG it is the only clock that the guest can measure its TSC by; without
        // it many boots end up with 4 ms of clock resolution.
        Arch::X86_64 => "q35,memory-backend=memory,vmport=off,smm=off,hpet=on,usb=off,graphics=off",
        Arch::Aarch64 => "virt,memory-backend=memory,gic-version=max,usb=off,graphics=off",
    }
}

fn kernel(args: &mut Args, path: &Path, command_line: &str) {
    args.path("-kernel", path);
    args.pair("-append", command_line);
}

/// Why every page is cleared before it is used, in emulation: the device of the shared folders writes into the guest's
/// memory behind the emulator's back, which goes on executing what it had translated of that page before. A program in a
/// shared folder crashed. A page that the guest's processor writes to is translated anew.
const CLEAR_PAGES: &str = "init_on_alloc=1";

fn command_line(spec: &MachineSpec, accelerator: Accelerator) -> String {
    let cleared = accelerator == Accelerator::Tcg && !spec.shares.is_empty();
    let words = [spec.image.cmdline.trim(), if cleared { CLEAR_PAGES } else { "" }, spec.extra_cmdline.trim()];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn qmp(args: &mut Args, fd: i32) {
    args.pair("-chardev", format!("socket,id=qmp,fd={fd}"));
    args.pair("-mon", "chardev=qmp,mode=control");
}

fn console(args: &mut Args) {
    args.pair("-chardev", "stdio,id=console,signal=off");
    args.pair("-device", "virtio-serial-pci,max_ports=1");
    args.pair("-device", "virtconsole,chardev=console");
}

fn disk(args: &mut Args, path: &Path) {
    // Why writeback: the guest's flushes become fdatasync on the file, so a power cut loses nothing that the guest
    // was told is safe; everything else is the page cache's business.
    let node = json!({
        "driver": "raw",
        "node-name": DISK_NODE,
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "file": {
            "driver": "file",
            "filename": path.to_string_lossy(),
            "aio": "threads",
            "discard": "unmap",
        },
    });
    args.pair("-blockdev", node.to_string());
    args.pair("-device", format!("virtio-blk-pci,drive={DISK_NODE},write-cache=on,werror=enospc,rerror=report"));
}

fn vsock(args: &mut Args) {
    args.pair("-chardev", format!("socket,id=vsock,path={VSOCK_SOCKET}"));
    args.pair("-device", "vhost-user-vsock-pci,chardev=vsock");
}

fn shares(args: &mut Args) {
    args.pair("-chardev", format!("socket,id=shares,path={SHARES_SOCKET}"));
    args.pair(
        "-device",
        format!("vhost-user-fs-pci,chardev=shares,tag={},queue-size=1024", cubby_wire::files::SHARES_TAG),
    );
}

fn network(args: &mut Args) {
    args.pair("-netdev", "user,id=net");
    args.pair("-device", "virtio-net-pci,netdev=net,romfile=");
}

#[cfg(test)]
mod tests {
    use cubby_share_device::Folders;

    use super::*;
    use crate::spec::tests::spec;

    fn args(accelerator: Accelerator) -> Vec<String> {
        args_of(&spec(), accelerator)
    }

    fn args_of(spec: &MachineSpec, accelerator: Accelerator) -> Vec<String> {
        machine(spec, &program(true), accelerator, 7).into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    fn program(qboot: bool) -> Program {
        Program { path: "/usr/bin/qemu".into(), version: String::new(), qboot }
    }

    #[test]
    fn the_small_firmware_is_used_where_there_is_one() {
        assert_eq!(values(&args(Accelerator::Tcg), "-bios"), ["qboot.rom"]);
        let without = machine(&spec(), &program(false), Accelerator::Tcg, 7);
        assert!(!without.contains(&"-bios".into()));
    }

    fn values<'a>(args: &'a [String], option: &str) -> Vec<&'a str> {
        args.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].as_str()).collect()
    }

    #[test]
    fn a_machine_has_exactly_these_devices() {
        let args = args(Accelerator::Tcg);
        let devices: Vec<_> =
            values(&args, "-device").into_iter().map(|device| device.split(',').next().unwrap()).collect();
        let wanted = [
            "virtio-serial-pci",
            "virtconsole",
            "virtio-blk-pci",
            "vhost-user-vsock-pci",
            "virtio-net-pci",
            "virtio-rng-pci",
            "virtio-balloon-pci",
            "pvpanic-pci",
        ];
        assert_eq!(devices, wanted);
    }

    #[test]
    fn folders_that_are_shared_get_a_device() {
        let dir = tempfile::tempdir().unwrap();
        let (shares, _) = Folders::new([dir.path().to_owned()]);
        let spec = MachineSpec { shares, ..spec() };
        let args = args_of(&spec, Accelerator::Tcg);
        let shared = args.iter().filter(|arg| arg.starts_with("vhost-user-fs-pci,")).count();
        assert_eq!(shared, 1);
        assert_eq!(values(&args, "-append"), ["console=hvc0 quiet init_on_alloc=1 loglevel=7"]);
        assert_eq!(values(&args_of(&spec, Accelerator::Kvm), "-append"), ["console=hvc0 quiet loglevel=7"]);
    }

    #[test]
    fn the_host_opens_no_port_and_the_guest_may_call_out() {
        let args = args(Accelerator::Tcg);
        assert_eq!(values(&args, "-netdev"), ["user,id=net"]);
        assert!(!args.iter().any(|arg| arg.contains("hostfwd") || arg.contains("tcp:") || arg.contains("vnc")));
    }

    #[test]
    fn memory_is_shared_with_the_vsock_device() {
        let args = args(Accelerator::Tcg);
        assert_eq!(values(&args, "-object")[0], "memory-backend-memfd,id=memory,size=1024M,share=on");
        assert!(values(&args, "-machine")[0].contains("memory-backend=memory"));
    }

    #[test]
    fn paths_with_commas_stay_whole() {
        let args = args(Accelerator::Tcg);
        assert_eq!(values(&args, "-kernel"), ["/img/ker,nel"]);
        let node: serde_json::Value = serde_json::from_str(values(&args, "-blockdev")[0]).unwrap();
        assert_eq!(node["file"]["filename"], "/home/jo,e/data.raw");
        assert_eq!(values(&args, "-name"), ["cubby-a_b"]);
    }

    #[test]
    fn the_accelerator_decides_the_cpu() {
        assert_eq!(values(&args(Accelerator::Kvm), "-accel"), ["kvm"]);
        assert_eq!(values(&args(Accelerator::Kvm), "-cpu"), ["host"]);
        assert_eq!(values(&args(Accelerator::Tcg), "-accel"), ["tcg,thread=multi,tb-size=64"]);
        assert_eq!(values(&args(Accelerator::Tcg), "-cpu"), ["max"]);
    }

    #[test]
    fn both_command_lines_reach_the_kernel() {
        assert_eq!(values(&args(Accelerator::Tcg), "-append"), ["console=hvc0 quiet loglevel=7"]);
    }
}
