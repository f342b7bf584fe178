//! The boot stream: what pid 1 tells, one message after the other, over as many connections as it takes.

use cubby_wire::PROTOCOL_VERSION;
use cubby_wire::boot::{BootMessage, Stage};
use cubby_wire::frame;
use tokio::sync::mpsc;

use super::hardware::Listen;

/// Passes messages on until the receiver or the machine is gone. A connection that breaks is replaced by the next one.
pub(super) async fn feed(mut listener: Box<dyn Listen>, messages: mpsc::Sender<BootMessage>) {
    while let Some(mut stream) = listener.accept().await {
        loop {
            let message = match frame::read::<BootMessage>(&mut stream).await {
                Ok(Some(message)) => checked(message),
                Ok(None) => break,
                Err(err) => {
                    // What it means is told by whatever comes next: another connection, or the machine's end.
                    tracing::debug!(%err, "the guest's boot stream broke");
                    break;
                }
            };
            if messages.send(message).await.is_err() {
                return;
            }
        }
    }
}

fn checked(message: BootMessage) -> BootMessage {
    match message {
        BootMessage::Hello { protocol, .. } if protocol != PROTOCOL_VERSION => BootMessage::Failed {
            stage: Stage::Init,
            reason: format!(
                "the guest image speaks protocol {protocol}, this Cubby {PROTOCOL_VERSION}: install matching versions"
            ),
        },
        BootMessage::Hello { protocol, guest_version, kernel } => {
            BootMessage::Hello { protocol, guest_version: bounded(guest_version), kernel: bounded(kernel) }
        }
        BootMessage::Failed { stage, reason } => BootMessage::Failed { stage, reason: bounded(reason) },
        BootMessage::EngineExited { reason } => BootMessage::EngineExited { reason: bounded(reason) },
        BootMessage::Stage { .. } | BootMessage::ClockStepped | BootMessage::Unknown => message,
    }
}

/// The guest's words, as they may stand before a person.
fn bounded(text: String) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n').take(2000).collect()
}
