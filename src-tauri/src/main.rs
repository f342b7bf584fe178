//! The desktop shell: one window, and the bridge between its page and the host. All behaviour is in `cubby-host`.
//!
//! Closing the window ends this process and nothing else: the machine and its containers belong to the `cubby` daemon.

// No console window beside the app on Windows.
#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]

mod bridge;
mod paint;
mod window;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let started = paint::Started::now();
    let filter = EnvFilter::try_from_env("CUBBY_LOG").unwrap_or_else(|_| EnvFilter::new("warn,cubby=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    tauri::Builder::default()
        // First of all plugins: a second start only brings the window of the first to the front.
        .plugin(tauri_plugin_single_instance::init(|app, _arguments, _directory| window::show(app)))
        .manage(started)
        .manage(bridge::Bridge::default())
        .invoke_handler(tauri::generate_handler![bridge::connect, bridge::send, paint::painted])
        .setup(|app| {
            window::open(app)?;
            bridge::wake_host(app.handle());
            Ok(())
        })
        .run(tauri::generate_context!())
        .context("the window could not be opened")
}
