//! The one error that reaches the UI.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A code exists only if the UI acts on it; everything else is [`ErrorCode::Failed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The machine is not running; the UI shows the machine's state instead of an error.
    MachineOff,
    /// The object went away meanwhile; the UI drops it quietly.
    NotFound,
    /// A host port is taken; the UI offers another.
    PortTaken,
    /// A container of this name exists; the UI offers another name.
    NameTaken,
    /// The image is used by containers; the UI names them.
    ImageInUse,
    Failed,
}

/// What a button can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Ask for `Command::MachineStart`.
    StartMachine,
    /// Ask for `Command::MachineRestart`.
    RestartMachine,
    /// Run again with a port chosen by the host.
    UseFreePort,
    /// Open `MachineState::console_log`.
    ShowConsoleLog,
    /// QEMU is missing: show how to install it on this system.
    InstallHypervisor,
    /// The disk is full: go to the images page.
    FreeSpace,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct AppError {
    pub code: ErrorCode,
    /// What did not happen, in a short sentence.
    pub title: String,
    /// Why: the engine's or the system's own words.
    pub detail: String,
    pub remedy: Option<Remedy>,
}

impl AppError {
    pub fn failed(title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: ErrorCode::Failed, title: title.into(), detail: detail.into(), remedy: None }
    }

    pub fn machine_off() -> Self {
        Self {
            code: ErrorCode::MachineOff,
            title: "Cubby's machine is not running".into(),
            detail: "containers need it; start it first".into(),
            remedy: Some(Remedy::StartMachine),
        }
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self { code: ErrorCode::NotFound, title: "That is gone".into(), detail: detail.into(), remedy: None }
    }
}
