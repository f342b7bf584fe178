//! Remove: the container, its writable layer, its log, its own volumes.

use std::sync::Arc;

use super::{Container, Containers, stop::StopOptions};
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Kill it first when it runs.
    pub force: bool,
    /// Its anonymous volumes, too.
    pub volumes: bool,
    /// A link instead of the container.
    pub link: bool,
}

impl Containers {
    pub async fn remove(&self, name: &str, options: RemoveOptions) -> Result<()> {
        let container = self.find(name)?;
        if options.link {
            return self.remove_link(name);
        }
        self.remove_named(&container, name, options).await
    }

    pub(super) async fn remove_container(&self, container: &Arc<Container>, options: RemoveOptions) -> Result<()> {
        self.remove_named(container, &container.id, options).await
    }

    async fn remove_named(&self, container: &Arc<Container>, name: &str, options: RemoveOptions) -> Result<()> {
        self.begin_removal(container, name, options)?;
        let removed = self.clean_up(container, options).await;
        if let Err(error) = removed {
            self.note(container, |record| {
                record.state.removing = false;
                record.remove_volumes = false;
            });
            return Err(Error::new(error.kind(), format!("cannot remove container {name:?}: {}", error.message())));
        }
        Ok(())
    }

    /// One removal at a time.
    fn begin_removal(&self, container: &Container, name: &str, options: RemoveOptions) -> Result<()> {
        let mut busy = false;
        self.change(container, |record| {
            busy = record.state.removing;
            record.state.removing = true;
            record.remove_volumes |= options.volumes;
        })?;
        if busy {
            return Err(Error::conflict(format!("removal of container {name} is already in progress")));
        }
        if self.table().get(&container.id).is_none() {
            return Err(Error::not_found(format!("No such container: {name}")));
        }
        Ok(())
    }

    /// Source: moby daemon/delete.go `cleanupContainer`.
    async fn clean_up(&self, container: &Arc<Container>, options: RemoveOptions) -> Result<()> {
        self.settled(container).await;
        let state = container.record().state.clone();
        if state.running {
            if !options.force {
                return Err(Error::conflict(if state.paused {
                    "container is paused and must be unpaused first".to_owned()
                } else {
                    format!("container is {}: stop the container before removing or force remove", state.status())
                }));
            }
            if let Err(error) = self.kill_and_wait(container).await
                && container.record().state.running
            {
                return Err(Error::new(error.kind(), format!("could not kill container: {}", error.message())));
            }
        }
        let stop = StopOptions { timeout_s: Some(3), ..StopOptions::default() };
        self.stop_container(container, stop).await?;
        let _transition = container.transition.lock().await;
        container.stay_stopped.send_replace(true);
        let record = self.change(container, |record| record.state.dead = true)?;
        if record.started_before {
            // There is one only when a crash came between the end of a run and its clean-up.
            self.give_back_cgroup(&record).await;
        }
        if !self.remove_directory(&container.id).await {
            return Err(Error::internal("unable to remove filesystem"));
        }
        self.table_mut().remove(&container.id);
        self.execs.forget(&container.id);
        self.parts.images.release_hidden();
        if options.volumes {
            self.remove_anonymous_volumes(&record).await;
        }
        // Why last: until then a crash leaves the order to finish this.
        let forgotten = self.parts.state.delete(super::KIND, &container.id);
        forgotten.map_err(|source| Error::system("forget the container", source))?;
        container.streams.stdout.close();
        container.streams.stderr.close();
        container.streams.stdin.close();
        container.removed.send_replace(true);
        self.event(&record, "destroy", &[]);
        Ok(())
    }
}
