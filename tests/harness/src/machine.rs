//! The machine: `cubby up` with a home of its own, so that a developer's own machine is left alone.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{Docker, Output, binary};

/// A booted machine of the test's own.
pub struct Machine {
    home: TempDir,
    settings: BTreeMap<String, String>,
}

impl Machine {
    /// Boots and waits until the engine in the guest answers.
    ///
    /// # Panics
    /// When it does not, with what `cubby up` said.
    pub fn start() -> Self {
        Self::start_with([])
    }

    /// With `CUBBY_…` variables of its own.
    ///
    /// # Panics
    /// As [`Machine::start`].
    pub fn start_with<const N: usize>(settings: [(&str, &str); N]) -> Self {
        let home = tempfile::Builder::new().prefix("cubby-vm-").tempdir().expect("a temporary directory");
        let mut machine = Self { home, settings: BTreeMap::new() };
        for (name, value) in settings {
            machine.set(name, value);
        }
        // What this computer can do is found out once, as for a user whose machine starts every day.
        let remembered = binary("cubby").with_file_name("accelerator.json");
        let here = machine.home().join("accelerator.json");
        let _ = std::fs::copy(&remembered, &here);
        machine.cubby(["up"]).ok();
        let _ = std::fs::copy(&here, &remembered);
        machine
    }

    /// Changes a variable for the commands to come; a background process that runs already keeps what it has.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs `cubby` against this machine.
    pub fn cubby<const N: usize>(&self, arguments: [&str; N]) -> Output {
        let output = self.command().args(arguments).output().expect("cubby starts");
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `cubby status --json`: exit code 0 when the machine runs, 3 when it does not (yet).
    pub fn status(&self) -> serde_json::Value {
        let output = self.cubby(["status", "--json"]);
        assert!([0, 3].contains(&output.code), "{output:?}");
        let text = output.stdout;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    pub fn socket(&self) -> PathBuf {
        let status = self.status();
        let host = status["docker_host"].as_str().expect("status tells docker_host");
        host.strip_prefix("unix://").expect("a Unix socket").into()
    }

    pub fn docker(&self) -> Docker {
        Docker::new(format!("unix://{}", self.socket().display()), self.home.path().join("docker-config"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary("cubby"));
        command.env("CUBBY_HOME", self.home.path()).envs(&self.settings);
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let output = self.cubby(["down"]);
        if std::thread::panicking() || output.code != 0 {
            eprintln!("--- cubby down: {output:?}");
            eprintln!("--- console of the failed test's machine ---\n{}", self.cubby(["logs", "console"]).stdout);
            eprintln!("--- daemon log ---\n{}", self.cubby(["logs", "daemon"]).stdout);
        }
    }
}
