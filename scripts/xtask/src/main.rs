//! `cargo xtask`: the one entry point behind `scripts/run` and `scripts/test`. One file per subcommand.

mod bench;
mod boots;
mod crosscheck;
mod demo;
mod guest;
mod image;
mod kernel;
mod run;
mod sizes;
mod steps;
mod test;
mod tidy;
mod windows;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs, tests and measures Cubby")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything and run it
    Run(run::Arguments),
    /// Build the guest image: kernel, initramfs, data-disk template
    Image(image::Arguments),
    /// Build the guest's kernel, or say where it is
    Kernel(kernel::Arguments),
    /// Build the demo container image
    Demo(demo::Arguments),
    /// Print sizes of what was built beside their budgets
    Sizes(sizes::Arguments),
    /// Run the tests
    Test(test::Arguments),
    /// Check habits that no other tool checks
    Tidy,
    /// Start and stop the machine many times in a row
    Boots(boots::Arguments),
    /// Type-check the host for macOS and Windows
    Crosscheck(crosscheck::Arguments),
    /// Link the host for Windows and run its unit tests under Wine
    Windows,
    /// Measure the named budgets and write tests/perf/FIGURES.md
    Bench,
}

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> anyhow::Result<()> {
    let root = workspace_root()?;
    match Arguments::parse().command {
        Command::Run(arguments) => run::main(&root, &arguments),
        Command::Image(arguments) => image::main(&root, &arguments),
        Command::Kernel(arguments) => kernel::main(&root, &arguments),
        Command::Demo(arguments) => demo::main(&root, &arguments),
        Command::Sizes(arguments) => sizes::main(&root, &arguments),
        Command::Test(arguments) => test::main(&root, &arguments),
        Command::Tidy => tidy::check(&root).map(|files| println!("{files} files are tidy")),
        Command::Boots(arguments) => boots::main(&root, &arguments),
        Command::Crosscheck(arguments) => crosscheck::main(&root, &arguments),
        Command::Windows => windows::main(&root),
        Command::Bench => bench::main(&root),
    }
}

/// The workspace that this program was built from.
fn workspace_root() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("xtask lies in scripts/xtask")?;
    Ok(root.to_owned())
}

/// Where cargo puts what it builds; what `xtask` builds goes there too.
pub fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}
