//! The envelopes between one user interface and its session, the same over every transport.
//!
//! Text messages are JSON of these types. Terminal output is a binary message instead: the stream's number (u32, little
//! endian), then the bytes.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{AppError, Change, Command, OpenLogs, OpenTerminal, Reply, Snapshot, StreamItem, TerminalInput};

/// From the UI. `id`s and `stream`s are chosen by the UI and never reused within a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// Answered by `reply` or `error` with the same id.
    Call {
        id: u32,
        command: Command,
    },
    /// On: a `snapshot` comes, then `changes`. Off (the window is hidden): only news are pushed until it is on again.
    Watch {
        on: bool,
    },
    OpenLogs {
        stream: u32,
        open: OpenLogs,
    },
    OpenTerminal {
        stream: u32,
        open: OpenTerminal,
    },
    OpenFigures {
        stream: u32,
    },
    /// Yields `stats`, about one a second while it runs.
    OpenStats {
        stream: u32,
        container: String,
    },
    /// Yields `processes` at once and whenever they changed.
    OpenProcesses {
        stream: u32,
        container: String,
    },
    Input {
        stream: u32,
        input: TerminalInput,
    },
    /// So many more bytes (by the host's count) were taken in.
    Ack {
        stream: u32,
        bytes: u32,
    },
    Close {
        stream: u32,
    },
}

/// To the UI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HostMessage {
    Reply {
        id: u32,
        reply: Reply,
    },
    Error {
        id: u32,
        error: AppError,
    },
    /// Replaces everything the UI knew.
    Snapshot {
        snapshot: Box<Snapshot>,
    },
    /// What changed since, in order; at most one such message per frame.
    Changes {
        changes: Vec<Change>,
    },
    /// Leads the page to one of its own places (`#/apps`): the user chose it outside the page.
    Go {
        place: String,
    },
    /// `weight` is what to acknowledge once the item was taken in.
    Stream {
        stream: u32,
        item: StreamItem,
        weight: u32,
    },
}
