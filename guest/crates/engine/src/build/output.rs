//! Where a build tells what it does: a bounded queue to the client. A slow client slows the build, and loses nothing.

use cubby_image::Digest;
use serde_json::json;
use tokio::sync::mpsc;

use crate::images::Message;

/// See the module's documentation. When the client is gone, what is said goes nowhere; its build is being dropped.
#[derive(Clone)]
pub struct Output(mpsc::Sender<Message>);

impl Output {
    pub fn new(sender: mpsc::Sender<Message>) -> Self {
        Self(sender)
    }

    pub(super) async fn say(&self, text: impl Into<String>) {
        self.send(Message::stream(text)).await;
    }

    pub(super) async fn send(&self, message: Message) {
        let _ = self.0.send(message).await;
    }

    /// For programs: what has been built.
    pub(super) async fn id(&self, id: &Digest) {
        self.send(Message::aux(json!({ "ID": id }))).await;
    }

    /// For work that must not wait; what does not fit is left out.
    pub(super) fn progress(&self) -> crate::images::Say {
        let sender = self.0.clone();
        std::sync::Arc::new(move |message| drop(sender.try_send(message)))
    }
}
