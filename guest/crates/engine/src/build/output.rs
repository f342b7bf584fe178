//! Where a build tells what it does: a bounded queue to the client. A slow client slows the build, and loses nothing.

use cubby_image::Digest;
use serde_json::json;
use tokio::sync::mpsc;

use crate::images::Message;

/// See the module's documentation. When the client is gone, what is said goes nowhere; its build is being dropped.
#[derive(Clone)]
pub struct Output {
    sender: mpsc::Sender<Message>,
    /// Only the image's id is told, and why there is none.
    quiet: bool,
}

impl Output {
    pub fn new(sender: mpsc::Sender<Message>, quiet: bool) -> Self {
        Self { sender, quiet }
    }

    pub(super) async fn say(&self, text: impl Into<String>) {
        if !self.quiet {
            self.send(Message::stream(text)).await;
        }
    }

    async fn send(&self, message: Message) {
        let _ = self.sender.send(message).await;
    }

    /// What has been built: for programs, and of a quiet build the only line.
    pub(super) async fn id(&self, id: &Digest) {
        if self.quiet {
            return self.send(Message::stream(format!("{id}\n"))).await;
        }
        self.send(Message::aux(json!({ "ID": id }))).await;
    }

    /// For work that must not wait; what does not fit is left out.
    pub(super) fn progress(&self) -> crate::images::Say {
        let (sender, quiet) = (self.sender.clone(), self.quiet);
        std::sync::Arc::new(move |message| {
            if !quiet {
                drop(sender.try_send(message));
            }
        })
    }
}
