//! A container's log as batches of lines.

use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::convert::unix_ms;
use super::errors::app_error;
use crate::schema::{AppError, LogChunk, LogLine, LogSource, OpenLogs, Stream, StreamItem};

/// A longer line goes on in the next row.
const MAX_LINE_BYTES: usize = 16 * 1024;
const MAX_CHUNK_BYTES: usize = 256 * 1024;
const FRAME: Duration = Duration::from_millis(16);
const QUEUE: usize = 4;

/// Fails when there is no such container; what breaks later is an item of the stream.
pub async fn open(docker: &Docker, open: OpenLogs) -> Result<Stream, AppError> {
    const TITLE: &str = "The log could not be read";
    docker
        .inspect_container(&open.container, None::<InspectContainerOptions>)
        .await
        .map_err(|err| app_error(TITLE, err))?;
    let since = open.since_unix_ms.and_then(|ms| i32::try_from(ms / 1000).ok()).unwrap_or(0);
    let tail = open.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
    let options = LogsOptionsBuilder::default().follow(open.follow).stdout(true).stderr(true).timestamps(true);
    let options = options.since(since).tail(&tail).build();
    let mut parts = docker.logs(&open.container, Some(options)).boxed();
    let (items, stream) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut splitter = Splitter::default();
        loop {
            let ended = batch(&mut parts, &mut splitter, &items).await;
            if let Some(chunk) = splitter.take()
                && items.send(StreamItem::Logs { chunk }).await.is_err()
            {
                return;
            }
            match ended {
                Batch::More => {}
                Batch::Closed => return,
                Batch::Ended(err) => {
                    let last = match err {
                        None => StreamItem::Ended { exit_code: None },
                        Some(err) => StreamItem::Broken { error: app_error(TITLE, err) },
                    };
                    let _ = items.send(last).await;
                    return;
                }
            }
        }
    });
    Ok(stream)
}

enum Batch {
    More,
    Ended(Option<bollard::errors::Error>),
    Closed,
}

/// Waits for something, then takes what comes within one frame.
async fn batch(
    parts: &mut (impl futures_util::Stream<Item = Result<LogOutput, bollard::errors::Error>> + Unpin),
    splitter: &mut Splitter,
    items: &mpsc::Sender<StreamItem>,
) -> Batch {
    let mut deadline = None;
    loop {
        let next = async {
            match deadline {
                None => Some(parts.next().await),
                Some(at) => timeout_at(at, parts.next()).await.ok(),
            }
        };
        let next = tokio::select! {
            next = next => next,
            () = items.closed() => return Batch::Closed,
        };
        match next {
            Some(Some(Ok(part))) => splitter.push(part),
            Some(Some(Err(err))) => {
                splitter.finish();
                return Batch::Ended(Some(err));
            }
            Some(None) => {
                splitter.finish();
                return Batch::Ended(None);
            }
            None => return Batch::More,
        }
        if splitter.bytes >= MAX_CHUNK_BYTES {
            return Batch::More;
        }
        deadline.get_or_insert_with(|| Instant::now() + FRAME);
    }
}

/// Puts lines together from the parts in which they arrive, per source.
#[derive(Default)]
struct Splitter {
    out: Partial,
    err: Partial,
    lines: Vec<LogLine>,
    bytes: usize,
}

#[derive(Default)]
struct Partial {
    text: Vec<u8>,
    /// The line began in an earlier row: it has no time stamp of its own.
    continued: bool,
}

impl Splitter {
    fn push(&mut self, part: LogOutput) {
        let (source, bytes) = match part {
            LogOutput::StdErr { message } => (LogSource::Err, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => (LogSource::Out, message),
            LogOutput::StdIn { .. } => return,
        };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let partial = self.partial(source);
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            partial.text.extend_from_slice(text);
            if ended {
                self.line(source, false);
            } else {
                while self.partial(source).text.len() > MAX_LINE_BYTES {
                    self.line(source, true);
                }
            }
        }
    }

    fn partial(&mut self, source: LogSource) -> &mut Partial {
        match source {
            LogSource::Out => &mut self.out,
            LogSource::Err => &mut self.err,
        }
    }

