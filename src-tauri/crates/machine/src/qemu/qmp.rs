//! QEMU's control channel: one JSON object per line over a socketpair.
//!
//! ```text
//!  QEMU: {"QMP": …}   we: {"execute": "qmp_capabilities"}   QEMU: {"return": {}}
//!  then commands and their returns in order, and events at any time
//! ```
//!
//! Source: QEMU docs/interop/qmp-spec.rst, qapi/run-state.json.

use std::os::unix::net::UnixStream as StdUnixStream;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use crate::hypervisor::Condition;

/// Longest line taken from QEMU.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// How often a machine that stands still for lack of space tries again.
const SPACE_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// What QEMU has told about the end of its guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Omens {
    /// Reason of the SHUTDOWN event: `guest-shutdown`, `guest-reset`, `host-qmp-quit`, …
    pub shutdown: Option<String>,
    pub panicked: bool,
    /// QEMU stopped the guest's CPUs and will not go on: `internal-error`.
    pub broken: Option<String>,
}

/// The channel's owner holds this; the work is done by a task that ends with QEMU.
pub struct Qmp {
    commands: mpsc::Sender<&'static str>,
    omens: watch::Receiver<Omens>,
}

impl Qmp {
    /// Must be called on the runtime.
    pub fn start(socket: StdUnixStream, condition: watch::Sender<Condition>) -> std::io::Result<Qmp> {
        socket.set_nonblocking(true)?;
        let socket = UnixStream::from_std(socket)?;
        let (commands, inbox) = mpsc::channel(8);
        let (outbox, omens) = watch::channel(Omens::default());
        tokio::spawn(Session { omens: outbox, condition }.run(socket, inbox));
        Ok(Qmp { commands, omens })
    }

    /// Asks QEMU to flush and exit.
    pub fn quit(&self) {
        // A full or closed channel means that QEMU does not listen; the caller has a deadline.
        let _ = self.commands.try_send("quit");
    }

    pub fn omens(&self) -> Omens {
        self.omens.borrow().clone()
    }

    /// Waits until QEMU says that it cannot run the guest any more; pending forever if it never does.
    pub async fn broken(&mut self) -> String {
        let found =
            self.omens.wait_for(|omens| omens.broken.is_some()).await.ok().and_then(|omens| omens.broken.clone());
        match found {
            Some(state) => state,
            None => std::future::pending().await,
        }
    }

    /// Waits until QEMU has hung up, so that every event before its end has been seen.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }
}

struct Session {
    omens: watch::Sender<Omens>,
    condition: watch::Sender<Condition>,
}

#[derive(Deserialize)]
struct Message {
    event: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(rename = "return", default)]
    returned: Value,
}

impl Session {
    async fn run(self, socket: UnixStream, mut inbox: mpsc::Receiver<&'static str>) {
        let (reader, mut writer) = socket.into_split();
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        let mut retry = tokio::time::interval(SPACE_RETRY);
        let mut send = Some("qmp_capabilities");
        loop {
            if let Some(name) = send.take()
                && let Err(err) = writer.write_all(&command(name)).await
            {
                // What QEMU said before it hung up is still to be read.
                tracing::debug!(%err, name, "QEMU takes no commands");
            }
            let mut limited = (&mut reader).take(MAX_LINE_BYTES - line.len() as u64);
            send = tokio::select! {
                read = limited.read_until(b'\n', &mut line) => {
                    if !read.is_ok_and(|n| n > 0) {
                        return;
                    }
                    let reply = self.receive(&line);
                    line.clear();
                    reply
                }
                Some(name) = inbox.recv() => Some(name),
                _ = retry.tick(), if *self.condition.borrow() == Condition::PausedForSpace => Some("cont"),
            };
        }
    }

