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
mod engine;
mod error;
mod event;
mod export;
mod files;
mod image;
mod job;
mod machine;
mod message;
mod news;
mod reach;
mod registry;
mod run;
mod shell;
mod stats;
mod store;
mod stream;
mod upkeep;

pub use backend::{Backend, Looking, Stream, Terminal};
pub use command::{Command, Reply};
pub use container::{
    Binned, Container, ContainerRef, ContainerState, Health, Kept, Mount, MountKind, Port, Protocol, Removal,
    StopReason,
};
pub use engine::{EngineCommand, EngineEntry, EngineTls, Engines};
pub use error::{AppError, ErrorCode, Remedy};
pub use event::{Change, Event, Snapshot};
pub use export::{bindings, export};
pub use files::{FileChange, FileContent, FileEntry, FileKind, FileListing};
pub use image::{
    Image, ImageCommand, ImageFound, ImageLayer, ImageRemoved, ImageReply, LayerFile, PruneItem, PrunePreview,
};
pub use job::{FileSource, FileTarget, Job, JobCommand, JobKind, JobState, JobStep, StepState};
pub use machine::{ContextStatus, Figures, MachinePhase, MachineState, Problem, Stage, StageName, StageStatus};
pub use message::{ClientMessage, HostMessage};
pub use news::{DiskKind, News, NewsKind};
pub use reach::{Reach, ReachCommand};
pub use registry::{Login, LoginStore, RegistryCommand, Secret};
pub use run::{EnvVar, MountRequest, PortRequest, RunContainer};
pub use shell::{ShellCommand, ShellReply};
pub use stats::{ProcessTable, StatsSample};
pub use store::{Member, Network, NetworkCommand, NetworkReply, Volume, VolumeCommand, VolumeReply, VolumeSize};
pub use stream::{LogChunk, LogLine, LogSource, OpenLogs, OpenTerminal, StreamItem, TerminalInput};
pub use upkeep::{
    Check, CheckVerdict, GuestVersion, Held, Limits, MachineSettings, UpkeepCommand, UpkeepReply, Usage, UsageItem,
    UsageKind, Versions,
};
