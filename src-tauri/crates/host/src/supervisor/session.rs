//! One session: a machine from its preparation to its end.

use std::sync::Arc;
use std::time::Duration;

use cubby_machine::{ExitReason, StopMode};
use cubby_wire::boot::{BootMessage, Stage};
use cubby_wire::ports;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::activity::Activity;
use super::hardware::{Listen, Machine};
use super::task::{End, Task};
use super::{HostFigures, balloon, boot, clock, sleep};
use crate::access::Access;
use crate::control::Control;
use crate::forwarder::Forwarder;
use crate::link::Link;
use crate::schema::{MachinePhase, Problem, Remedy, StageName};

/// Streams of published ports at once: one per running container.
const PUBLISHERS: usize = 4096;
/// Messages of pid 1 that wait for the task.
const BOOT_MESSAGES: usize = 16;

/// What happened next in a session.
enum Happened {
    Went(ExitReason),
    Told(BootMessage),
    Checked(Result<(), String>),
    Wished(Option<oneshot::Sender<HostFigures>>),
    Late,
    /// Nobody used the machine for a while.
    Quiet,
    /// Somebody wants the machine that sleeps.
    Wanted,
}

/// A machine that is on.
pub(super) struct On {
    pub machine: Box<dyn Machine>,
    link: Link,
    pub activity: Arc<Activity>,
    /// Asks for a look at the guest's clock.
    pub clock: Arc<Notify>,
    messages: mpsc::Receiver<BootMessage>,
    /// Serves published ports, receives boot messages, sets the clock; ends with the session.
    helpers: JoinSet<()>,
    /// The last stage of a start, under way.
    check: Option<tokio::task::JoinHandle<Result<(), String>>>,
    /// Reports that the machine may sleep.
    quiet: mpsc::Receiver<()>,
    keeps_time: bool,
}

impl Task {
    pub async fn session(&mut self) -> End {
        self.board.starting();
        self.wishes.tell_starting();
        match self.power_on().await {
            Ok(Some(on)) => self.follow(on).await,
            Ok(None) => End::Asked,
            Err(problem) => End::Failed(problem),
        }
    }

    /// `None`: not wanted any more.
    async fn power_on(&mut self) -> Result<Option<On>, Problem> {
        let hardware = self.hardware.clone();
        // Not cut short by a wish: a half-made data disk would hold up the next start.
        let prepared = self.within(StageName::Prepare, hardware.prepare()).await??;
        self.board.accelerator(prepared.accelerator);
        self.board.notice(prepared.notice);
        self.board.reached(StageName::Prepare);
        if self.wishes.end {
            return Ok(None);
        }
        let mut machine = prepared.machine;
        let mut helpers = JoinSet::new();
        let (sender, messages) = mpsc::channel(BOOT_MESSAGES);
        helpers.spawn(boot::feed(machine.listen(ports::BOOT)?, sender));
        let link = machine.link();
        let activity = Activity::new();
        let forwarder = Forwarder::new(activity.watch(link.clone()), self.config.forwarder);
        helpers.spawn(publish(machine.listen(ports::PUBLISH)?, forwarder));
        if let Some(shares) = machine.shares() {
            helpers.spawn(crate::shares::carry(shares, link.clone()));
        }
        self.within(StageName::Power, machine.start()).await??;
        self.board.reached(StageName::Power);
        if let Some(balloon) = machine.balloon() {
            helpers.spawn(balloon::keep(balloon, link.clone(), self.config.ask, activity.clone()));
        }
        let (quiet_sender, quiet) = mpsc::channel(1);
        if let Some(when) = self.config.sleep {
            helpers.spawn(sleep::tell_quiet(when, link.clone(), self.config.ask, activity.clone(), quiet_sender));
        }
        let clock = Arc::default();
        Ok(Some(On { machine, link, activity, clock, messages, helpers, check: None, quiet, keeps_time: false }))
    }

