//! What is worth telling somebody who does not look, made out of the same changes that the UI sees.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::broadcast::error::RecvError;

use super::{Inner, jobs};
use crate::schema::{Container, ContainerState, Event, Health, MachinePhase, MachineState, News, NewsKind, StopReason};

#[derive(Default)]
pub(super) struct Desk {
    next: AtomicU32,
}

impl Inner {
    pub(super) fn tell(&self, what: NewsKind) {
        let id = self.news.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.world.news(News { id, at_unix_ms: jobs::now_unix_ms(), what });
    }
}

pub(super) async fn watch(inner: Arc<Inner>) {
    let mut changes = inner.world.changes();
    let mut reader = Reader::default();
    loop {
        match changes.recv().await {
            Ok(change) => {
                for what in reader.read(&change.event) {
                    inner.tell(what);
                }
            }
            // What was missed is old news.
            Err(RecvError::Lagged(_)) => reader = Reader::default(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// What was known before, as far as news depend on it.
#[derive(Default)]
struct Reader {
    containers: HashMap<String, (ContainerState, Option<Health>)>,
    phase: Option<MachinePhase>,
    /// It ran and went away by itself.
    fell: bool,
}

impl Reader {
    fn read(&mut self, event: &Event) -> Vec<NewsKind> {
        match event {
            Event::Containers { containers } => {
                self.containers = containers.iter().map(|row| (row.id.clone(), (row.state, row.health))).collect();
                Vec::new()
            }
            Event::Container { container } => self.container(container).into_iter().collect(),
            Event::ContainerRemoved { id } => {
                self.containers.remove(id);
                Vec::new()
            }
            Event::Machine { machine } => self.machine(machine).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn container(&mut self, row: &Container) -> Option<NewsKind> {
        let before = self.containers.insert(row.id.clone(), (row.state, row.health));
        let (state, health) = before?;
        let (container, name) = (row.id.clone(), row.name.clone());
        let ran = matches!(state, ContainerState::Running | ContainerState::Paused | ContainerState::Restarting);
        match &row.stop_reason {
            Some(reason) if ran && unexpected(reason) => {
                return Some(NewsKind::ContainerDied { container, name, reason: reason.clone() });
            }
            _ => {}
        }
        let fell_ill = row.health == Some(Health::Unhealthy) && health != Some(Health::Unhealthy);
        fell_ill.then_some(NewsKind::ContainerUnhealthy { container, name })
    }

    fn machine(&mut self, machine: &MachineState) -> Option<NewsKind> {
        let before = self.phase.replace(machine.phase)?;
        match (before, machine.phase) {
            (MachinePhase::Running, MachinePhase::Failed) => {
                self.fell = true;
                let title = machine.problem.as_ref().map(|problem| problem.title.clone()).unwrap_or_default();
                Some(NewsKind::MachineFailed { title })
            }
            (_, MachinePhase::Running) if std::mem::take(&mut self.fell) => Some(NewsKind::MachineRestarted),
            (_, MachinePhase::Off) => {
                self.fell = false;
                None
            }
            _ => None,
        }
    }
}

fn unexpected(reason: &StopReason) -> bool {
    match reason {
        StopReason::Failed { .. }
        | StopReason::OutOfMemory
        | StopReason::Signal { .. }
        | StopReason::ProgramNotFound
        | StopReason::ProgramNotExecutable
        | StopReason::StartFailed { .. } => true,
        StopReason::NotStarted | StopReason::Finished | StopReason::Stopped | StopReason::MachineStopped => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::convert::{Known, container};

    fn row(running: bool, exit_code: i64, asked: bool) -> Event {
        let state = serde_json::json!({
            "Status": if running { "running" } else { "exited" }, "Running": running, "ExitCode": exit_code,
            "StartedAt": "2026-11-21T04:00:01Z",
        });
        let found = serde_json::json!({ "Id": "a", "Name": "/web", "State": state });
        let known = Known { asked, booted_unix_ms: None };
        Event::Container { container: container(serde_json::from_value(found).unwrap(), known) }
    }

    #[test]
    fn only_what_ends_badly_and_unasked_is_news() {
        let told = |exit_code, asked| {
            let mut reader = Reader::default();
            assert_eq!(reader.read(&row(true, 0, false)), [], "a start is not");
            reader.read(&row(false, exit_code, asked))
        };
        assert_eq!(told(0, false), []);
        assert_eq!(told(137, true), []);
        let died = NewsKind::ContainerDied {
            container: "a".into(),
            name: "web".into(),
            reason: StopReason::Failed { exit_code: 3 },
        };
        assert_eq!(told(3, false), [died]);
        assert_eq!(Reader::default().read(&row(false, 3, false)), [], "it was so before we looked");
    }

    #[test]
    fn a_machine_that_falls_and_comes_back_is_told_twice() {
        let dirs = crate::dirs::Dirs { profile: "t".into(), state: "/s".into(), runtime: "/r".into() };
        let machine =
            |phase| Event::Machine { machine: MachineState { phase, ..crate::supervisor::blank_state(&dirs) } };
        let mut reader = Reader::default();
        let phases = [
            MachinePhase::Starting,
            MachinePhase::Running,
            MachinePhase::Failed,
            MachinePhase::Starting,
            MachinePhase::Running,
        ];
        let told: Vec<_> = phases.into_iter().flat_map(|phase| reader.read(&machine(phase))).collect();
        assert_eq!(told, [NewsKind::MachineFailed { title: String::new() }, NewsKind::MachineRestarted]);
    }
}
