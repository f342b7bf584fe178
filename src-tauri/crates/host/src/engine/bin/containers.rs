//! Containers: stopped, and under a name that says what they were.
//!
//! ```text
//!  web ──put──▶ stopped, no restart, named cubby-bin.<when>.<how>.web ──take out──▶ web, started when it ran
//!                      └── after KEPT, or when the bin is over its budget ──▶ removed for good
//! ```
//!
//! Its old name is free again at once. What a name cannot hold stays as it was: files, settings, labels, networks, volumes.

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerSummaryStateEnum, ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    InspectContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StartContainerOptions, StopContainerOptions,
};

use super::{Budget, forgiven, kept, now_unix_s};
use crate::engine::errors::app_error;
use crate::schema::{AppError, Binned, ContainerRef};

const PREFIX: &str = "cubby-bin.";
/// Files written in binned containers, together; the oldest go first.
const BUDGET_BYTES: u64 = 4 << 30;

/// How it was: all that [`take_out`] needs and the container itself does not tell any more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    at_unix_s: u64,
    running: bool,
    volumes: bool,
    restart: Restart,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    No,
    Always,
    UnlessStopped,
    OnFailure(u32),
}

impl Restart {
    /// As the docker command is told; none without one.
    fn policy(self) -> Option<String> {
        match self {
            Self::No => None,
            Self::Always => Some("always".into()),
            Self::UnlessStopped => Some("unless-stopped".into()),
            Self::OnFailure(times) => Some(format!("on-failure:{times}")),
        }
    }
}

impl Mark {
    fn write(&self) -> String {
        let restart = match self.restart {
            Restart::No => "n".to_owned(),
            Restart::Always => "a".to_owned(),
            Restart::UnlessStopped => "u".to_owned(),
            Restart::OnFailure(times) => format!("f{times}"),
        };
        let flag = |is: bool, letter| if is { letter } else { "" };
        let how = format!("{}{}{restart}", flag(self.running, "r"), flag(self.volumes, "v"));
        format!("{PREFIX}{}.{how}.{}", self.at_unix_s, self.name)
    }

    fn read(name: &str) -> Option<Self> {
        let (at, rest) = name.strip_prefix(PREFIX)?.split_once('.')?;
        let (how, name) = rest.split_once('.')?;
        let take = |how: &mut &str, letter| {
            let rest = how.strip_prefix(letter);
            *how = rest.unwrap_or(how);
            rest.is_some()
        };
        let mut left = how;
        let (running, volumes) = (take(&mut left, 'r'), take(&mut left, 'v'));
        let restart = match left {
            "n" => Restart::No,
            "a" => Restart::Always,
            "u" => Restart::UnlessStopped,
            other => Restart::OnFailure(other.strip_prefix('f')?.parse().ok()?),
        };
        let name = (!name.is_empty()).then(|| name.to_owned())?;
        Some(Self { at_unix_s: at.parse().ok()?, running, volumes, restart, name })
    }
}

/// What a container's name says about its being in the bin.
pub fn read(name: &str) -> Option<Binned> {
    let mark = Mark::read(name)?;
    let kept = kept(mark.at_unix_s)?;
    Some(Binned {
        name: mark.name,
        at_unix_ms: kept.at_unix_ms,
        until_unix_ms: kept.until_unix_ms,
        was_running: mark.running,
        restart: mark.restart.policy(),
        volumes: mark.volumes,
    })
}

/// Stops it and puts it into the bin; `volumes`: its unnamed volumes go with it in the end.
pub async fn put(docker: &Docker, id: &str, volumes: bool) -> Result<(), AppError> {
    const TITLE: &str = "It could not be removed";
    let failed = |err| app_error(TITLE, err);
    let found = docker.inspect_container(id, None::<bollard::query_parameters::InspectContainerOptions>).await;
    let found = found.map_err(failed)?;
    let name = found.name.unwrap_or_default().trim_start_matches('/').to_owned();
    let host = found.host_config.unwrap_or_default();
    if Mark::read(&name).is_some() {
        return Ok(());
    }
    if host.auto_remove == Some(true) {
        let detail = "it was made to vanish as soon as it stops (--rm), so there is no way back: remove it for good";
        return Err(AppError::failed("It cannot go into the bin", detail));
    }
    let restart = restart_of(host.restart_policy);
    let running = found.state.and_then(|state| state.running) == Some(true);
    let mark = Mark { at_unix_s: now_unix_s(), running, volumes, restart, name };
    // Why before the stop: nothing may start it again in between, nor when the engine starts.
    if restart != Restart::No {
        set_restart(docker, id, Restart::No).await.map_err(failed)?;
    }
    if running {
        docker.stop_container(id, None::<StopContainerOptions>).await.map_err(failed)?;
    }
    rename(docker, id, &mark.write()).await.map_err(failed)
}

