//! `cubby up`, `down`, `restart`.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use cubby_host::daemon::Client;
use cubby_host::dirs::Dirs;
use cubby_host::schema::{MachinePhase, MachineState, StageStatus};
use indicatif::{ProgressBar, ProgressStyle};

use super::status;
use crate::failure::Failure;
use crate::show;

pub async fn up(dirs: &Dirs, json: bool) -> Result<(), Failure> {
    let mut client = Client::connect_or_spawn(dirs).await?;
    client.up().await?;
    ready(dirs, client, json).await
}

pub async fn restart(dirs: &Dirs, json: bool) -> Result<(), Failure> {
    let mut client = Client::connect_or_spawn(dirs).await?;
    client.restart().await?;
    ready(dirs, client, json).await
}

pub async fn down(dirs: &Dirs) -> Result<(), Failure> {
    let Some(client) = Client::connect(dirs).await? else {
        eprintln!("The machine is off.");
        return Ok(());
    };
    client.down_and_exit().await?;
    eprintln!("The machine is off.");
    Ok(())
}

/// Starts the machine when it is off, and waits for it, without a word when it runs already.
pub async fn ensure_up(dirs: &Dirs) -> Result<(), Failure> {
    let mut client = Client::connect_or_spawn(dirs).await?;
    if client.status().await?.machine.phase == MachinePhase::Running {
        return Ok(());
    }
    client.up().await?;
    follow(client).await.map(|_| ())
}

async fn ready(dirs: &Dirs, client: Client, json: bool) -> Result<(), Failure> {
    let machine = follow(client).await?;
    if json {
        return status::run(dirs, true).await;
    }
    let took = machine.start_took_ms.map(|ms| format!(" after {}", show::millis(ms))).unwrap_or_default();
    let accelerator = machine.accelerator.as_deref().unwrap_or("?");
    eprintln!("The machine is ready{took} ({accelerator}).");
    eprintln!("docker: export DOCKER_HOST={}   or once: cubby context use", machine.docker_host);
    Ok(())
}

/// Shows the stages until the machine runs.
async fn follow(client: Client) -> Result<MachineState, Failure> {
    let mut states = client.subscribe().await?;
    let mut progress = Progress::new();
    loop {
        let machine = states.next().await?;
        progress.show(&machine);
        match machine.phase {
            MachinePhase::Running => return Ok(machine),
            MachinePhase::Failed => {
                progress.clear();
                let problem = machine.problem.as_ref().map(Failure::problem);
                return Err(problem.unwrap_or_else(|| Failure::failed("the machine failed")));
            }
            MachinePhase::Off => return Err(Failure::failed("the machine was stopped meanwhile")),
            MachinePhase::Starting | MachinePhase::Stopping => {}
        }
    }
}

/// A line per stage that is done; on a terminal the one under way moves.
struct Progress {
    shown: usize,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { shown: 0, bar }
    }

    fn show(&mut self, machine: &MachineState) {
        let done = machine.stages.iter().take_while(|stage| stage.status == StageStatus::Done).count();
        for stage in machine.stages.iter().take(done).skip(self.shown) {
            let took = stage.took_ms.map(show::millis).unwrap_or_default();
            self.line(&format!("  ✓ {:<11} {took:>8}", show::stage(stage.stage)));
        }
        self.shown = self.shown.max(done);
        if let Some(bar) = &self.bar {
            match machine.stages.iter().find(|stage| stage.status == StageStatus::Running) {
                Some(stage) => bar.set_message(show::stage(stage.stage)),
                None => bar.set_message(show::phase(machine.phase)),
            }
            if machine.phase == MachinePhase::Running {
                bar.finish_and_clear();
            }
        }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            // A closed stderr is nobody's concern.
            None => drop(writeln!(stderr(), "{line}")),
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
