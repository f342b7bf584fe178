//! The task: which session comes next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::board::Board;
use super::hardware::Hardware;
use super::{Config, HostFigures, Wish};
use crate::schema::{Problem, Remedy};

pub(super) struct Task {
    pub hardware: Arc<dyn Hardware>,
    pub config: Config,
    pub board: Board,
    pub wishes: Wishes,
    crashes: VecDeque<Instant>,
}

/// How a session ended; the machine is off in any case.
pub(super) enum End {
    /// As somebody wished ([`Wishes::end`] is set).
    Asked,
    /// It never ran.
    Failed(Problem),
    /// It ran, and went away.
    Crashed(String),
}

/// What was asked for and not yet done.
pub(super) struct Wishes {
    queue: mpsc::Receiver<Wish>,
    /// The session shall end …
    pub end: bool,
    /// … and another one follow.
    pub again: bool,
    /// Between sessions. A start that is asked for within one is no news, unless that one is to end.
    pub between: bool,
    /// Nobody is left who could wish anything.
    pub quit: bool,
    /// Who waits for the next start to be under way: told by dropping, as those are whose start came to nothing.
    starting: Vec<oneshot::Sender<()>>,
    /// Who waits for the end.
    stopping: Vec<oneshot::Sender<()>>,
}

impl Wishes {
    /// Waits for the next wish and notes it. A question for figures is handed to the caller; dropping it answers zero.
    pub async fn hear(&mut self) -> Option<oneshot::Sender<HostFigures>> {
        match self.next().await {
            Some(Wish::Start(_under_way)) if !self.between && !self.end => {}
            Some(Wish::Start(under_way)) => {
                self.again = true;
                self.starting.push(under_way);
            }
            Some(Wish::Restart(under_way)) => {
                (self.end, self.again) = (true, true);
                self.starting.push(under_way);
            }
            Some(Wish::Stop(done)) => {
                (self.end, self.again) = (true, false);
                self.starting.clear();
                self.stopping.push(done);
            }
            Some(Wish::Figures(answer)) => return Some(answer),
            None => (self.end, self.again, self.quit) = (true, false, true),
        }
        None
    }

    async fn next(&mut self) -> Option<Wish> {
        if self.quit {
            // Nothing comes any more; whoever selects on this has other things to wait for.
            std::future::pending::<()>().await;
        }
        self.queue.recv().await
    }

    pub fn tell_starting(&mut self) {
        self.starting.clear();
    }

    fn tell_stopped(&mut self) {
        self.stopping.clear();
    }
}

impl Task {
    pub fn new(hardware: Arc<dyn Hardware>, config: Config, board: Board, queue: mpsc::Receiver<Wish>) -> Self {
        let wishes = Wishes {
            queue,
            end: false,
            again: false,
            between: true,
            quit: false,
            starting: Vec::new(),
            stopping: Vec::new(),
        };
        Self { hardware, config, board, wishes, crashes: VecDeque::new() }
    }

    pub async fn run(mut self) {
        while self.idle().await {
            loop {
                (self.wishes.end, self.wishes.again) = (false, false);
                self.wishes.between = false;
                let ended = self.session().await;
                self.wishes.between = true;
                let go_on = match ended {
                    // Whoever asked for an end does not care that it would have gone wrong.
                    _ if self.wishes.end => {
                        self.board.off();
                        self.wishes.again
                    }
                    End::Asked => false,
                    End::Failed(problem) if self.hardware.fall_back(&problem).await => {
                        tracing::error!(title = %problem.title, detail = %problem.detail, "the machine falls back");
                        true
                    }
                    End::Failed(problem) => {
                        tracing::error!(title = %problem.title, detail = %problem.detail, "the machine did not start");
                        self.board.failed(problem, false);
                        self.wishes.again
                    }
                    End::Crashed(why) => self.pause_after_crash(why).await,
                };
                self.wishes.tell_stopped();
                if !go_on {
                    break;
                }
            }
        }
    }

    /// Off or failed: waits for a start. False when nobody is left.
    async fn idle(&mut self) -> bool {
        loop {
            if self.wishes.quit {
                return false;
            }
            (self.wishes.end, self.wishes.again) = (false, false);
            self.wishes.hear().await;
            if self.wishes.again {
                return true;
            }
            if self.wishes.end {
                self.board.off();
                self.wishes.tell_stopped();
            }
        }
    }

    /// True when another session is to follow.
    async fn pause_after_crash(&mut self, why: String) -> bool {
        let now = Instant::now();
        self.crashes.push_back(now);
        while self.crashes.front().is_some_and(|at| now.duration_since(*at) > self.config.forget_after) {
            self.crashes.pop_front();
        }
        let title = "The machine stopped unexpectedly".to_owned();
        let remedy = Some(Remedy::ShowConsoleLog);
        let Some(pause) = self.config.pauses.get(self.crashes.len() - 1).copied() else {
            tracing::error!(%why, crashes = self.crashes.len(), "the machine crashed too often and stays off");
            let detail = format!("{why}. It did so {} times in a row and stays off now.", self.crashes.len());
            self.board.failed(Problem { title, detail, remedy }, false);
            return self.wishes.again;
        };
        tracing::error!(%why, ?pause, "the machine crashed; it is started again");
        let detail = format!("{why}. It is started again.");
        self.board.failed(Problem { title, detail, remedy }, true);
        self.wait_or_wish(pause).await
    }

    async fn wait_or_wish(&mut self, pause: Duration) -> bool {
        let resume = tokio::time::Instant::now() + pause;
        loop {
            if self.wishes.end && !self.wishes.again {
                self.board.off();
                return false;
            }
            if self.wishes.again {
                return true;
            }
            tokio::select! {
                () = tokio::time::sleep_until(resume) => return true,
                _ = self.wishes.hear() => {}
            }
        }
    }
}
