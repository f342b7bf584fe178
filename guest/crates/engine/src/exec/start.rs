//! Starting an exec, and its end.

use std::{sync::Arc, time::Duration};

use cubby_runtime::{Spawn, SpawnError, Stdio, Target, WinSize};
use oci_spec::runtime::Spec;

use super::{Exec, META, create::container_root};
use crate::{
    containers::{
        Container, Containers, ProcessWish, Security, process_of, resize_terminal, start_failure,
        streams::{self, DetachKeys, Output, Streams},
        users::Accounts,
    },
    error::{Error, Result},
};

const OUTPUT_PATIENCE: Duration = Duration::from_secs(2);
/// What a failed start leaves when nothing better is known. Source: moby daemon/exec.go.
const NOT_STARTED: i32 = 126;

/// A client's ends of an exec, taken before its start so that nothing is missed.
pub struct ExecAttach {
    pub exec: Arc<Exec>,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    pub stdin: Option<Arc<Streams>>,
    pub detach_keys: DetachKeys,
}

impl Containers {
    /// # Errors
    /// `No such exec instance: …`.
    pub fn exec(&self, id: &str) -> Result<Arc<Exec>> {
        self.execs.find(id)
    }

    /// The first half of a start: checks, and the client's ends. [`Containers::exec_run`] must follow.
    ///
    /// # Errors
    /// Conflict when it runs or has run, or its container does not run.
    pub fn exec_begin(&self, id: &str, attach: bool) -> Result<ExecAttach> {
        let exec = self.execs.find(id)?;
        let container =
            self.find(&exec.container_id).map_err(|_| Error::not_found(format!("No such container: {id}")))?;
        self.check_active(&container, &container.id)?;
        {
            let mut state = exec.state();
            if state.exit_code.is_some() {
                return Err(Error::conflict(format!("exec command {id} has already run")));
            }
            if state.running {
                return Err(Error::conflict(format!("exec command {id} is already running")));
            }
            state.running = true;
        }
        let options = &exec.options;
        let action = format!("exec_start: {}", exec.command());
        self.event(&container.record(), action, &[("execID", exec.id.clone())]);
        Ok(ExecAttach {
            stdout: (attach && options.attach_stdout).then(|| exec.streams.stdout.attach()),
            stderr: (attach && options.attach_stderr && !options.tty).then(|| exec.streams.stderr.attach()),
            stdin: (attach && options.attach_stdin).then(|| exec.streams.clone()),
            detach_keys: exec.detach_keys.clone(),
            exec,
        })
    }

    /// The second half: the process. `size`: rows and columns of its terminal.
    ///
    /// # Errors
    /// What keeps the process from running, worded as dockerd does.
    pub async fn exec_run(&self, exec: &Arc<Exec>, size: Option<[u32; 2]>, attached: bool) -> Result<()> {
        let mut started = self.exec_spawn(exec, size, attached).await;
        if let Err((error, _)) = &started
            && let Ok(container) = self.find(&exec.container_id)
            // A process that is just ending has lost its namespaces before its end can be seen.
            && (container.process_has_ended() || error.message().contains("no such process"))
        {
            // Why instead: whatever failed, it failed because there was no container any more.
            let gone = Error::conflict(format!("container {} is not running", container.id));
            started = Err((gone, NOT_STARTED));
        }
        if let Err((_, code)) = &started {
            exec.streams.stdout.close();
            exec.streams.stderr.close();
            exec.streams.stdin.close();
            exec.end(*code);
        }
        started.map_err(|(error, _)| error)
    }

