//! The desktop shell: one window, the icon beside the clock, and the bridge between the page and the host. All behaviour is in
//! `cubby-host`.
//!
//! ```text
//!  window ── connect, send ──▶ bridge ──▶ host          (the conversation of crate `schema`)
//!         ── shell ──────────▶ shell  ──▶ pick, words, login
//!  host ── events ──▶ desk ──▶ tray (menu, picture), the desktop's notifications
//! ```
//!
//! Closing the window leaves the icon, where there is a place for one, and ends this process elsewhere. The machine and its
//! containers belong to the `cubby` daemon either way.

// No console window beside the app on Windows.
#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]

mod bridge;
mod desk;
mod login;
mod paint;
mod pick;
mod shell;
mod tray;
mod window;
mod words;

use anyhow::Context;
use tauri::{Manager, RunEvent};
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let started = paint::Started::now();
    let filter = EnvFilter::try_from_env("CUBBY_LOG").unwrap_or_else(|_| EnvFilter::new("warn,cubby=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let hidden = std::env::args().any(|argument| argument == login::HIDDEN);
    tauri::Builder::default()
        // First of all plugins: a second start only brings the window of the first to the front.
        .plugin(tauri_plugin_single_instance::init(|app, _arguments, _directory| window::show(app)))
        .plugin(window::remembered())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_notification::init())
        .manage(started)
        .manage(bridge::Bridge::default())
        .manage(desk::Notifies::default())
        .manage(tray::Place::default())
        .invoke_handler(tauri::generate_handler![bridge::connect, bridge::send, shell::shell])
        .setup(move |app| {
            let handle = app.handle();
            app.manage(words::Words::load(handle));
            if !hidden {
                window::open(handle)?;
            }
            // After the window: nobody waits for an icon.
            tray::show(handle);
            desk::open(handle);
            Ok(())
        })
        .build(tauri::generate_context!())
        .context("the window could not be opened")?
        .run(|app, event| match event {
            // The last window closed. Whoever chose to quit gave a code.
            RunEvent::ExitRequested { api, code: None, .. } if app.state::<tray::Place>().is_there() => {
                api.prevent_exit();
            }
            #[cfg(target_os = "macos")]
            RunEvent::Reopen { has_visible_windows: false, .. } => window::show(app),
            _ => {}
        });
    Ok(())
}
