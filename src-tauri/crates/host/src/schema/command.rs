//! Every request the UI makes, and what comes back.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{ContainerRef, ContextStatus, ImageRemoved, Removal, RunContainer, Snapshot};

/// A command's doc comment names its [`Reply`] variant. Long work (a stop, a start) answers when it is done; the UI shows
/// progress from the events meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// → `snapshot`. Works while the machine is off.
    Snapshot,

    /// → `done` once the start is under way (its progress is in the events); does nothing when running.
    MachineStart,
    /// → `done` when off. Containers are stopped in order.
    MachineStop,
    /// → `done` once the start is under way.
    MachineRestart,

    /// Loads the bundled demo image if absent, creates the container `hello` on port 8080 (or a free one) if absent, starts it.
    /// → `container`
    DemoRun,
    /// → `container`
    ContainerRun { run: RunContainer },
    /// → `done`
    ContainerStart { id: String },
    /// → `done` when it stopped.
    ContainerStop { id: String },
    /// → `done`
    ContainerRestart { id: String },
    /// → `done`
    ContainerKill { id: String },
    /// → `done`
    ContainerPause { id: String },
    /// → `done`
    ContainerUnpause { id: String },
    /// What [`Command::ContainerRemove`] would take. → `removal`
    ContainerRemoval { id: String },
    /// By force when running; unnamed volumes go too when `volumes`. → `done`
    ContainerRemove { id: String, volumes: bool },
    /// The engine's own JSON (`docker inspect`), pretty-printed. → `text`
    ContainerInspect { id: String },

    /// `force` also removes the names when stopped containers use it. → `image_removed`
    ImageRemove { id: String, force: bool },

    /// http and https only. → `done`
    UrlOpen { url: String },
    /// Shows the machine's console log in the system's viewer. → `done`
    ConsoleLogOpen,
    /// The last lines of the console log. → `text`
    ConsoleLogTail { lines: u32 },
    /// → `context`
    ContextStatus,
    /// Creates or repairs the `cubby` context; never switches to it. → `context`
    ContextCreate,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    Done,
    Snapshot { snapshot: Box<Snapshot> },
    Container { container: ContainerRef },
    Removal { removal: Removal },
    ImageRemoved { removed: ImageRemoved },
    Text { text: String },
    Context { context: ContextStatus },
}