    /// Waits for `work`, which wishes do not interrupt but a deadline does.
    async fn within<T>(&mut self, stage: StageName, work: impl Future<Output = T>) -> Result<T, Problem> {
        let deadline = self.config.deadline(stage);
        let late = tokio::time::Instant::now() + deadline;
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                _ = self.wishes.hear() => {}
                () = sleep_until(late) => return Err(too_slow(stage, deadline)),
            }
        }
    }

    /// From power on to the end.
    async fn follow(&mut self, mut on: On) -> End {
        let mut stage = self.board.current();
        let mut late = tokio::time::Instant::now() + self.config.deadline(stage);
        let mut ran = false;
        loop {
            if self.wishes.end {
                self.power_off(on).await;
                return End::Asked;
            }
            let running = self.board.phase() == MachinePhase::Running;
            ran |= running;
            let happened = tokio::select! {
                reason = on.machine.wait() => Happened::Went(reason),
                Some(message) = on.messages.recv() => Happened::Told(message),
                checked = check(&mut on.check) => Happened::Checked(checked),
                asked = self.wishes.hear() => Happened::Wished(asked),
                () = sleep_until(late), if !running => Happened::Late,
                Some(()) = on.quiet.recv(), if running && !on.activity.is_sleeping() => Happened::Quiet,
                () = on.activity.wanted(), if on.activity.is_sleeping() => Happened::Wanted,
            };
            let ended = match happened {
                Happened::Wished(asked) => {
                    if let Some(asked) = asked {
                        let _ = asked.send(HostFigures { figures: on.machine.figures(), pid: on.machine.pid() });
                    }
                    None
                }
                Happened::Went(reason) if ran => Some(End::Crashed(sentence(&reason.to_string()))),
                Happened::Went(reason) => Some(End::Failed(died_at(self.board.current(), &reason))),
                Happened::Told(message) => self.told(&mut on, message).map(End::Failed),
                Happened::Checked(Ok(())) => {
                    self.opened(&mut on);
                    None
                }
                Happened::Checked(Err(reason)) => Some(End::Failed(failed_at(StageName::Ready, reason))),
                Happened::Late => {
                    let stage = self.board.current();
                    Some(End::Failed(too_slow(stage, self.config.deadline(stage))))
                }
                Happened::Quiet => self.fall_asleep(&mut on).await,
                Happened::Wanted => self.wake(&mut on).await,
            };
            if let Some(end) = ended {
                // An engine that does not come back after it ran is a crash as well: the machine is worth another try.
                let end = match end {
                    End::Failed(problem) if ran => End::Crashed(sentence(&problem.detail)),
                    end => end,
                };
                self.kill(on).await;
                return end;
            }
            if self.board.current() != stage {
                stage = self.board.current();
                late = tokio::time::Instant::now() + self.config.deadline(stage);
            }
        }
    }

    /// A message of pid 1; `Some` when it ends the session.
    fn told(&mut self, on: &mut On, message: BootMessage) -> Option<Problem> {
        match message {
            BootMessage::Hello { guest_version, kernel, .. } => self.board.guest(guest_version, kernel),
            // Pid 1 repeats itself on a new connection.
            BootMessage::Stage { .. } if self.board.phase() == MachinePhase::Running => {}
            BootMessage::Stage { stage: Stage::Ready, .. } => {
                self.board.reached(StageName::Engine);
                let (link, patience) = (on.link.clone(), self.config.stage);
                on.check = Some(tokio::spawn(async move {
                    let answered = tokio::time::timeout(patience, ping(&link)).await;
                    answered.unwrap_or_else(|_| Err("the Docker API does not answer".to_owned()))
                }));
            }
            BootMessage::Stage { stage, .. } => self.board.reached(stage_name(stage)),
            BootMessage::Failed { stage: Stage::Disk, reason } => {
                let detail = format!(
                    "{reason}\nThe disk is the file {}. Put a backup in its place, or move it away to begin with an empty one.",
                    self.board.data_disk()
                );
                return Some(failed_at(StageName::Disk, detail));
            }
            BootMessage::Failed { stage, reason } => return Some(failed_at(stage_name(stage), reason)),
            BootMessage::ClockStepped => on.clock.notify_one(),
            BootMessage::Unknown => {}
            BootMessage::EngineExited { reason } => {
                tracing::warn!(%reason, "the engine ended; pid 1 starts it again");
                if let Some(check) = on.check.take() {
                    check.abort();
                }
                self.board.again(StageName::Engine);
            }
        }
        None
    }

    fn opened(&mut self, on: &mut On) {
        on.activity.touch();
        if !on.keeps_time {
            let hardware = self.hardware.clone();
            on.helpers.spawn(async move { hardware.proved().await });
        }
        self.board.running(Access::Open(on.activity.watch(on.link.clone())));
        if !on.keeps_time {
            on.keeps_time = true;
            let (link, activity, look) = (on.link.clone(), on.activity.clone(), on.clock.clone());
            on.helpers.spawn(clock::keep(link, self.config.ask, self.config.clock, activity, look));
        }
        on.clock.notify_one();
        let took_ms = self.board.start_took_ms();
        tracing::info!(took_ms, "the machine runs");
    }

    /// In order: the guest is asked, given time, and ended in the end.
    async fn power_off(&mut self, mut on: On) {
        self.board.stopping();
        if on.activity.is_sleeping() {
            // One that cannot be woken is not asked for long, and quit.
            let _ = on.machine.resume().await;
            on.activity.set_sleeping(false, Duration::ZERO);
        }
        let (ask, stop_timeout, grace) = (self.config.ask, self.config.stop_timeout, self.config.stop_grace);
        let link = on.link.clone();
        let stopping = async {
            let asked = async {
                let mut control = Control::connect(&link, ask).await?;
                control.shutdown(stop_timeout).await
            };
            let mode = match asked.await {
                Ok(()) => StopMode::AskedGuest { grace: stop_timeout + grace },
                Err(err) => {
                    tracing::warn!(%err, "the guest could not be asked to power off");
                    StopMode::Quit
                }
            };
            let limit = stop_timeout + grace + Duration::from_secs(10);
            if tokio::time::timeout(limit, on.machine.stop(mode)).await.is_err() {
                tracing::warn!("the machine did not power off in time and is killed");
                let _ = tokio::time::timeout(Duration::from_secs(10), on.machine.stop(StopMode::Kill)).await;
            }
        };
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                () = &mut stopping => return,
                _ = self.wishes.hear() => {}
            }
        }
    }

    async fn kill(&mut self, mut on: On) {
        if tokio::time::timeout(Duration::from_secs(10), on.machine.stop(StopMode::Kill)).await.is_err() {
            tracing::error!("the hypervisor does not end");
        }
    }
}

