//! The portable part: what runs, and how.

use std::collections::BTreeMap;

use super::go::{Empty, Sequence, go_struct, is_zero};

go_struct! {
    /// Source: moby `container.Config`.
    pub struct Config {
        "Hostname" hostname: String,
        "Domainname" domainname: String,
        "User" user: String,
        "AttachStdin" attach_stdin: bool,
        "AttachStdout" attach_stdout: bool,
        "AttachStderr" attach_stderr: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        "ExposedPorts" exposed_ports: Option<BTreeMap<String, Empty>>,
        "Tty" tty: bool,
        "OpenStdin" open_stdin: bool,
        "StdinOnce" stdin_once: bool,
        "Env" env: Option<Vec<String>>,
        "Cmd" cmd: Option<Sequence>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Healthcheck" healthcheck: Option<Healthcheck>,
        #[serde(skip_serializing_if = "is_zero")]
        "ArgsEscaped" args_escaped: bool,
        "Image" image: String,
        "Volumes" volumes: Option<BTreeMap<String, Empty>>,
        "WorkingDir" working_dir: String,
        "Entrypoint" entrypoint: Option<Sequence>,
        #[serde(skip_serializing_if = "is_zero")]
        "NetworkDisabled" network_disabled: bool,
        #[serde(skip_serializing_if = "is_zero")]
        "MacAddress" mac_address: String,
        "OnBuild" on_build: Option<Vec<String>>,
        "Labels" labels: Option<BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "is_zero")]
        "StopSignal" stop_signal: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        "StopTimeout" stop_timeout: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Shell" shell: Option<Sequence>,
    }
}

go_struct! {
    /// How to tell whether a container is well. Durations in nanoseconds, 0 inherits.
    pub struct Healthcheck {
        #[serde(skip_serializing_if = "is_zero")]
        "Test" test: Vec<String>,
        #[serde(skip_serializing_if = "is_zero")]
        "Interval" interval: i64,
        #[serde(skip_serializing_if = "is_zero")]
        "Timeout" timeout: i64,
        #[serde(skip_serializing_if = "is_zero")]
        "StartPeriod" start_period: i64,
        #[serde(skip_serializing_if = "is_zero")]
        "StartInterval" start_interval: i64,
        #[serde(skip_serializing_if = "is_zero")]
        "Retries" retries: i64,
    }
}

go_struct! {
    /// `State.Health`.
    pub struct Health {
        "Status" status: String,
        "FailingStreak" failing_streak: i64,
        "Log" log: Vec<ProbeResult>,
    }
}

go_struct! {
    pub struct ProbeResult {
        "Start" start: String,
        "End" end: String,
        "ExitCode" exit_code: i64,
        "Output" output: String,
    }
}

impl Config {
    pub fn labels(&self) -> impl Iterator<Item = (&String, &String)> {
        self.labels.iter().flatten()
    }

    pub fn env(&self) -> &[String] {
        self.env.as_deref().unwrap_or_default()
    }
}
