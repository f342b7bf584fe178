//! The plan as the framework's objects.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use objc2::AnyThread;
use objc2::rc::Retained;
use objc2_foundation::{NSArray, NSError, NSFileHandle, NSString, NSURL};
use objc2_virtualization::*;

use super::explain;
use super::plan::{Limits, Plan};

/// An `NSError` as ours.
pub fn error(err: &NSError) -> io::Error {
    explain::error(&err.domain().to_string(), err.code(), &err.localizedDescription().to_string())
}

/// What the system allows.
pub fn limits() -> Limits {
    // SAFETY: class methods without arguments or preconditions.
    unsafe {
        let cpus = (
            VZVirtualMachineConfiguration::minimumAllowedCPUCount(),
            VZVirtualMachineConfiguration::maximumAllowedCPUCount(),
        );
        let memory_bytes = (
            VZVirtualMachineConfiguration::minimumAllowedMemorySize(),
            VZVirtualMachineConfiguration::maximumAllowedMemorySize(),
        );
        Limits { cpus: (small(cpus.0), small(cpus.1)), memory_bytes, rosetta: rosetta_is_installed() }
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(target_arch = "aarch64")]
fn rosetta_is_installed() -> bool {
    // SAFETY: a class method without arguments or preconditions (macOS 13).
    unsafe { VZLinuxRosettaDirectoryShare::availability() == VZLinuxRosettaAvailability::Installed }
}

/// An Intel Mac runs amd64 programs by itself.
#[cfg(not(target_arch = "aarch64"))]
fn rosetta_is_installed() -> bool {
    false
}

/// The configuration, checked by the framework. The guest's console is written to `console`.
pub fn build(plan: &Plan, console: OwnedFd) -> io::Result<Retained<VZVirtualMachineConfiguration>> {
    // SAFETY: every call below is an initialiser or a setter with arguments of the types that its declaration names;
    // the objects are used on this thread only until the machine is made from them.
    unsafe {
        let configuration = VZVirtualMachineConfiguration::new();
        configuration.setPlatform(&VZGenericPlatformConfiguration::new());
        configuration.setBootLoader(Some(&boot_loader(plan)));
        configuration.setCPUCount(plan.cpus as usize);
        configuration.setMemorySize(plan.memory_bytes);
        configuration.setStorageDevices(&NSArray::from_retained_slice(&[disk(&plan.disk)?]));
        configuration.setSerialPorts(&NSArray::from_retained_slice(&[serial_port(console)]));
        configuration.setNetworkDevices(&NSArray::from_retained_slice(&[network()]));
        configuration.setEntropyDevices(&NSArray::from_retained_slice(&[Retained::into_super(
            VZVirtioEntropyDeviceConfiguration::new(),
        )]));
        configuration.setMemoryBalloonDevices(&NSArray::from_retained_slice(&[Retained::into_super(
            VZVirtioTraditionalMemoryBalloonDeviceConfiguration::new(),
        )]));
        configuration.setSocketDevices(&NSArray::from_retained_slice(&[Retained::into_super(
            VZVirtioSocketDeviceConfiguration::new(),
        )]));
        configuration.setDirectorySharingDevices(&NSArray::from_retained_slice(&shares(plan)?));
        configuration.validateWithError().map_err(|err| error(&err))?;
        Ok(configuration)
    }
}

fn url(path: &Path) -> Retained<NSURL> {
    NSURL::fileURLWithPath(&NSString::from_str(&path.to_string_lossy()))
}

/// # Safety
/// As [`build`]: initialisers and setters only.
unsafe fn boot_loader(plan: &Plan) -> Retained<VZBootLoader> {
    // SAFETY: see above.
    unsafe {
        let loader = VZLinuxBootLoader::initWithKernelURL(VZLinuxBootLoader::alloc(), &url(&plan.kernel));
        loader.setInitialRamdiskURL(Some(&url(&plan.initramfs)));
        loader.setCommandLine(&NSString::from_str(&plan.command_line));
        Retained::into_super(loader)
    }
}

/// # Safety
/// As [`build`].
unsafe fn disk(path: &Path) -> io::Result<Retained<VZStorageDeviceConfiguration>> {
    // Why cached with fsync: the guest's flushes become fsync on the file. `Full` (F_FULLFSYNC) costs tens of milliseconds
    // for each, and `Automatic` chooses uncached reads, with which Linux guests saw damaged filesystems on Apple silicon.
    // SAFETY: see above.
    unsafe {
        let attachment =
            VZDiskImageStorageDeviceAttachment::initWithURL_readOnly_cachingMode_synchronizationMode_error(
                VZDiskImageStorageDeviceAttachment::alloc(),
                &url(path),
                false,
                VZDiskImageCachingMode::Cached,
                VZDiskImageSynchronizationMode::Fsync,
            )
            .map_err(|err| error(&err))?;
        let device = VZVirtioBlockDeviceConfiguration::initWithAttachment(
            VZVirtioBlockDeviceConfiguration::alloc(),
            &attachment,
        );
        Ok(Retained::into_super(device))
    }
}

/// # Safety
/// As [`build`].
unsafe fn serial_port(console: OwnedFd) -> Retained<VZSerialPortConfiguration> {
    let console = File::from(console);
    // SAFETY: see above. The handle owns a descriptor of its own: it closes it when the last user is gone.
    unsafe {
        let fd = libc::dup(console.as_raw_fd());
        let handle = NSFileHandle::initWithFileDescriptor_closeOnDealloc(NSFileHandle::alloc(), fd, true);
        let attachment = VZFileHandleSerialPortAttachment::initWithFileHandleForReading_fileHandleForWriting(
            VZFileHandleSerialPortAttachment::alloc(),
            None,
            Some(&handle),
        );
        let port = VZVirtioConsoleDeviceSerialPortConfiguration::new();
        port.setAttachment(Some(&attachment));
        Retained::into_super(port)
    }
}

/// # Safety
/// As [`build`].
unsafe fn network() -> Retained<VZNetworkDeviceConfiguration> {
    // SAFETY: see above.
    unsafe {
        let device = VZVirtioNetworkDeviceConfiguration::new();
        device.setAttachment(Some(&VZNATNetworkDeviceAttachment::new()));
        Retained::into_super(device)
    }
}

/// # Safety
/// As [`build`].
unsafe fn shares(plan: &Plan) -> io::Result<Vec<Retained<VZDirectorySharingDeviceConfiguration>>> {
    let mut devices = Vec::new();
    // SAFETY: see above.
    unsafe {
        for (tag, path) in &plan.shares {
            let directory = VZSharedDirectory::initWithURL_readOnly(VZSharedDirectory::alloc(), &url(path), false);
            let share = VZSingleDirectoryShare::initWithDirectory(VZSingleDirectoryShare::alloc(), &directory);
            devices.push(file_system(tag, &share));
        }
        if let Some(tag) = plan.rosetta {
            let share = VZLinuxRosettaDirectoryShare::initWithError(VZLinuxRosettaDirectoryShare::alloc())
                .map_err(|err| error(&err))?;
            devices.push(file_system(tag, &share));
        }
    }
    Ok(devices)
}

/// # Safety
/// As [`build`].
unsafe fn file_system(tag: &str, share: &VZDirectoryShare) -> Retained<VZDirectorySharingDeviceConfiguration> {
    // SAFETY: see above.
    unsafe {
        let device = VZVirtioFileSystemDeviceConfiguration::initWithTag(
            VZVirtioFileSystemDeviceConfiguration::alloc(),
            &NSString::from_str(tag),
        );
        device.setShare(Some(share));
        Retained::into_super(device)
    }
}