/// Out of the bin, under its old name or, when that is taken, one like it.
pub async fn take_out(docker: &Docker, id: &str) -> Result<ContainerRef, AppError> {
    let failed = |err| app_error("It could not be taken out of the bin", err);
    let found = docker.inspect_container(id, None::<bollard::query_parameters::InspectContainerOptions>).await;
    let found = found.map_err(failed)?;
    let current = found.name.unwrap_or_default().trim_start_matches('/').to_owned();
    let Some(mark) = Mark::read(&current) else {
        return Ok(ContainerRef { id: id.to_owned(), name: current });
    };
    let name = give_name_back(docker, id, &mark.name).await.map_err(failed)?;
    if mark.restart != Restart::No {
        set_restart(docker, id, mark.restart).await.map_err(failed)?;
    }
    if mark.running {
        let started = docker.start_container(id, None::<StartContainerOptions>).await;
        started.map_err(|err| app_error(&format!("{name} is back, but could not be started"), err))?;
    }
    Ok(ContainerRef { id: id.to_owned(), name })
}

/// Removes for good what is too old or too much; all of it when `everything`. What somebody started meanwhile (Compose finds
/// containers by their labels, whatever they are called) is in use, and gets its name back instead.
pub async fn sweep(docker: &Docker, everything: bool) -> Result<(), Error> {
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let listed = docker.list_containers(Some(options)).await?;
    let mut binned = Vec::new();
    for row in listed {
        let name = row.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let (Some(mark), Some(id)) = (Mark::read(name.trim_start_matches('/')), row.id) else { continue };
        if row.state.is_some_and(in_use) {
            give_name_back(docker, &id, &mark.name).await?;
        } else {
            binned.push((mark, id));
        }
    }
    // The newest first: what is left of the budget is theirs.
    binned.sort_by_key(|(mark, _)| std::cmp::Reverse(mark.at_unix_s));
    let mut budget = Budget::of(BUDGET_BYTES, everything);
    for (mark, id) in binned {
        let mut bytes = 0;
        if budget.asks_size(mark.at_unix_s) {
            let options = InspectContainerOptionsBuilder::default().size(true).build();
            let found = docker.inspect_container(&id, Some(options)).await;
            bytes = found.ok().and_then(|found| found.size_rw).and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        }
        if !budget.keeps(mark.at_unix_s, bytes) {
            forgiven(remove(docker, &id, mark.volumes).await)?;
        }
    }
    Ok(())
}

fn in_use(state: ContainerSummaryStateEnum) -> bool {
    use ContainerSummaryStateEnum::{PAUSED, RESTARTING, RUNNING};
    matches!(state, RUNNING | PAUSED | RESTARTING)
}

/// Its old name or, when that is taken, one like it; says which.
async fn give_name_back(docker: &Docker, id: &str, wanted: &str) -> Result<String, Error> {
    let mut name = wanted.to_owned();
    let mut number = 2;
    while let Err(err) = rename(docker, id, &name).await {
        if !matches!(err, Error::DockerResponseServerError { status_code: 409, .. }) || number > 99 {
            return Err(err);
        }
        name = format!("{wanted}-{number}");
        number += 1;
    }
    Ok(name)
}

async fn remove(docker: &Docker, id: &str, volumes: bool) -> Result<(), Error> {
    docker.remove_container(id, Some(RemoveContainerOptionsBuilder::default().force(true).v(volumes).build())).await
}

async fn rename(docker: &Docker, id: &str, name: &str) -> Result<(), Error> {
    docker.rename_container(id, RenameContainerOptionsBuilder::default().name(name).build()).await
}

async fn set_restart(docker: &Docker, id: &str, restart: Restart) -> Result<(), Error> {
    let (name, maximum) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure(times) => (RestartPolicyNameEnum::ON_FAILURE, Some(i64::from(times))),
    };
    let policy = RestartPolicy { name: Some(name), maximum_retry_count: maximum };
    let body = ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
    docker.update_container(id, body).await
}

fn restart_of(policy: Option<RestartPolicy>) -> Restart {
    let times = policy.as_ref().and_then(|policy| policy.maximum_retry_count);
    match policy.and_then(|policy| policy.name) {
        Some(RestartPolicyNameEnum::ALWAYS) => Restart::Always,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => Restart::UnlessStopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => {
            Restart::OnFailure(times.and_then(|times| u32::try_from(times).ok()).unwrap_or(0))
        }
        _ => Restart::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for restart in [Restart::No, Restart::Always, Restart::UnlessStopped, Restart::OnFailure(7)] {
            for (running, volumes) in [(true, true), (true, false), (false, true), (false, false)] {
                let mark = Mark { at_unix_s: 1_763_720_000, running, volumes, restart, name: "my.web_1-x".into() };
                let name = mark.write();
                assert!(name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c)), "{name}");
                assert_eq!(Mark::read(&name), Some(mark));
            }
        }
    }

    #[test]
    fn other_names_are_no_marks() {
        for name in [
            "web",
            "cubby-bin",
            "cubby-bin.web",
            "cubby-bin.12.web",
            "cubby-bin.x.rn.web",
            "cubby-bin.1.rn.",
            "cubby-bin.1.q.web",
        ] {
            assert_eq!(Mark::read(name), None, "{name}");
        }
        assert_eq!(read(&format!("cubby-bin.{}.n.web", u64::MAX)), None);
    }
}