    async fn exec_spawn(&self, exec: &Arc<Exec>, size: Option<[u32; 2]>, attached: bool) -> Result<(), (Error, i32)> {
        let plain = |error: Error| (error, NOT_STARTED);
        let container = self.find(&exec.container_id).map_err(plain)?;
        let spec = exec_spec(exec, &container, size).await.map_err(plain)?;
        let record = container.record();
        let security = Security::parse(&record.host_config).map_err(plain)?;
        let seccomp = security.filter(&record.host_config).map_err(|text| plain(Error::internal(text)))?;
        let cgroup = container
            .live_cgroup()
            .ok_or_else(|| plain(Error::conflict(format!("container {} is not running", container.id))))?;
        let [rows, cols] = size.or(exec.options.console_size).unwrap_or_default().map(|n| n.try_into().unwrap_or(0));
        let spawn = Spawn {
            key: exec.id.clone(),
            meta: META.to_vec(),
            spec: Arc::new(spec),
            target: Target::Exec { container: container.id.clone() },
            stdio: Stdio {
                tty: exec.options.tty.then_some(WinSize { rows, cols }),
                stdin: exec.options.attach_stdin && attached,
            },
            cgroup: Some(cgroup),
            seccomp,
        };
        let mut process = self.parts.runtime.spawn(spawn).await.map_err(|error| match error {
            SpawnError::Runtime(error) => plain(Error::system("start the exec's process", error)),
            SpawnError::NotRunning(_) => plain(Error::conflict(format!("container {} is not running", container.id))),
            error => start_failure(format!("OCI runtime exec failed: exec failed: {error}: unknown")),
        })?;
        let pumps = streams::start((&mut process).into(), &exec.streams, None)
            .map_err(|source| plain(Error::system("read the exec's output", source)))?;
        {
            let mut state = exec.state();
            state.pid = process.pid;
            state.pidfd = Some(Arc::new(process.pidfd));
            state.pumps = Some(pumps);
        }
        let (me, exec) = (self.me(), exec.clone());
        tokio::spawn(async move { me.exec_watch(&exec, &container).await });
        Ok(())
    }

    async fn exec_watch(&self, exec: &Exec, container: &Container) {
        let exited = self.parts.runtime.exited(&exec.id).await;
        let code = exited.map_or(137, |exited| exited.status.docker_code());
        exec.streams.stdin.close();
        let pumps = exec.state().pumps.take();
        if let Some(pumps) = pumps {
            pumps.finish(OUTPUT_PATIENCE).await;
        }
        let attributes = [("execID", exec.id.clone()), ("exitCode", code.to_string())];
        self.event(&container.record(), "exec_die", &attributes);
        exec.end(code);
        if let Err(error) = self.parts.runtime.release(&exec.id).await {
            tracing::debug!(err = %error, "the keeper could not be told to forget an exec");
        }
    }

    pub fn exec_resize(&self, id: &str, rows: u16, cols: u16) -> Result<()> {
        let exec = self.execs.find(id)?;
        let state = exec.state();
        if !state.running {
            return Err(Error::conflict(format!("exec command {id} is not running")));
        }
        match state.pumps.as_ref().and_then(streams::Pumps::pty) {
            Some(pty) => resize_terminal(pty, rows, cols),
            None => Ok(()),
        }
    }

    /// The client has left by its detach keys.
    pub fn exec_detached(&self, exec: &Exec) {
        if let Ok(container) = self.find(&exec.container_id) {
            self.event(&container.record(), "exec_detach", &[("execID", exec.id.clone())]);
        }
    }
}

async fn exec_spec(exec: &Arc<Exec>, container: &Arc<Container>, size: Option<[u32; 2]>) -> Result<Spec> {
    let (exec, container) = (exec.clone(), container.clone());
    let built = tokio::task::spawn_blocking(move || {
        let record = container.record();
        let root = container_root(&container)?;
        let accounts =
            Accounts::read(&root).map_err(|source| Error::system("read the container's accounts", source))?;
        let groups = record.host_config.group_add.clone().unwrap_or_default();
        let user = accounts.resolve(&exec.user, &groups).map_err(Error::internal)?;
        let [rows, cols] = size.or(exec.options.console_size).unwrap_or_default().map(|n| n.try_into().unwrap_or(0));
        let wish = ProcessWish {
            args: exec.options.cmd.0.clone(),
            env: exec.env.clone(),
            cwd: if exec.working_dir.is_empty() { "/".to_owned() } else { exec.working_dir.clone() },
            tty: exec.options.tty,
            privileged: exec.options.privileged,
            size: (rows > 0 && cols > 0).then_some((rows, cols)),
        };
        let mut spec = Spec::default();
        spec.set_process(Some(process_of(&record, &wish, &user, &Security::parse(&record.host_config)?)));
        Ok(spec)
    });
    built.await.map_err(|error| Error::internal(format!("exec: {error}")))?
}
