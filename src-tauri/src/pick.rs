//! The system's own dialogs for files and folders. They give paths; the host does the rest.

use tauri::{AppHandle, Manager};
use tauri_plugin_dialog::{DialogExt, FileDialogBuilder, FilePath};
use tokio::sync::oneshot;

use crate::window;

/// In front of the window that asks.
fn dialog(app: &AppHandle) -> FileDialogBuilder<tauri::Wry> {
    let dialog = app.dialog().file();
    match app.get_webview_window(window::LABEL) {
        Some(window) => dialog.set_parent(&window),
        None => dialog,
    }
}

/// A dialog answers on a thread of the desktop's; `None`: the user changed their mind.
async fn answer(ask: impl FnOnce(Box<dyn FnOnce(Option<FilePath>) + Send>)) -> Option<String> {
    let (tell, told) = oneshot::channel();
    ask(Box::new(move |path| drop(tell.send(path))));
    let path = told.await.ok()??.into_path().ok()?;
    // A path that is no text could not be shown, nor sent.
    path.to_str().map(str::to_owned)
}

pub async fn file(app: &AppHandle, extensions: Vec<String>) -> Option<String> {
    // `tar.gz` ends as `gz` does, for a dialog.
    let ends: Vec<String> = extensions.iter().filter_map(|name| name.rsplit('.').next()).map(str::to_owned).collect();
    let ends: Vec<&str> = ends.iter().map(String::as_str).filter(|end| !end.is_empty()).collect();
    let shown = ends.iter().map(|end| format!("*.{end}")).collect::<Vec<_>>().join(", ");
    let dialog = dialog(app);
    let dialog = if ends.is_empty() { dialog } else { dialog.add_filter(shown, &ends) };
    answer(|told| dialog.pick_file(told)).await
}

pub async fn target(app: &AppHandle, name: String) -> Option<String> {
    let mut dialog = dialog(app).set_file_name(name);
    if let Ok(downloads) = app.path().download_dir() {
        dialog = dialog.set_directory(downloads);
    }
    answer(|told| dialog.save_file(told)).await
}

pub async fn folder(app: &AppHandle) -> Option<String> {
    answer(|told| dialog(app).pick_folder(told)).await
}
