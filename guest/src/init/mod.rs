//! Pid 1 of the guest.
//!
//! 1. makes the machine usable: kernel filesystems, cgroups, sysctls, network, the data disk;
//! 2. starts the engine, and starts it again when it dies;
//! 3. is the *keeper*: parent of every container process, whatever happens to the engine;
//! 4. ends the machine: kills, unmounts, powers off.
//!
//! ```text
//!  kernel ─▶ Init ─▶ Disk ─▶ Engine ─▶ Ready ─▶ power off (engine exits 75) or restart (76)
//!              │       │        ▲  └──────┬─▶ engine died: back-off, Engine again
//!              └───────┴─▶ Failed{reason}, power off
//! ```
//!
//! Every stage is told to the host over vsock and to the console; a host that does not listen changes nothing.
//!
//! Invariants: one thread; never dies silently (a panic is printed and ends the machine); nothing after start-up blocks,
//! because a blocked pid 1 is a blocked container start.

mod cgroups;
mod clock_watch;
mod cmdline;
mod console;
mod disk;
mod engine_process;
mod host_link;
mod kernel_files;
mod netlink;
mod network;
mod power;
mod power_button;
mod shares;
mod supervise;
mod sysctls;

use std::ffi::OsStr;
use std::path::Path;

use cubby_wire::boot::{BootMessage, Stage};

use self::cmdline::Cmdline;
use self::host_link::HostLink;

/// Where the data filesystem is mounted.
const DATA_ROOT: &str = "/var/lib/cubby";
/// Everything volatile of the engine and the keeper.
const RUN_DIR: &str = "/run/cubby";

/// Whether this process was started by the kernel as the guest's first. An engine that is pid 1 of a mere container is not.
pub fn is_wanted(argv0: Option<&OsStr>) -> bool {
    std::process::id() == 1 && argv0.is_some_and(|name| Path::new(name).file_name() == Some(OsStr::new("init")))
}

/// Runs the machine until its power goes.
pub fn main() -> ! {
    console::never_die_silently();
    if std::process::id() != 1 {
        console::say("init: refused: only the guest's kernel starts this, as pid 1");
        std::process::exit(1);
    }
    let mut link = HostLink::default();
    match bring_up(&mut link) {
        Ok(()) => {}
        Err((stage, reason)) => {
            console::say(&format!("init: {stage:?} failed: {reason}"));
            link.send(BootMessage::Failed { stage, reason });
            link.drain();
            power::off(power::End::PowerOff);
        }
    }
    let end = supervise::run(&mut link);
    link.drain();
    power::off(end)
}

fn bring_up(link: &mut HostLink) -> Result<(), (Stage, String)> {
    let init = |what: &str, result: std::io::Result<()>| result.map_err(|err| (Stage::Init, format!("{what}: {err}")));
    init("the root could not be made ready for containers", kernel_files::own_root())?;
    init("the kernel's filesystems could not be mounted", kernel_files::mount())?;
    let cmdline = Cmdline::read();
    link.open();
    link.send(BootMessage::Hello {
        protocol: cubby_wire::PROTOCOL_VERSION,
        guest_version: env!("CARGO_PKG_VERSION").into(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
    });
    init("cgroups could not be set up", cgroups::set_up())?;
    sysctls::set();
    if let Err(err) = network::up(&cmdline) {
        // Why: a machine without a way out still runs every container that needs none, and can say what is wrong.
        console::say(&format!("init: network: {err}"));
    }
    shares::mount_all(&cmdline);
    reached(link, Stage::Init);
    disk::mount(&cmdline, Path::new(DATA_ROOT)).map_err(|err| (Stage::Disk, err.to_string()))?;
    reached(link, Stage::Disk);
    Ok(())
}

/// Tells the host and the console.
fn reached(link: &mut HostLink, stage: Stage) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let clock_us = u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000;
    console::say(&format!("init: {stage:?} at {}.{:03} s", clock_us / 1_000_000, clock_us / 1000 % 1000));
    link.send(BootMessage::Stage { stage, clock_us });
}
