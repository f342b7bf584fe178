//! One file per command.

mod autostart;
mod context;
mod daemon;
mod demo;
mod doctor;
mod logs;
mod ports;
mod power;
mod status;
mod support;

use cubby_host::dirs::Dirs;

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::say;

pub async fn run(args: Args) -> Result<(), Failure> {
    let dirs = Dirs::of_process(&args.profile)?;
    match args.command {
        Command::Up { json } => power::up(&dirs, json).await,
        Command::Down => power::down(&dirs).await,
        Command::Restart { json } => power::restart(&dirs, json).await,
        Command::Status { json } => status::run(&dirs, json).await,
        Command::Doctor { json } => doctor::run(&dirs, json).await,
        Command::Support { output } => support::run(&dirs, output).await,
        Command::Autostart(command) => autostart::run(&dirs, command),
        Command::Logs { which, follow } => logs::run(&dirs, which, follow).await,
        Command::Ports { container, json } => ports::run(&dirs, container, json).await,
        Command::Context(context) => context::run(&dirs, context),
        Command::Demo { print, port } => demo::run(&dirs, print, port).await,
        Command::Daemon => daemon::run(&dirs).await,
        Command::Version => {
            say!("cubby {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}
