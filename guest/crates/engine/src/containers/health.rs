//! Health checks: a command run in the container again and again, and what its exit codes add up to.
//! Source: moby daemon/health.go.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use super::{
    Container, Containers,
    model::{Health, Healthcheck, ProbeResult, Sequence},
    signals,
    streams::Output,
};
use crate::{error::Result, exec::ExecOptions, timestamps::rfc3339_nano};

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i64 = 3;
/// Probes remembered.
const LOG: usize = 5;
/// Output remembered of a probe.
const OUTPUT_BYTES: usize = 4096;

/// A check with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
}

impl Plan {
    /// `None`: no check is wanted.
    fn of(check: &Healthcheck, shell: Option<&Sequence>) -> Option<Self> {
        let (kind, words) = check.test.split_first()?;
        let command = match kind.as_str() {
            "CMD" => words.to_vec(),
            "CMD-SHELL" => {
                let mut command = shell.map_or_else(|| vec!["/bin/sh".into(), "-c".into()], |shell| shell.0.clone());
                command.extend(words.iter().cloned());
                command
            }
            _ => return None,
        };
        let or = |nanos: i64, default| match u64::try_from(nanos) {
            Ok(nanos @ 1..) => Duration::from_nanos(nanos),
            _ => default,
        };
        (!command.is_empty()).then(|| Self {
            command,
            interval: or(check.interval, INTERVAL),
            timeout: or(check.timeout, TIMEOUT),
            start_period: or(check.start_period, Duration::ZERO),
            start_interval: or(check.start_interval, START_INTERVAL),
            retries: if check.retries > 0 { check.retries } else { RETRIES },
        })
    }
}

impl Health {
    /// Counts one more result. `starting_for`: since the container's start, at the probe's own start.
    fn count(&mut self, result: ProbeResult, starting_for: Duration, plan: &Plan) {
        let well = result.exit_code == 0;
        self.log.push(result);
        self.log.drain(..self.log.len().saturating_sub(LOG));
        if well {
            self.failing_streak = 0;
            self.status = "healthy".to_owned();
        } else if self.status != "starting" || starting_for >= plan.start_period {
            self.failing_streak += 1;
            if self.failing_streak >= plan.retries {
                self.status = "unhealthy".to_owned();
            }
        }
    }
}

impl Containers {
    /// Starts checking a container that has just started, or was taken back. The checks end with its run.
    pub(super) fn watch_health(&self, container: &Arc<Container>) {
        let record = container.record();
        let check = record.config.healthcheck.as_ref();
        let Some(plan) = check.and_then(|check| Plan::of(check, record.config.shell.as_ref())) else { return };
        let (alive, mut ended) = watch::channel(());
        match container.live().as_mut() {
            Some(live) => live.health = Some(alive),
            None => return,
        }
        self.note(container, |record| {
            let health = record.state.health.get_or_insert_default();
            health.status = "starting".to_owned();
            health.failing_streak = 0;
        });
        let (me, container) = (self.me(), container.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = me.check_again_and_again(&container, &plan) => {}
                // Why an error: it says that the sender, which belongs to the run, has gone.
                _ = ended.changed() => {}
            }
        });
    }

    async fn check_again_and_again(&self, container: &Arc<Container>, plan: &Plan) {
        let started = container.record().state.started_at.unwrap_or_else(SystemTime::now);
        loop {
            let state = container.record().state.clone();
            let young = started.elapsed().unwrap_or_default() < plan.start_period;
            let starting = young && state.health_status() == "starting";
            tokio::time::sleep(if starting { plan.start_interval } else { plan.interval }).await;
            if container.record().state.paused {
                continue;
            }
            let began = SystemTime::now();
            let (exit_code, output) = match self.probe(container, plan).await {
                Ok(result) => result,
                Err(error) => (-1, error.message().to_owned()),
            };
            let result = ProbeResult {
                start: rfc3339_nano(began),
                end: rfc3339_nano(SystemTime::now()),
                exit_code: exit_code.into(),
                output,
            };
            self.count_probe(container, result, began.duration_since(started).unwrap_or_default(), plan);
        }
    }

    fn count_probe(&self, container: &Container, result: ProbeResult, starting_for: Duration, plan: &Plan) {
        let before = container.record().state.health_status().to_owned();
        let record = self.note(container, |record| {
            record.state.health.get_or_insert_default().count(result, starting_for, plan);
        });
        let after = record.state.health_status();
        if before != after {
            self.event(&record, format!("health_status: {after}"), &[]);
        }
    }

    async fn probe(&self, container: &Arc<Container>, plan: &Plan) -> Result<(i32, String)> {
        let options = ExecOptions {
            cmd: Sequence(plan.command.clone()),
            attach_stdout: true,
            attach_stderr: true,
            ..ExecOptions::default()
        };
        let id = self.exec_create(&container.id, options).await?;
        let mut attach = self.exec_begin(&id, true)?;
        self.exec_run(&attach.exec, None, true).await?;
        let mut output = Vec::new();
        let run = async {
            collect(&mut output, attach.stdout.take(), attach.stderr.take()).await;
            attach.exec.ended().await;
        };
        if tokio::time::timeout(plan.timeout, run).await.is_ok() {
            return Ok((attach.exec.exit_code().unwrap_or(-1), text(&output)));
        }
        attach.exec.signal(signals::KILL);
        let said = text(&output);
        let colon = if said.is_empty() { "" } else { ": " };
        Ok((-1, format!("Health check exceeded timeout ({}){colon}{said}", go_duration(plan.timeout))))
    }
}