    /// Moves the partial line (or its first part) to the rows.
    fn line(&mut self, source: LogSource, partial: bool) {
        let held = self.partial(source);
        let rest =
            if held.text.len() > MAX_LINE_BYTES { held.text.split_off(boundary(&held.text)) } else { Vec::new() };
        let text = std::mem::replace(&mut held.text, rest);
        let continued = std::mem::replace(&mut held.continued, partial);
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(&text)).into_owned();
        let (at_unix_ms, text) = if continued { (None, text) } else { stamped(text) };
        self.bytes += text.len() + 64;
        self.lines.push(LogLine { source, at_unix_ms, text, partial });
        if !partial && !self.partial(source).text.is_empty() {
            // A complete line that was over the limit: the rest of it follows.
            if let Some(last) = self.lines.last_mut() {
                last.partial = true;
            }
            self.partial(source).continued = true;
            self.line(source, false);
        }
    }

    fn finish(&mut self) {
        for source in [LogSource::Out, LogSource::Err] {
            if !self.partial(source).text.is_empty() {
                self.line(source, false);
            }
        }
    }

    fn take(&mut self) -> Option<LogChunk> {
        self.bytes = 0;
        let lines = std::mem::take(&mut self.lines);
        (!lines.is_empty()).then_some(LogChunk { lines })
    }
}

/// Where to cut within the limit without cutting a character.
fn boundary(text: &[u8]) -> usize {
    (MAX_LINE_BYTES - 3..=MAX_LINE_BYTES).rev().find(|at| text[*at] & 0xc0 != 0x80).unwrap_or(MAX_LINE_BYTES)
}

/// `2026-11-21T04:00:00.123456789Z text`
fn stamped(text: String) -> (Option<u64>, String) {
    match text.split_once(' ') {
        Some((stamp, rest)) if stamp.len() >= 20 => match unix_ms(stamp) {
            Some(at) => (Some(at), rest.to_owned()),
            None => (None, text),
        },
        // An empty line may come without the space.
        None if text.len() >= 20 && unix_ms(&text).is_some() => (unix_ms(&text), String::new()),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut { message: text.to_owned().into() }
    }

    fn err(text: &str) -> LogOutput {
        LogOutput::StdErr { message: text.to_owned().into() }
    }

    fn lines(parts: Vec<LogOutput>) -> Vec<(LogSource, String, bool)> {
        let mut splitter = Splitter::default();
        parts.into_iter().for_each(|part| splitter.push(part));
        splitter.finish();
        let chunk = splitter.take().unwrap_or_default();
        chunk.lines.into_iter().map(|line| (line.source, line.text, line.partial)).collect()
    }

    #[test]
    fn lines_are_whole_whatever_their_parts_and_sources_do_not_mix() {
        let got = lines(vec![out("a"), err("x\r\ny"), out("b\nc\n"), err("z\n"), out("end")]);
        let want = [
            (LogSource::Err, "x"),
            (LogSource::Out, "ab"),
            (LogSource::Out, "c"),
            (LogSource::Err, "yz"),
            (LogSource::Out, "end"),
        ];
        assert_eq!(got, want.map(|(source, text)| (source, text.to_owned(), false)));
    }

    #[test]
    fn time_stamps_are_taken_off() {
        let mut splitter = Splitter::default();
        splitter.push(out("2026-11-21T04:00:00.250000000Z hello world\n2026-11-21T04:00:00.5Z \nno stamp here\n"));
        let lines = splitter.take().unwrap().lines;
        assert_eq!(lines[0].at_unix_ms.unwrap() % 1000, 250);
        assert_eq!(
            lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
            ["hello world", "", "no stamp here"]
        );
    }

    #[test]
    fn endless_lines_are_cut_between_characters_and_lose_nothing() {
        let long = "é".repeat(20_001);
        for parts in [vec![out(&long), out("\nnext\n")], vec![out(&format!("{long}\nnext\n"))]] {
            let got = lines(parts);
            assert!(got.iter().all(|(_, text, _)| text.len() <= MAX_LINE_BYTES), "{}", got.len());
            let whole: String = got[..got.len() - 1].iter().map(|(_, text, _)| text.as_str()).collect();
            assert!(whole == long, "{} of {} bytes", whole.len(), long.len());
            let flags: Vec<_> = got.iter().map(|(_, _, partial)| *partial).collect();
            assert_eq!(flags, [true, true, false, false]);
        }
    }
}
