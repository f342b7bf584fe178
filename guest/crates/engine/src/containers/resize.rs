//! The size of a terminal.

use std::os::fd::AsFd;

use rustix::termios::{Winsize, tcsetwinsize};

use super::Containers;
use crate::error::{Error, Result};

/// Sets the size of a terminal.
pub(crate) fn resize(pty: impl AsFd, rows: u16, cols: u16) -> Result<()> {
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(pty, size).map_err(|error| Error::system("resize the terminal", std::io::Error::from(error)))
}

impl Containers {
    pub fn resize(&self, name: &str, rows: u16, cols: u16) -> Result<()> {
        let container = self.find(name)?;
        let resized = match container.live().as_ref() {
            None => return Err(super::kill::not_running(&container.id)),
            Some(live) => match live.pumps.as_ref().and_then(|pumps| pumps.pty()) {
                Some(pty) => resize(pty, rows, cols),
                // dockerd's runtime does not mind either.
                None => Ok(()),
            },
        };
        resized?;
        let attributes = [("height", rows.to_string()), ("width", cols.to_string())];
        self.event(&container.record(), "resize", &attributes);
        Ok(())
    }
}
