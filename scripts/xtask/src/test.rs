//! `cargo xtask test`: everything that proves Cubby, in an order that finds cheap failures first.
//!
//! The kernel, by far the longest single job of a machine without caches, is built beside the first steps.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
};

use anyhow::{Context, bail};

use crate::{steps::Steps, tidy};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only these steps: tidy fmt clippy crosscheck ui unit api-native contract leaks machine api-guest guest browser window
    names: Vec<String>,
}

/// Packages whose tests are suites with steps of their own.
const SUITES: &[&str] = &["cubby-tests"];

pub fn main(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let mut run = Run::new(root, arguments.names.clone())?;
    let kernel = run.wants_guest().then(|| run.start_kernel()).transpose()?;
    run.checks();
    run.user_interface();
    run.unit_tests();
    run.step("api-native", |run| run.suite("api", "native"));
    run.step("contract", Run::contract);
    run.step("leaks", |run| run.suite("leaks", "native"));
    if let Some(kernel) = kernel {
        run.guest_image(kernel);
    }
    run.step("machine", Run::machine);
    run.step("api-guest", |run| run.suite("api", "guest"));
    run.step("guest", |run| run.suite("guest", "guest"));
    run.step("browser", |run| run.npm(&["run", "test:browser"]));
    run.step("window", |run| run.npm(&["run", "test:window"]));
    run.finish()
}

struct Run {
    root: PathBuf,
    target: PathBuf,
    wanted: Vec<String>,
    steps: Steps,
}

impl Run {
    fn new(root: &Path, wanted: Vec<String>) -> anyhow::Result<Self> {
        let known = [
            "tidy",
            "fmt",
            "clippy",
            "crosscheck",
            "ui",
            "unit",
            "api-native",
            "contract",
            "leaks",
            "machine",
            "api-guest",
            "guest",
            "browser",
            "window",
        ];
        if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
            bail!("no step {unknown}; there are: {}", known.join(" "));
        }
        let target = crate::target_dir(root);
        Ok(Self { root: root.to_owned(), target, wanted, steps: Steps::default() })
    }

    fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == name)
    }

    fn wants_guest(&self) -> bool {
        ["machine", "api-guest", "guest", "browser", "window"].iter().any(|name| self.wants(name))
    }

    /// The suites run built programs; the other steps do without.
    fn wants_programs(&self) -> bool {
        self.wants_guest() || ["api-native", "contract", "leaks"].iter().any(|name| self.wants(name))
    }

    fn step(&mut self, name: &str, command: impl FnOnce(&Self) -> Command) {
        if self.wants(name) {
            let mut command = command(self);
            self.steps.run(name, &mut command);
        }
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(&self.root).args(arguments);
        command
    }

    fn npm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("npm");
        command.current_dir(self.root.join("ui")).args(arguments);
        self.name_programs(&mut command);
        command
    }

    fn xtask(&self, arguments: &[&str]) -> Command {
        self.cargo(&[&["run", "-q", "-p", "xtask", "--"], arguments].concat())
    }

    /// A suite of `tests/` on an engine in `place`.
    fn suite(&self, name: &str, place: &str) -> Command {
        // Why: two at a time; each case waits for software-emulated machines far more than it computes.
        let mut command = self.cargo(&["test", "-p", "cubby-tests", "--test", name, "--", "--test-threads=2"]);
        command.env("CUBBY_TEST_ENGINE", place);
        self.name_programs(&mut command);
        command
    }

    /// The machine crate's own test that boots the guest: `unit` runs before there is a guest image.
    fn machine(&self) -> Command {
        let mut command = self.cargo(&["test", "-p", "cubby-machine", "--test", "boot"]);
        self.name_programs(&mut command);
        command
    }

    /// A native engine held against Docker's published API.
    fn contract(&self) -> Command {
        let mut command = Command::new(self.root.join("tests/compat/contract.sh"));
        command.arg(self.target.join("swagger")).env_remove("DOCKER_HOST");
        self.name_programs(&mut command);
        command
    }

    fn name_programs(&self, command: &mut Command) {
        let built = self.target.join("debug");
        command
            .env("CUBBYD", built.join("cubbyd"))
            .env("CUBBY", built.join("cubby"))
            .env("CUBBY_APP", built.join("cubby-app"))
            .env("CUBBY_DEV_SERVER", built.join("cubby-dev-server"))
            .env("CUBBY_GUEST_IMAGE", self.target.join("guest").join(std::env::consts::ARCH));
    }

    fn checks(&mut self) {
        if self.wants("tidy") {
            println!("\n\x1b[1m==> tidy\x1b[0m");
            match tidy::check(&self.root) {
                Ok(files) => {
                    println!("{files} files are tidy");
                    self.steps.tally.passed += 1;
                }
                Err(error) => {
                    println!("{error:#}");
                    self.steps.tally.failed += 1;
                    self.steps.failures.push("tidy".to_owned());
                }
            }
        }
        self.step("fmt", |run| run.cargo(&["fmt", "--all", "--check"]));
    }

    fn user_interface(&mut self) {
        if !(self.wants("ui")
            || self.wants("clippy")
            || self.wants("unit")
            || self.wants("browser")
            || self.wants("window"))
        {
            return;
        }
        self.steps.run("ui: packages", &mut self.npm(&["ci", "--no-audit", "--no-fund"]));
        if self.wants("ui") {
            self.steps.run("ui: types", &mut self.npm(&["run", "check"]));
            self.steps.run("ui: unit tests", &mut self.npm(&["test"]));
        }
        // Why: the shell embeds the built pages, so that its crate compiles only after them.
        self.steps.run("ui: build", &mut self.npm(&["run", "build"]));
    }

    fn unit_tests(&mut self) {
        self.step("clippy", |run| run.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
        self.step("crosscheck", |run| run.xtask(&["crosscheck"]));
        self.step("unit", |run| {
            let excluded: Vec<&str> = SUITES.iter().flat_map(|suite| ["--exclude", *suite]).collect();
            run.cargo(&[&["test", "--workspace", "--no-fail-fast"], excluded.as_slice()].concat())
        });
        if !self.wants_programs() {
            return;
        }
        let programs = ["build", "-p", "cubbyd", "-p", "cubby", "-p", "cubby-dev-server", "-p", "cubby-app"];
        self.steps.run("programs", &mut self.cargo(&programs));
    }

    fn start_kernel(&self) -> anyhow::Result<Child> {
        let log = std::fs::File::create(self.target.join("kernel.log")).context("create the kernel's build log")?;
        let mut command = Command::new("nice");
        command
            .arg("-n10")
            .arg(std::env::current_exe()?)
            .args(["kernel", "--arch", std::env::consts::ARCH])
            .current_dir(&self.root)
            .stdout(log.try_clone()?)
            .stderr(log);
        command.spawn().context("start the kernel's build")
    }

    fn guest_image(&mut self, mut kernel: Child) {
        let log = self.target.join("kernel.log");
        println!("\nwaiting for the kernel (log: {})", log.display());
        let built = kernel.wait().is_ok_and(|status| status.success());
        if !built {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(40).collect();
            println!("{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        self.steps.run("guest image", &mut self.xtask(&["image"]));
        self.steps.run("demo image", &mut self.xtask(&["demo"]));
    }

    fn finish(self) -> anyhow::Result<()> {
        let tally = self.steps.tally;
        println!();
        for name in &self.steps.failures {
            println!("failed: {name}");
        }
        println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.ignored);
        if tally.failed > 0 { bail!("tests failed") } else { Ok(()) }
    }
}
