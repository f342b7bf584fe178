//! What the page asks of the program that shows it, rather than of the host: dialogs, the icon beside the clock, what belongs to
//! a desktop. A browser has its own way for each of them, or none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ShellCommand {
    /// The first picture is on screen: for measuring. → `done`
    Painted { first_paint_unix_ms: f64, interactive_unix_ms: f64 },
    /// A file to read; every end (`tar.gz`) that is offered. → `path`
    PickFile { extensions: Vec<String> },
    /// A file to write; the dialog asks before it names one that exists. → `path`
    PickTarget { name: String },
    /// → `path`
    PickFolder,
    /// Texts that the shell itself shows, in the page's language, holes (`{n}`) and all. → `done`
    SetWords { words: BTreeMap<String, String> },
    /// Whether the desktop is told what happens while nobody looks. → `done`
    SetNotifies { on: bool },
    /// → `at_login`
    AtLogin,
    /// Whether the app is there, without its window, when its user logs in. → `at_login`
    SetAtLogin { on: bool },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ShellReply {
    Done,
    /// Absent: the user changed their mind.
    Path {
        path: Option<String>,
    },
    /// Absent: it is not known how, on this system.
    AtLogin {
        on: Option<bool>,
    },
}
