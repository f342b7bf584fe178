//! `cubbyd`: pid 1 of the guest, the container engine, and natively its keeper. See `guest/ARCHITECTURE.md`.

mod clean;
mod control;
mod durable;
mod engine;
mod ext4;
mod figures;
mod file_events;
mod from_host;
mod give_back;
mod init;
mod listen;
mod publish;
mod registries;
mod watched;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cubbyd", version, about = "Cubby's container engine: speaks the Docker Engine API")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the Docker Engine API in the foreground
    Engine(engine::Arguments),
    /// Take away what a killed native engine left: processes, mounts, networks, control groups, its run dir
    Clean(clean::Arguments),
    /// Keep a native engine's container processes: started by the engine only
    #[command(hide = true)]
    Keeper {
        /// Socket to serve the engine on
        #[arg(long)]
        socket: std::path::PathBuf,
    },
    /// Pid 1 of Cubby's guest: started by its kernel only
    #[command(hide = true)]
    Init,
}

fn main() -> ExitCode {
    if init::is_wanted(std::env::args_os().next().as_deref()) {
        init::main();
    }
    match Arguments::parse().command {
        Command::Engine(arguments) => engine::main(arguments),
        Command::Clean(arguments) => clean::main(arguments),
        Command::Keeper { socket } => cubby_runtime::keeper::run(&socket),
        Command::Init => init::main(),
    }
}
