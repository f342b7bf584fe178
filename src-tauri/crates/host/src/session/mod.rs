//! One user interface's conversation with the host, whatever carries it.
//!
//! ```text
//!  transport ── handle(ClientMessage) ──▶ Session ──▶ Backend
//!            ◀── Outgoing (bounded) ─────    ├ one task per call
//!                                            ├ one task that watches events     (watch.rs)
//!                                            └ one task per open stream         (pump.rs)
//! ```
//!
//! Invariants: [`Session::handle`] never waits, so that messages keep their order and one stuck stream stops nothing else;
//! every queue is bounded; dropping the session ends all its tasks and closes all its streams.

mod pump;
mod watch;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use crate::schema::{AppError, Backend, ClientMessage, Command, HostMessage, StreamItem, Terminal, TerminalInput};
use pump::{Credit, pump};

/// Unacknowledged bytes a terminal may have on the way.
const TERMINAL_WINDOW_BYTES: usize = 128 * 1024;
/// The same for logs, which the UI takes in faster than it draws them.
const LOGS_WINDOW_BYTES: usize = 1024 * 1024;
const CALLS_AT_ONCE: usize = 64;
const STREAMS_AT_ONCE: usize = 64;

/// What the transport carries to the UI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// JSON of a [`HostMessage`].
    Text(String),
    /// Terminal output: stream number (u32, little endian), then bytes.
    Binary(Vec<u8>),
}

/// Made with the sending half of the transport's bounded queue; 64 places are plenty.
pub struct Session<B> {
    backend: Arc<B>,
    out: mpsc::Sender<Outgoing>,
    calls: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tasks: JoinSet<()>,
    watch: Option<AbortHandle>,
    streams: HashMap<u32, OpenStream>,
}

struct OpenStream {
    credit: Arc<Credit>,
    input: Option<mpsc::Sender<TerminalInput>>,
    task: AbortHandle,
}

impl<B: Backend> Session<B> {
    pub fn new(backend: Arc<B>, out: mpsc::Sender<Outgoing>) -> Self {
        Self { backend, out, calls: Arc::new(Semaphore::new(CALLS_AT_ONCE)), state: Mutex::default() }
    }

    /// Takes one message from the UI. Must be called within a tokio runtime.
    pub fn handle(&self, message: ClientMessage) {
        let mut state = self.state();
        // Ended tasks are forgotten here, so that the set holds what runs and little more.
        while state.tasks.try_join_next().is_some() {}
        state.streams.retain(|_, stream| !stream.task.is_finished());
        match message {
            ClientMessage::Call { id, command } => self.call(&mut state, id, command),
            ClientMessage::Watch { on } => self.watch(&mut state, on),
            ClientMessage::OpenLogs { stream, open } => {
                let backend = self.backend.clone();
                self.open(&mut state, stream, LOGS_WINDOW_BYTES, None, async move { backend.open_logs(open).await });
            }
            ClientMessage::OpenFigures { stream } => {
                let backend = self.backend.clone();
                self.open(&mut state, stream, LOGS_WINDOW_BYTES, None, async move { backend.open_figures().await });
            }
            ClientMessage::OpenStats { stream, container } => {
                let backend = self.backend.clone();
                self.open(
                    &mut state,
                    stream,
                    LOGS_WINDOW_BYTES,
                    None,
                    async move { backend.open_stats(container).await },
                );
            }
            ClientMessage::OpenProcesses { stream, container } => {
                let source = self.backend.clone();
                let source = async move { source.open_processes(container).await };
                self.open(&mut state, stream, LOGS_WINDOW_BYTES, None, source);
            }
            ClientMessage::OpenTerminal { stream, open } => {
                let backend = self.backend.clone();
                let (input, typed) = mpsc::channel(1024);
                self.open(&mut state, stream, TERMINAL_WINDOW_BYTES, Some(input), async move {
                    let terminal = backend.open_terminal(open).await?;
                    Ok(with_input(terminal, typed))
                });
            }
            ClientMessage::Input { stream, input } => {
                let Some(open) = state.streams.get(&stream) else { return };
                if open.input.as_ref().is_some_and(|to| to.try_send(input).is_err()) {
                    tracing::warn!(stream, "terminal does not take its input; closing it");
                    close(&mut state, stream);
                }
            }
            ClientMessage::Ack { stream, bytes } => {
                if let Some(open) = state.streams.get(&stream) {
                    open.credit.give_back(bytes as usize);
                }
            }
            ClientMessage::Close { stream } => close(&mut state, stream),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Why: nothing in here can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, state: &mut State, id: u32, command: Command) {
        let (backend, out) = (self.backend.clone(), self.out.clone());
        let permit = self.calls.clone().try_acquire_owned();
        state.tasks.spawn(async move {
            let answer = match permit {
                Ok(_permit) => backend.call(command).await,
                Err(_) => Err(AppError::failed("Too much at once", "wait for the requests under way")),
            };
            let message = match answer {
                Ok(reply) => HostMessage::Reply { id, reply },
                Err(error) => HostMessage::Error { id, error },
            };
            send(&out, &message).await;
        });
    }

    fn watch(&self, state: &mut State, on: bool) {
        if let Some(watch) = state.watch.take() {
            watch.abort();
        }
        let (backend, out) = (self.backend.clone(), self.out.clone());
        state.watch = Some(match on {
            true => state.tasks.spawn(watch::watch(backend, out)),
            false => state.tasks.spawn(watch::news(backend.events(), out)),
        });
    }

    fn open(
        &self,
        state: &mut State,
        stream: u32,
        window_bytes: usize,
        input: Option<mpsc::Sender<TerminalInput>>,
        source: impl Future<Output = Result<mpsc::Receiver<StreamItem>, AppError>> + Send + 'static,
    ) {
        if state.streams.len() >= STREAMS_AT_ONCE || state.streams.contains_key(&stream) {
            let out = self.out.clone();
            let error = AppError::failed("Too many views are open", "close a log or a terminal first");
            state.tasks.spawn(async move {
                send(&out, &HostMessage::Stream { stream, item: StreamItem::Broken { error }, weight: 0 }).await;
            });
            return;
        }
        let credit = Arc::new(Credit::new(window_bytes));
        let task = state.tasks.spawn(pump(stream, source, credit.clone(), self.out.clone()));
        state.streams.insert(stream, OpenStream { credit, input, task });
    }
}

fn close(state: &mut State, stream: u32) {
    if let Some(open) = state.streams.remove(&stream) {
        open.task.abort();
    }
}

/// Input that arrived while the terminal was being opened is kept in `typed`; a task that lives as long as the session's end
/// of it feeds the terminal.
fn with_input(terminal: Terminal, mut typed: mpsc::Receiver<TerminalInput>) -> mpsc::Receiver<StreamItem> {
    let Terminal { output, input } = terminal;
    tokio::spawn(async move {
        while let Some(text) = typed.recv().await {
            if input.send(text).await.is_err() {
                break;
            }
        }
    });
    output
}

/// A UI that went away is not an error: the transport drops the session soon.
async fn send(out: &mpsc::Sender<Outgoing>, message: &HostMessage) {
    match serde_json::to_string(message) {
        Ok(text) => drop(out.send(Outgoing::Text(text)).await),
        Err(err) => tracing::error!(%err, "message to the UI cannot be written"),
    }
}

#[cfg(test)]
mod tests;