/// Serves every stream of published ports until dropped.
async fn publish(mut listener: Box<dyn Listen>, forwarder: std::sync::Arc<Forwarder>) {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = listener.accept(), if streams.len() < PUBLISHERS => match stream {
                Some(stream) => { streams.spawn(forwarder.clone().serve(stream)); }
                None => return,
            },
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
        }
    }
}

async fn check(check: &mut Option<tokio::task::JoinHandle<Result<(), String>>>) -> Result<(), String> {
    let Some(running) = check else { return std::future::pending().await };
    let checked = running.await.unwrap_or_else(|err| Err(err.to_string()));
    *check = None;
    checked
}

/// Whether the engine answers Docker's ping.
async fn ping(link: &Link) -> Result<(), String> {
    let answered = async {
        let mut stream = link.dial(ports::DOCKER_API).await?;
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        std::io::Result::Ok(status)
    };
    match answered.await {
        Ok(status) if &status == b"HTTP/1.1 200" => Ok(()),
        Ok(status) => Err(format!("the Docker API answered {:?}", String::from_utf8_lossy(&status))),
        Err(err) => Err(format!("the Docker API does not answer: {err}")),
    }
}

fn stage_name(stage: Stage) -> StageName {
    match stage {
        Stage::Init => StageName::Init,
        Stage::Disk => StageName::Disk,
        Stage::Engine => StageName::Engine,
        Stage::Ready => StageName::Ready,
    }
}

pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn what(stage: StageName) -> &'static str {
    match stage {
        StageName::Prepare => "The machine could not be prepared",
        StageName::Power => "The machine could not be powered on",
        StageName::Init => "The machine's kernel did not come up",
        StageName::Disk => "The machine's data disk could not be used",
        StageName::Engine => "The container engine did not start",
        StageName::Ready => "The Docker API does not answer",
    }
}

fn failed_at(stage: StageName, detail: String) -> Problem {
    Problem { title: what(stage).to_owned(), detail, remedy: Some(Remedy::ShowConsoleLog) }
}

fn died_at(stage: StageName, reason: &ExitReason) -> Problem {
    failed_at(stage, sentence(&reason.to_string()))
}

fn too_slow(stage: StageName, deadline: Duration) -> Problem {
    let detail = format!("It took longer than {} s.", deadline.as_secs_f32());
    Problem { title: what(stage).to_owned(), detail, remedy: Some(Remedy::RestartMachine) }
}
