//! Messages between the page and its session: two commands and one channel.

use std::sync::{Arc, Mutex, PoisonError};

use cubby_host::App;
use cubby_host::schema::ClientMessage;
use cubby_host::session::{Outgoing, Session};
use tauri::ipc::{Channel, InvokeResponseBody};
use tauri::{AppHandle, Manager, State};
use tokio::sync::mpsc;

/// The page's session. A reload of the page connects anew, which ends the old one and its streams.
#[derive(Default)]
pub struct Bridge {
    app: tokio::sync::OnceCell<Arc<App>>,
    session: Mutex<Option<Session<App>>>,
}

impl Bridge {
    async fn app(&self) -> Result<Arc<App>, String> {
        let app = self.app.get_or_try_init(|| async { App::connect().await.map(Arc::new) }).await;
        app.cloned().map_err(|err| format!("{err:#}"))
    }
}

/// Finds or starts the daemon while the page is still being painted.
pub fn wake_host(handle: &AppHandle) {
    let handle = handle.clone();
    tauri::async_runtime::spawn(async move {
        if let Err(err) = handle.state::<Bridge>().app().await {
            tracing::error!(err, "the host cannot be reached");
        }
    });
}

/// Starts a session whose messages go to `channel`: text as JSON, terminal output as bytes.
#[tauri::command]
pub async fn connect(bridge: State<'_, Bridge>, channel: Channel<InvokeResponseBody>) -> Result<(), String> {
    let app = bridge.app().await?;
    let (out, mut outgoing) = mpsc::channel(64);
    *bridge.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(Session::new(app, out));
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
    Ok(())
}

/// The page sends its next messages only after this returned, so their order is kept.
#[tauri::command]
pub async fn send(bridge: State<'_, Bridge>, messages: Vec<ClientMessage>) -> Result<(), String> {
    let session = bridge.session.lock().unwrap_or_else(PoisonError::into_inner);
    let session = session.as_ref().ok_or("not connected")?;
    messages.into_iter().for_each(|message| session.handle(message));
    Ok(())
}
