//! `cubby autostart`.

use cubby_host::autostart::{self, Command};
use cubby_host::daemon;
use cubby_host::dirs::Dirs;

use crate::args::Autostart;
use crate::failure::Failure;
use crate::say;

pub fn run(dirs: &Dirs, command: Autostart) -> Result<(), Failure> {
    let autostart = autostart::Autostart::of_process()
        .ok_or_else(|| Failure::failed("no home directory: set HOME or XDG_CONFIG_HOME"))?;
    match command {
        Autostart::Enable => {
            let command = Command { program: daemon::program(), profile: dirs.profile.clone() };
            let path = autostart.enable(&command)?;
            eprintln!("The machine starts at login ({}).", path.display());
        }
        Autostart::Disable => {
            autostart.disable(&dirs.profile)?;
            eprintln!("The machine does not start at login.");
        }
        Autostart::Status => {
            let word = if autostart.is_enabled(&dirs.profile) { "enabled" } else { "disabled" };
            say!("autostart    {word}");
        }
    }
    Ok(())
}
