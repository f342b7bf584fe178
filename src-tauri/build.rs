//! Embeds the built pages and lists the commands that the window may be allowed to call.

fn main() {
    let attributes = tauri_build::Attributes::new()
        .app_manifest(tauri_build::AppManifest::new().commands(&["connect", "send", "shell"]));
    if let Err(err) = tauri_build::try_build(attributes) {
        // Why: the message alone tells a person what to do (build the UI first); a backtrace would bury it.
        eprintln!("error: {err:#}");
        std::process::exit(1);
    }
}
