//! Messages between the page and its session: two commands and one channel.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cubby_host::App;
use cubby_host::schema::{ClientMessage, HostMessage};
use cubby_host::session::{Outgoing, Session};
use tauri::State;
use tauri::ipc::{Channel, InvokeResponseBody};
use tokio::sync::mpsc;

#[derive(Default)]
pub struct Bridge {
    app: tokio::sync::OnceCell<Arc<App>>,
    page: Mutex<Page>,
}

/// The page that is connected. A reload of it connects anew, which ends the old session and its streams.
#[derive(Default)]
struct Page {
    session: Option<Session<App>>,
    out: Option<mpsc::Sender<Outgoing>>,
    /// Where a page that is still to come shall go.
    wanted: Option<String>,
}

impl Bridge {
    /// Finds or starts the daemon.
    pub async fn app(&self) -> Result<Arc<App>, String> {
        let app = self.app.get_or_try_init(|| async { App::connect().await.map(Arc::new) }).await;
        app.cloned().map_err(|err| format!("{err:#}"))
    }

    /// Leads the page to one of its own places; one that is not there yet, when it comes.
    pub fn go(&self, place: String) {
        let mut page = self.page();
        let message = serde_json::to_string(&HostMessage::Go { place: place.clone() }).unwrap_or_default();
        let told = page.out.as_ref().is_some_and(|out| out.try_send(Outgoing::Text(message)).is_ok());
        page.wanted = (!told).then_some(place);
    }

    /// The window is gone, and with it whatever its page had open.
    pub fn leave(&self) {
        let mut page = self.page();
        (page.session, page.out) = (None, None);
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a session whose messages go to `channel`: text as JSON, terminal output as bytes.
#[tauri::command]
pub async fn connect(bridge: State<'_, Bridge>, channel: Channel<InvokeResponseBody>) -> Result<(), String> {
    let app = bridge.app().await?;
    let (out, mut outgoing) = mpsc::channel(64);
    tauri::async_runtime::spawn(async move {
        while let Some(message) = outgoing.recv().await {
            let body = match message {
                Outgoing::Text(text) => InvokeResponseBody::Json(text),
                Outgoing::Binary(bytes) => InvokeResponseBody::Raw(bytes),
            };
            if let Err(err) = channel.send(body) {
                tracing::info!(%err, "the page is gone");
                break;
            }
        }
    });
    let wanted = {
        let mut page = bridge.page();
        page.session = Some(Session::new(app, out.clone()));
        page.out = Some(out);
        page.wanted.take()
    };
    if let Some(place) = wanted {
        bridge.go(place);
    }
    Ok(())
}

/// The page sends its next messages only after this returned, so their order is kept.
#[tauri::command]
pub async fn send(bridge: State<'_, Bridge>, messages: Vec<ClientMessage>) -> Result<(), String> {
    let page = bridge.page();
    let session = page.session.as_ref().ok_or("not connected")?;
    messages.into_iter().for_each(|message| session.handle(message));
    Ok(())
}
