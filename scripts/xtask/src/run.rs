//! `cargo xtask run`: build everything, then the app on screen or, with `--headless`, the same job in the terminal.

use std::{
    path::Path,
    process::{Command, ExitStatus},
};

use anyhow::{Context, bail};

#[derive(clap::Args)]
pub struct Arguments {
    /// Boot the machine, run the demo container, print its page, and leave the machine running
    #[arg(long)]
    headless: bool,
}

pub fn main(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let guest = crate::target_dir(root).join("guest").join(std::env::consts::ARCH);
    step("the guest image", root, &["run", "-q", "-p", "xtask", "--", "image"])?;
    step("the demo image", root, &["run", "-q", "-p", "xtask", "--", "demo"])?;
    if arguments.headless {
        step("cubby", root, &["build", "--release", "-p", "cubby"])?;
        let cubby = crate::target_dir(root).join("release/cubby");
        let mut up = Command::new(&cubby);
        succeed("cubby up", up.arg("up").env("CUBBY_GUEST_IMAGE", &guest).status())?;
        let mut demo = Command::new(&cubby);
        succeed("cubby demo", demo.args(["demo", "--print"]).env("CUBBY_GUEST_IMAGE", &guest).status())?;
        let mut status = Command::new(&cubby);
        return succeed("cubby status", status.arg("status").env("CUBBY_GUEST_IMAGE", &guest).status());
    }
    let ui = root.join("ui");
    succeed("npm ci", Command::new("npm").current_dir(&ui).args(["ci", "--no-audit", "--no-fund"]).status())?;
    succeed("npm run build", Command::new("npm").current_dir(&ui).args(["run", "build"]).status())?;
    step("the app", root, &["build", "--release", "-p", "cubby-app", "-p", "cubby"])?;
    let mut app = Command::new(crate::target_dir(root).join("release/cubby-app"));
    succeed("cubby-app", app.env("CUBBY_GUEST_IMAGE", &guest).status())
}

fn step(what: &str, root: &Path, cargo: &[&str]) -> anyhow::Result<()> {
    eprintln!("\x1b[1m==> building {what}\x1b[0m");
    succeed(what, Command::new("cargo").current_dir(root).args(cargo).status())
}

fn succeed(what: &str, status: std::io::Result<ExitStatus>) -> anyhow::Result<()> {
    let status = status.with_context(|| format!("start {what}"))?;
    if status.success() { Ok(()) } else { bail!("{what} failed ({status})") }
}
