//! Creating an exec.

use std::{os::fd::OwnedFd, sync::Arc};

use rustix::fs::{Mode, OFlags, open};
use tokio::sync::watch;

use super::{Exec, ExecOptions};
use crate::{
    containers::{
        Container, Containers, environment, override_environment, random_id, streams::DetachKeys, users::Accounts,
    },
    error::{Error, Result},
};

impl Containers {
    /// Returns the new exec's id.
    ///
    /// # Errors
    /// Not found, conflict when the container does not run, invalid for users and keys that are not there.
    pub async fn exec_create(&self, name: &str, options: ExecOptions) -> Result<String> {
        if options.cmd.0.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        if options.cmd.0.iter().chain(&options.env).any(|word| word.contains('\0')) {
            return Err(Error::invalid("exec command contains a NUL byte"));
        }
        let container = self.find(name)?;
        self.check_active(&container, name)?;
        if !options.user.is_empty() {
            let root = container_root(&container)?;
            let groups = container.record().host_config.group_add.clone().unwrap_or_default();
            let accounts =
                Accounts::read(&root).map_err(|source| Error::system("read the container's accounts", source))?;
            accounts.resolve(&options.user, &groups).map_err(Error::invalid)?;
        }
        let detach_keys = DetachKeys::parse(&options.detach_keys)
            .ok_or_else(|| Error::invalid(format!("Invalid escape keys ({}) provided", options.detach_keys)))?;
        let record = container.record();
        let mut env = environment(&record, options.tty, record.config.env());
        override_environment(&mut env, &options.env);
        let or = |asked: &str, default: &str| if asked.is_empty() { default.to_owned() } else { asked.to_owned() };
        let exec = Arc::new(Exec {
            id: random_id()?,
            container_id: record.id.clone(),
            user: or(&options.user, &record.config.user),
            working_dir: or(&options.working_dir, &record.config.working_dir),
            env,
            detach_keys,
            streams: Arc::default(),
            state: Default::default(),
            ended: watch::Sender::new(false),
            options,
        });
        let id = exec.id.clone();
        let action = format!("exec_create: {}", exec.command());
        self.execs.insert(exec);
        self.event(&record, action, &[("execID", id.clone())]);
        Ok(id)
    }

    /// Refuses containers in which nothing can be executed now.
    pub(super) fn check_active(&self, container: &Container, name: &str) -> Result<()> {
        let state = &container.record().state;
        if !state.running {
            return Err(Error::conflict(format!("container {} is not running", container.id)));
        }
        if state.paused {
            return Err(Error::conflict(format!("Container {name} is paused, unpause the container before exec")));
        }
        if state.restarting {
            return Err(Error::conflict(format!(
                "Container {} is restarting, wait until the container is running",
                container.id
            )));
        }
        Ok(())
    }
}

/// The root directory of a running container's first process.
pub(super) fn container_root(container: &Container) -> Result<OwnedFd> {
    let pid = container.record().state.pid;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(format!("/proc/{pid}/root"), flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::NOENT | rustix::io::Errno::SRCH => {
            Error::conflict(format!("container {} is not running", container.id))
        }
        error => Error::system("open the container's root", std::io::Error::from(error)),
    })
}
