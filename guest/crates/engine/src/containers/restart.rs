//! Restart: stop and start as one request.

use std::sync::atomic::Ordering;

use super::{Containers, stop::StopOptions};
use crate::error::{Error, Result};

impl Containers {
    pub async fn restart(&self, name: &str, options: StopOptions) -> Result<()> {
        let container = self.find(name)?;
        let prefix =
            |error: Error| Error::new(error.kind(), format!("Cannot restart container {name}: {}", error.message()));
        self.settled(&container).await;
        if container.record().state.running {
            container.restarting_by_hand.store(true, Ordering::Release);
            let stopped = self.stop_container(&container, options).await;
            if let Err(error) = stopped {
                container.restarting_by_hand.store(false, Ordering::Release);
                return Err(prefix(error));
            }
        }
        let started = self.start_container(&container, true).await;
        container.restarting_by_hand.store(false, Ordering::Release);
        started.map_err(prefix)?;
        self.event(&container.record(), "restart", &[]);
        Ok(())
    }
}
