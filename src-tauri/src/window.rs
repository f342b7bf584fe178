//! The one window: opened and opened again, in the place it had, and never led away from its own pages.

use tauri::plugin::TauriPlugin;
use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, Manager, WebviewUrl, WebviewWindowBuilder, WindowEvent, Wry};
use tauri_plugin_window_state::{AppHandleExt, StateFlags};

use crate::bridge;

pub const LABEL: &str = "main";
/// What is remembered. Not whether it was visible: a window that opens is.
const REMEMBERED: StateFlags = StateFlags::SIZE.union(StateFlags::POSITION).union(StateFlags::MAXIMIZED);

/// Size and place come back unless the screen they were on is gone.
pub fn remembered() -> TauriPlugin<Wry> {
    tauri_plugin_window_state::Builder::new().with_state_flags(REMEMBERED).with_filename("window.json").build()
}

/// Opens the window. Its page is painted before any script runs.
pub fn open(app: &AppHandle) -> tauri::Result<()> {
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("index.html".into()))
        .title("Cubby")
        .inner_size(1180.0, 780.0)
        .min_inner_size(640.0, 480.0)
        .disable_drag_drop_handler()
        // Whatever a page or a link tries: this window shows our own pages only.
        .on_navigation(|url| matches!(url.scheme(), "tauri") || url.host_str() == Some("tauri.localhost"))
        .on_page_load(|_, load| {
            if load.event() == PageLoadEvent::Finished {
                tracing::debug!(url = %load.url(), "page loaded");
            }
        })
        .build()?;
    let app = app.clone();
    window.on_window_event(move |event| {
        match event {
            // Now, not only at the end of the process, which may be far away, or sudden.
            WindowEvent::CloseRequested { .. } => {
                if let Err(err) = app.save_window_state(REMEMBERED) {
                    tracing::warn!(%err, "window size not remembered");
                }
            }
            WindowEvent::Destroyed => app.state::<bridge::Bridge>().leave(),
            _ => {}
        }
    });
    Ok(())
}

/// Brings the window to the front; opens it again when it was closed.
pub fn show(app: &AppHandle) {
    let Some(window) = app.get_webview_window(LABEL) else {
        if let Err(err) = open(app) {
            tracing::error!(%err, "the window cannot be opened");
        }
        return;
    };
    for done in [window.unminimize(), window.show(), window.set_focus()] {
        if let Err(err) = done {
            tracing::warn!(%err, "window cannot be brought to the front");
        }
    }
}

/// In front of somebody.
pub fn is_looked_at(app: &AppHandle) -> bool {
    app.get_webview_window(LABEL).is_some_and(|window| window.is_focused().unwrap_or(false))
}
