//! Every request the UI makes, and what comes back.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{
    ContainerRef, ContextStatus, EngineCommand, Engines, FileContent, FileListing, ImageCommand, ImageRemoved,
    ImageReply, JobCommand, Login, NetworkCommand, NetworkReply, Reach, ReachCommand, RegistryCommand, Removal,
    RunContainer, Snapshot, UpkeepCommand, UpkeepReply, VolumeCommand, VolumeReply,
};

/// A command's doc comment names its [`Reply`] variant. Long work (a stop, a start) answers when it is done; the UI shows
/// progress from the events meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
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
    /// Fetches the image first when it is not here. → `container`
    ContainerRun { run: Box<RunContainer> },
    /// What would make the same container again. → `recipe`
    ContainerRecipe { id: String },
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
    /// Stops it and puts it into the bin. → `done`
    ContainerBin { id: String, volumes: bool },
    /// Takes it out of the bin, and starts it when it ran. → `container`
    ContainerRestore { id: String },
    /// Removes everything in the bin for good. → `done`
    BinEmpty,
    /// → `files`
    ContainerFiles { id: String, path: String },
    /// The first 256 KiB. → `file`
    ContainerFileRead { id: String, path: String },
    /// Replaces the file's text; it keeps its permissions and owner. → `done`
    ContainerFileWrite { id: String, path: String, text: String },
    /// Saves a file, or a directory as an archive, there or into the user's downloads. → `text`: where
    ContainerFileSave { id: String, path: String, to: Option<String> },
    /// One part (at most 1 MiB, base64) of a file for `directory`; written when the last part is there. Parts of an upload have
    /// one number, chosen by the UI, and come in order. → `done`
    ContainerFilePut { id: String, directory: String, name: String, upload: u32, part: String, last: bool },
    /// Saves the whole log as text there or into the user's downloads. → `text`: where
    ContainerLogsSave { id: String, to: Option<String> },

    /// The engine's own JSON (`docker inspect`), pretty-printed. → `text`
    ContainerInspect { id: String },

    /// `force` also removes the names when stopped containers use it. → `image_removed`
    ImageRemove { id: String, force: bool },

    /// → `image`
    Image { command: ImageCommand },
    /// → `logins`
    Registry { command: RegistryCommand },
    /// → `reach`
    Reach { command: ReachCommand },
    /// → `volume`
    Volume { command: VolumeCommand },
    /// → `network`
    Network { command: NetworkCommand },
    /// → `done`
    Job { command: JobCommand },
    /// → `engines`
    Engine { command: EngineCommand },
    /// → `upkeep`
    Upkeep { command: UpkeepCommand },
    /// One part (at most 1 MiB, base64) of a file that a command then reads as [`super::FileSource::Upload`]. → `done`
    FilePart { ticket: String, part: String },

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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    Done,
    Snapshot {
        snapshot: Box<Snapshot>,
    },
    Container {
        container: ContainerRef,
    },
    Removal {
        removal: Removal,
    },
    ImageRemoved {
        removed: ImageRemoved,
    },
    Text {
        text: String,
    },
    Recipe {
        run: Box<RunContainer>,
    },
    Files {
        listing: FileListing,
    },
    File {
        file: FileContent,
    },
    Context {
        context: ContextStatus,
    },
    Image {
        reply: ImageReply,
    },
    Logins {
        logins: Vec<Login>,
    },
    /// What is set, and the registries with a certificate of their own.
    Reach {
        reach: Reach,
        trusted: Vec<String>,
    },
    Volume {
        reply: VolumeReply,
    },
    Network {
        reply: NetworkReply,
    },
    Engines {
        engines: Engines,
    },
    Upkeep {
        reply: UpkeepReply,
    },
}