async fn collect(into: &mut Vec<u8>, mut stdout: Option<Output>, mut stderr: Option<Output>) {
    while stdout.is_some() || stderr.is_some() {
        let (slot, chunk) = tokio::select! {
            chunk = receive(&mut stdout), if stdout.is_some() => (&mut stdout, chunk),
            chunk = receive(&mut stderr), if stderr.is_some() => (&mut stderr, chunk),
        };
        match chunk {
            None => *slot = None,
            Some(chunk) => {
                let room = OUTPUT_BYTES.saturating_sub(into.len());
                into.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
        }
    }
}

async fn receive(output: &mut Option<Output>) -> Option<bytes::Bytes> {
    match output {
        Some(output) => output.recv().await,
        None => None,
    }
}

fn text(bytes: &[u8]) -> String {
    let cut = if bytes.len() >= OUTPUT_BYTES { "..." } else { "" };
    format!("{}{cut}", String::from_utf8_lossy(bytes))
}

/// `1.5s`, `200ms`, `2m0s`: enough of Go's `Duration.String`.
fn go_duration(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 1.0 {
        return format!("{}ms", seconds * 1000.0);
    }
    let (hours, minutes) = (span.as_secs() / 3600, span.as_secs() / 60 % 60);
    let rest = seconds - (hours * 3600 + minutes * 60) as f64;
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(start_period: u64) -> Plan {
        let check = Healthcheck {
            test: vec!["CMD-SHELL".into(), "true".into()],
            start_period: Duration::from_secs(start_period).as_nanos() as i64,
            ..Healthcheck::default()
        };
        Plan::of(&check, None).unwrap()
    }

    fn result(exit_code: i64) -> ProbeResult {
        ProbeResult { exit_code, ..ProbeResult::default() }
    }

    #[test]
    fn commands_and_defaults() {
        assert_eq!(plan(0).command, ["/bin/sh", "-c", "true"]);
        assert_eq!((plan(0).interval, plan(0).retries), (INTERVAL, 3));
        let none = Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() };
        assert_eq!(Plan::of(&none, None), None);
    }

    #[test]
    fn failures_count_after_the_start_period_only() {
        let mut health = Health { status: "starting".into(), ..Health::default() };
        for _ in 0..5 {
            health.count(result(1), Duration::from_secs(1), &plan(10));
        }
        assert_eq!((health.status.as_str(), health.failing_streak), ("starting", 0));
        for _ in 0..3 {
            health.count(result(1), Duration::from_secs(11), &plan(10));
        }
        assert_eq!((health.status.as_str(), health.log.len()), ("unhealthy", LOG));
        health.count(result(0), Duration::from_secs(12), &plan(10));
        assert_eq!((health.status.as_str(), health.failing_streak), ("healthy", 0));
    }

    #[test]
    fn spans_are_gos() {
        assert_eq!(go_duration(Duration::from_millis(1500)), "1.5s");
        assert_eq!(go_duration(Duration::from_secs(120)), "2m0s");
        assert_eq!(go_duration(Duration::from_millis(200)), "200ms");
    }
}
