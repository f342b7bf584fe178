//! The app at login, without its window: the icon beside the clock is there, and news reach the desktop.

use anyhow::Context;
use cubby_host::autostart::{Autostart, Command};

/// Starts without a window.
pub const HIDDEN: &str = "--hidden";

fn profile() -> String {
    std::env::var("CUBBY_PROFILE").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
}

/// `None`: it is not known how, on this system.
pub fn is_on() -> Option<bool> {
    Some(Autostart::of_process()?.is_app_enabled(&profile()))
}

pub fn set(on: bool) -> anyhow::Result<()> {
    let autostart = Autostart::of_process().context("it is not known how on this system")?;
    if !on {
        return autostart.disable_app(&profile()).context("the entry cannot be removed");
    }
    // An AppImage is mounted anew at every start; its own path is in the environment.
    let image = std::env::var_os("APPIMAGE").map(std::path::PathBuf::from);
    let program = image.map_or_else(std::env::current_exe, Ok).context("the app's own program cannot be found")?;
    let command = Command { program, profile: profile() };
    autostart.enable_app(&command, HIDDEN).context("the entry cannot be written")?;
    Ok(())
}
