//! What the app's user interface and the host say to each other, declared once.
//!
//! Plain data only: every command, reply, event and stream item. The TypeScript in `ui/src/bindings` is generated from these
//! types ([`export`]); a test fails when it is stale. Nothing here knows Tauri, WebSocket, bollard or the machine.
//!
//! ```text
//!  UI ⇄ transport (Tauri, WebSocket) ⇄ crate::session ── call(Command) ──────────▶ Backend   one Reply or one AppError
//!      ClientMessage, HostMessage                      ◀─ Change{revision, Event} ─           pushed
//!                                                      ── open_*(…) ──────────────▶           a stream, until closed
//! ```
//!
//! Invariants: ids are Docker's own (full length); times are Unix milliseconds, durations milliseconds, sizes bytes, and the
//! unit is in the name; text for people that the UI cannot translate (an engine's message) is called `detail`; everything
//! else is an enum that the message catalogue turns into words.

mod backend;
mod command;
mod container;
mod error;
mod event;
mod export;
mod image;
mod machine;
mod message;
mod stream;

pub use backend::{Backend, Stream, Terminal};
pub use command::{Command, Reply};
pub use container::{
    Container, ContainerRef, ContainerState, EnvVar, Health, Mount, MountKind, Port, PortRequest, Protocol, Removal,
    RunContainer, StopReason,
};
pub use error::{AppError, ErrorCode, Remedy};
pub use event::{Change, Event, Snapshot};
pub use export::{bindings, export};
pub use image::{Image, ImageRemoved};
pub use machine::{ContextStatus, Figures, MachinePhase, MachineState, Problem, Stage, StageName, StageStatus};
pub use message::{ClientMessage, HostMessage};
pub use stream::{LogChunk, LogLine, LogSource, OpenLogs, OpenTerminal, StreamItem, TerminalInput};
