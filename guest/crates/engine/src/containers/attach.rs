//! Attach: a client at a container's streams.

use std::sync::Arc;

use super::{
    Containers,
    logs::{LogsOptions, LogsStream},
    model::Record,
    streams::{DetachKeys, Output, Streams},
};
use crate::error::{Error, Result};

#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    /// First what was logged before.
    pub logs: bool,
    /// Then what comes.
    pub stream: bool,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub detach_keys: String,
}

/// A client's ends. Dropping it detaches.
pub struct Attached {
    pub record: Arc<Record>,
    pub logs: Option<LogsStream>,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    /// Where input goes; `None`: it goes nowhere.
    pub stdin: Option<Arc<Streams>>,
    pub detach_keys: DetachKeys,
    /// The end of the client's input is the end of the process's.
    pub close_stdin: bool,
}

impl Containers {
    /// # Errors
    /// Conflict while paused or restarting, invalid for keys that make no sense.
    pub fn attach(&self, name: &str, options: &AttachOptions) -> Result<Attached> {
        let detach_keys = DetachKeys::for_attach(&options.detach_keys)?;
        let container = self.find(name)?;
        let record = container.record();
        if record.state.paused {
            return Err(Error::conflict(format!("container {name} is paused, unpause the container before attach")));
        }
        if record.state.restarting {
            return Err(Error::conflict(format!(
                "container {name} is restarting, wait until the container is running"
            )));
        }
        let logs = match options.logs {
            false => None,
            true => {
                let wanted = LogsOptions { stdout: options.stdout, stderr: options.stderr, ..LogsOptions::default() };
                Some(self.logs_of(&container, &wanted)?)
            }
        };
        let streams = &container.streams;
        let attached = Attached {
            logs,
            stdout: (options.stream && options.stdout).then(|| streams.stdout.attach()),
            stderr: (options.stream && options.stderr && !record.config.tty).then(|| streams.stderr.attach()),
            stdin: (options.stream && options.stdin && record.config.open_stdin).then(|| streams.clone()),
            detach_keys,
            close_stdin: record.config.stdin_once && !record.config.tty,
            record: record.clone(),
        };
        self.event(&record, "attach", &[]);
        Ok(attached)
    }

    /// The client has left by its detach keys.
    pub fn detached(&self, record: &Record) {
        self.event(record, "detach", &[]);
    }

    /// The end of a container's standard input.
    pub async fn close_stdin(&self, id: &str, streams: &Streams) {
        streams.stdin.close();
        if let Err(error) = self.parts.runtime.close_stdin(id).await {
            tracing::debug!(container_id = id, err = %error, "the keeper's end of standard input stays open");
        }
    }
}
