//! `cargo xtask bench`: builds what is measured in the release profile and runs `tests/perf`, which writes its page.

use std::{path::Path, process::Command};

use anyhow::{Context, bail};

pub fn main(root: &Path) -> anyhow::Result<()> {
    let release = crate::target_dir(root).join("release");
    let guest = crate::target_dir(root).join("guest").join(std::env::consts::ARCH);
    let mut build = Command::new("cargo");
    build.current_dir(root).args(["build", "--release", "-p", "cubbyd", "-p", "cubby"]);
    succeed("the release build", &mut build)?;
    // The window drags in WebKitGTK: measured where its packages are.
    let mut app = Command::new("cargo");
    app.current_dir(root).args(["build", "--release", "-p", "cubby-app", "--bins", "--example", "empty_window"]);
    if let Err(error) = succeed("the app's release build", &mut app) {
        eprintln!("the window is not measured: {error:#}");
    }
    let mut bench = Command::new("cargo");
    bench
        .current_dir(root)
        .args(["bench", "-p", "cubby-tests", "--bench", "perf"])
        .env("CUBBYD", release.join("cubbyd"))
        .env("CUBBY", release.join("cubby"))
        .env("CUBBY_RELEASE_DIR", &release)
        .env("CUBBY_GUEST_IMAGE", guest);
    succeed("the bench", &mut bench)
}

fn succeed(what: &str, command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("start {what}"))?;
    if status.success() { Ok(()) } else { bail!("{what} failed ({status})") }
}
