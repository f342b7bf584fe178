//! Logs, terminals, figures: what flows after an `open`.
//!
//! Flow control: the transport counts the bytes of items that the UI has not acknowledged and stops reading the source above
//! its window ([`crate::schema::StreamItem::weight_bytes`]), so a container that floods is held back by its own pipe.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{AppError, Figures, ProcessTable, StatsSample};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct OpenLogs {
    pub container: String,
    /// Start with this many of the last lines; absent: from the beginning.
    pub tail: Option<u32>,
    pub since_unix_ms: Option<u64>,
    /// Stay open for what comes.
    pub follow: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct OpenTerminal {
    pub container: String,
    pub columns: u16,
    pub rows: u16,
    /// Absent: the best shell that the container has.
    pub shell: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    Out,
    Err,
}

/// One line without its line end. Not terminal-safe: the UI strips control sequences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LogLine {
    pub source: LogSource,
    pub at_unix_ms: Option<u64>,
    pub text: String,
    /// The line goes on in the next one (it was longer than the host's limit for a line).
    pub partial: bool,
}

/// What arrived within one frame (about 16 ms), at most 256 KiB of text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LogChunk {
    pub lines: Vec<LogLine>,
}

/// What a stream yields. Terminal bytes travel as a binary message of their own, not as one of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamItem {
    Logs {
        chunk: LogChunk,
    },
    Figures {
        figures: Figures,
    },
    Stats {
        sample: StatsSample,
    },
    Processes {
        table: ProcessTable,
    },
    /// Bytes for the terminal. Never serialised as JSON by a transport.
    #[serde(skip)]
    #[ts(skip)]
    Bytes(Vec<u8>),
    /// The last item: the process ended (`exit_code`), or the source did.
    Ended {
        exit_code: Option<i32>,
    },
    /// The last item: it broke.
    Broken {
        error: AppError,
    },
}

impl StreamItem {
    /// What counts against the window of unacknowledged bytes.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::Logs { chunk } => chunk.lines.iter().map(|line| line.text.len() + 64).sum(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Figures { .. }
            | Self::Stats { .. }
            | Self::Processes { .. }
            | Self::Ended { .. }
            | Self::Broken { .. } => 0,
        }
    }

    pub fn is_last(&self) -> bool {
        matches!(self, Self::Ended { .. } | Self::Broken { .. })
    }
}

/// What the UI sends into a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TerminalInput {
    /// Keys and pastes, as text.
    Text {
        text: String,
    },
    Resize {
        columns: u16,
        rows: u16,
    },
}