    /// Takes one line; returns the command to answer with.
    fn receive(&self, line: &[u8]) -> Option<&'static str> {
        let message: Message = serde_json::from_slice(line).ok()?;
        let reason = || message.data["reason"].as_str().unwrap_or("unknown").to_owned();
        match message.event.as_deref() {
            Some("SHUTDOWN") => self.omens.send_modify(|omens| omens.shutdown = Some(reason())),
            Some("GUEST_PANICKED" | "GUEST_CRASHLOADED") => self.omens.send_modify(|omens| omens.panicked = true),
            Some("BLOCK_IO_ERROR") => self.disk_error(&message.data),
            Some("STOP") => return Some("query-status"),
            Some("RESUME") => {
                self.condition.send_replace(Condition::Running);
            }
            Some(_) => {}
            None => self.status(&message.returned),
        }
        None
    }

    fn disk_error(&self, data: &Value) {
        let stopped = data["action"] == "stop";
        let reason = data["reason"].as_str().unwrap_or("unknown");
        tracing::error!(reason, stopped, "the data disk cannot be used");
        // Only a full disk stops the machine; other errors are the guest's to handle.
        if stopped {
            self.condition.send_replace(Condition::PausedForSpace);
        }
    }

    fn status(&self, returned: &Value) {
        if let Some("internal-error") = returned["status"].as_str() {
            self.omens.send_modify(|omens| omens.broken = Some("internal-error".into()));
        }
    }
}

fn command(name: &str) -> Vec<u8> {
    let mut line = json!({ "execute": name }).to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    struct Fake {
        qmp: Qmp,
        condition: watch::Receiver<Condition>,
        socket: BufReader<UnixStream>,
    }

    impl Fake {
        fn new() -> Fake {
            let (ours, theirs) = StdUnixStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            let (sender, condition) = watch::channel(Condition::Running);
            let qmp = Qmp::start(ours, sender).unwrap();
            Fake { qmp, condition, socket: BufReader::new(UnixStream::from_std(theirs).unwrap()) }
        }

        async fn say(&mut self, line: &str) {
            self.socket.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        }

        async fn hear(&mut self) -> Value {
            let mut line = String::new();
            self.socket.read_line(&mut line).await.unwrap();
            serde_json::from_str(&line).unwrap()
        }
    }

    #[tokio::test]
    async fn negotiates_and_quits() {
        let mut fake = Fake::new();
        fake.say(r#"{"QMP": {}}"#).await;
        assert_eq!(fake.hear().await["execute"], "qmp_capabilities");
        fake.say(r#"{"return": {}}"#).await;
        fake.qmp.quit();
        assert_eq!(fake.hear().await["execute"], "quit");
    }

    #[tokio::test]
    async fn events_before_the_end_are_kept() {
        let mut fake = Fake::new();
        fake.say("this is not json").await;
        fake.say(r#"{"event": "GUEST_PANICKED", "data": {"action": "shutdown"}}"#).await;
        fake.say(r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-panic"}}"#).await;
        drop(fake.socket);
        fake.qmp.ended().await;
        let omens = fake.qmp.omens();
        assert_eq!((omens.panicked, omens.shutdown.as_deref()), (true, Some("guest-panic")));
    }

    #[tokio::test]
    async fn a_hypervisor_that_gives_up_is_noticed() {
        let mut fake = Fake::new();
        assert_eq!(fake.hear().await["execute"], "qmp_capabilities");
        fake.say(r#"{"event": "STOP"}"#).await;
        assert_eq!(fake.hear().await["execute"], "query-status");
        fake.say(r#"{"return": {"status": "internal-error", "running": false}}"#).await;
        assert_eq!(fake.qmp.broken().await, "internal-error");
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_paused_for_space_is_asked_to_go_on() {
        let mut fake = Fake::new();
        assert_eq!(fake.hear().await["execute"], "qmp_capabilities");
        fake.say(r#"{"event": "BLOCK_IO_ERROR", "data": {"action": "stop", "nospace": true}}"#).await;
        fake.condition.wait_for(|condition| *condition == Condition::PausedForSpace).await.unwrap();
        assert_eq!(fake.hear().await["execute"], "cont");
        fake.say(r#"{"event": "RESUME"}"#).await;
        fake.condition.wait_for(|condition| *condition == Condition::Running).await.unwrap();
    }
}
