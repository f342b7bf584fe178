//! `docker logs`.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::mpsc;

use super::{Container, Containers};
use crate::{
    error::{Error, Result},
    logs::{Entry, LogReader, Selection, follow},
};

#[derive(Clone, Debug, Default)]
pub struct LogsOptions {
    pub stdout: bool,
    pub stderr: bool,
    pub follow: bool,
    /// Seconds since 1970 with a fraction, or a time in RFC 3339.
    pub since: String,
    pub until: String,
    /// A number of lines; anything else is all.
    pub tail: String,
}

/// Entries in order, in batches.
pub struct LogsStream {
    pub tty: bool,
    pub entries: mpsc::Receiver<io::Result<Vec<Entry>>>,
}

impl Containers {
    /// # Errors
    /// Invalid options; conflict for a container on its way out; not implemented for drivers that keep nothing.
    pub fn logs(&self, name: &str, options: &LogsOptions) -> Result<LogsStream> {
        if !options.stdout && !options.stderr {
            return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
        }
        let container = self.find(name)?;
        let state = &container.record().state;
        if state.removing || state.dead {
            return Err(Error::conflict("can not get logs from container which is dead or marked for removal"));
        }
        self.logs_of(&container, options)
    }

    pub(super) fn logs_of(&self, container: &Arc<Container>, options: &LogsOptions) -> Result<LogsStream> {
        let record = container.record();
        let Some(path) = self.log_path(&record) else {
            return Err(Error::not_implemented("configured logging driver does not support reading"));
        };
        let selection = Selection {
            stdout: options.stdout,
            stderr: options.stderr,
            since: time("since", &options.since)?,
            until: time("until", &options.until)?.filter(|until| *until > UNIX_EPOCH),
            tail: options.tail.parse::<usize>().ok(),
        };
        let live = container.live().as_ref().map(|live| live.log.clone());
        let growth = live.as_ref().filter(|_| options.follow).map(|log| log.watch());
        let (sender, entries) = mpsc::channel(1);
        tokio::spawn(async move {
            let grows = growth.is_some();
            let opened = tokio::task::spawn_blocking(move || LogReader::open(&path, live, selection, grows)).await;
            match opened {
                Ok(Ok(reader)) => follow(reader, growth, sender).await,
                Ok(Err(error)) => _ = sender.send(Err(error)).await,
                Err(_) => {}
            }
        });
        Ok(LogsStream { tty: record.config.tty, entries })
    }
}

/// Source: moby timetypes `ParseTimestamps`, and RFC 3339 as a kindness.
fn time(what: &str, text: &str) -> Result<Option<SystemTime>> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = seconds(text).or_else(|| {
        let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
        Some(SystemTime::from(at))
    });
    match parsed {
        Some(at) => Ok(Some(at)),
        None => Err(Error::invalid(format!(
            "invalid value for {what:?}: failed to parse value as time or duration: {text:?}"
        ))),
    }
}

fn seconds(text: &str) -> Option<SystemTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = u64::try_from(seconds).unwrap_or(0);
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(time("since", "").unwrap(), None);
        assert_eq!(time("since", "1.5").unwrap(), Some(UNIX_EPOCH + Duration::from_millis(1500)));
        assert_eq!(time("since", "1700000000").unwrap(), Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
        assert_eq!(time("since", "1970-01-01T00:00:02Z").unwrap(), Some(UNIX_EPOCH + Duration::from_secs(2)));
        for bad in ["yesterday", "1.x", "1.1234567890", "99999999999999999999"] {
            assert!(time("since", bad).is_err(), "{bad}");
        }
    }
}
