//! What the rest of the project calls: the device, and the events of its folders.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::folders::Folders;
use crate::fs::{Fs, Step};
use crate::server::Server;
use crate::vhost::Serving;
use crate::watch::{Reader, Seen, Sink, Watch};

/// The device of one guest. Dropping it ends its socket and threads.
pub struct Device {
    shares: Shares,
    _serving: Serving,
}

impl Device {
    /// Creates `socket` (mode 0600; what stood there is replaced) and serves one QEMU after the other on it.
    pub fn bind(socket: &Path, folders: Folders) -> io::Result<Device> {
        let watch = Watch::new()
            .inspect_err(|err| tracing::warn!(%err, "changes in shared folders are not told to the guest"))
            .ok();
        let fs = Arc::new(Fs::new(folders, watch.clone()));
        let serving = Serving::start(socket, Arc::new(Server::new(fs.clone())))?;
        Ok(Device { shares: Shares { fs, watch }, _serving: serving })
    }

    /// A handle to the folders; outlives the device.
    pub fn shares(&self) -> Shares {
        self.shares.clone()
    }
}

/// The shared folders, for whoever carries their events to the guest.
#[derive(Clone)]
pub struct Shares {
    fs: Arc<Fs>,
    watch: Option<Arc<Watch>>,
}

impl Shares {
    /// Gives what happens in the folders to `sink`, on a thread of its own, until the reader is dropped. `None`: this
    /// host tells nobody.
    pub fn watch(&self, sink: Sink) -> io::Result<Option<Reader>> {
        self.watch.as_ref().map(|watch| watch.read(sink)).transpose()
    }

    /// The guest's agent, by the number of its thread; `None` when it is gone. See `fs::replay`.
    pub fn set_agent(&self, agent: Option<u32>) {
        self.fs.set_agent(agent);
    }

    /// What the agent shall repeat for something seen.
    pub fn steps(&self, seen: &Seen) -> Vec<Step> {
        self.fs.steps(seen)
    }

    /// The agent is about to repeat these steps; an empty list when it has.
    pub fn script(&self, steps: &[Step]) {
        self.fs.script(steps);
    }
}
