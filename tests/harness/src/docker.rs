//! The docker CLI against one engine.

use std::{
    ffi::OsStr,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::docker_cli;

/// Runs `docker -H <host> …` with a configuration directory of its own.
#[derive(Clone, Debug)]
pub struct Docker {
    pub host: String,
    config: PathBuf,
}

/// What a finished command left.
#[derive(Clone, Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The standard output of a command that must have succeeded, without the last line break.
    ///
    /// # Panics
    /// When it failed.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout.trim_end_matches('\n').to_owned()
    }
}

impl Docker {
    pub fn new(host: String, config: PathBuf) -> Self {
        Self { host, config }
    }

    /// The command, ready for arguments and pipes.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(docker_cli());
        command
            .env("DOCKER_CONFIG", &self.config)
            .env_remove("DOCKER_CONTEXT")
            .env("DOCKER_HOST", &self.host)
            .args(arguments);
        command
    }

    /// Runs to the end with no standard input.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.run_with_input(arguments, b"")
    }

    /// Runs to the end with `input` on standard input.
    pub fn run_with_input<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, input: &[u8]) -> Output {
        finish(self.command(arguments), input)
    }

    /// Starts it with all three streams piped.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        start(self.command(arguments))
    }
}

/// Runs a command of [`Docker::command`] to the end with `input` on standard input.
pub fn finish(command: Command, input: &[u8]) -> Output {
    let mut child = start(command);
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    // Why: a thread of its own, or a command that prints before it has read everything would deadlock with us.
    let writer = std::thread::spawn(move || {
        // Why: a command that ends without reading its input is no failure of the writer.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the docker CLI ends");
    writer.join().expect("the writer does not panic");
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn start(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the docker CLI starts")
}
