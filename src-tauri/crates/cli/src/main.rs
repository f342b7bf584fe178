//! `cubby`: the machine's command line.
//!
//! Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage, 3 the machine is not running. What is meant for
//! programs goes to stdout, what is meant for people about it to stderr.

mod args;
mod commands;
mod failure;
mod show;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    if matches!(args.command, Command::Daemon) {
        // Before any thread exists: a session of its own, so that closing the terminal does not end the machine.
        cubby_host::local::leave_terminal();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => return Failure::failed(format!("no threads: {err}")).report(),
    };
    let done = runtime.block_on(commands::run(args));
    // A blocked helper thread must not hold the process up.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
