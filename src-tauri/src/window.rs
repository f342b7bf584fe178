//! The one window: remembers its size and place, stays on its page.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tauri::webview::PageLoadEvent;
use tauri::{
    AppHandle, LogicalPosition, LogicalSize, Manager, WebviewUrl, WebviewWindow, WebviewWindowBuilder, WindowEvent,
};

const LABEL: &str = "main";

/// In logical pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Placement {
    width: f64,
    height: f64,
    position: Option<(f64, f64)>,
    maximized: bool,
}

impl Default for Placement {
    fn default() -> Self {
        Self { width: 1180.0, height: 780.0, position: None, maximized: false }
    }
}

impl Placement {
    /// A file that a person edited, or one from a screen that is gone, must not hide the window.
    fn sane(self) -> Self {
        let size = self.width.is_finite() && self.height.is_finite();
        if !size || self.width < 320.0 || self.height < 240.0 || self.width > 16_384.0 || self.height > 16_384.0 {
            return Self::default();
        }
        let position = self.position.filter(|(x, y)| x.abs() < 32_768.0 && y.abs() < 32_768.0);
        Self { position, ..self }
    }

    fn of(window: &WebviewWindow) -> tauri::Result<Self> {
        let scale = window.scale_factor()?;
        let size: LogicalSize<f64> = window.inner_size()?.to_logical(scale);
        let position: LogicalPosition<f64> = window.outer_position()?.to_logical(scale);
        let maximized = window.is_maximized()?;
        Ok(Self { width: size.width, height: size.height, position: Some((position.x, position.y)), maximized })
    }
}

/// Opens the window. Its page is painted before any script runs.
pub fn open(app: &tauri::App) -> tauri::Result<()> {
    let placement = load(app.handle()).sane();
    let mut builder = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("index.html".into()))
        .title("Cubby")
        .inner_size(placement.width, placement.height)
        .min_inner_size(640.0, 480.0)
        .maximized(placement.maximized)
        .disable_drag_drop_handler()
        // Whatever a page or a link tries: this window shows our own pages only.
        .on_navigation(|url| matches!(url.scheme(), "tauri") || url.host_str() == Some("tauri.localhost"))
        .on_page_load(|_, load| {
            if load.event() == PageLoadEvent::Finished {
                tracing::debug!(url = %load.url(), "page loaded");
            }
        });
    if let Some((x, y)) = placement.position {
        builder = builder.position(x, y);
    }
    let window = builder.build()?;
    let remembered = window.clone();
    window.on_window_event(move |event| {
        if matches!(event, WindowEvent::CloseRequested { .. }) {
            remember(&remembered);
        }
    });
    Ok(())
}

/// Brings the window to the front.
pub fn show(app: &AppHandle) {
    let Some(window) = app.get_webview_window(LABEL) else { return };
    for done in [window.unminimize(), window.show(), window.set_focus()] {
        if let Err(err) = done {
            tracing::warn!(%err, "window cannot be brought to the front");
        }
    }
}

fn file(app: &AppHandle) -> Option<PathBuf> {
    Some(app.path().app_config_dir().ok()?.join("window.json"))
}

/// The remembered placement, or the usual one: a missing or broken file is no reason to bother anybody.
fn load(app: &AppHandle) -> Placement {
    let text = file(app).and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn remember(window: &WebviewWindow) {
    let saved = || -> anyhow::Result<()> {
        let mut placement = Placement::of(window)?;
        if placement.maximized {
            // Un-maximising must lead back to the size from before.
            placement = Placement { maximized: true, ..load(window.app_handle()).sane() };
        }
        let path = file(window.app_handle()).ok_or_else(|| anyhow::anyhow!("no directory for settings"))?;
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        Ok(std::fs::write(path, serde_json::to_vec(&placement)?)?)
    };
    if let Err(err) = saved() {
        tracing::warn!(%err, "window size not remembered");
    }
}

#[cfg(test)]
mod tests {
    use super::Placement;

    #[test]
    fn nonsense_gives_the_usual_window() {
        let tiny = Placement { width: 3.0, ..Placement::default() };
        assert_eq!(tiny.sane(), Placement::default());
        let nowhere = Placement { position: Some((1e9, 0.0)), ..Placement::default() };
        assert_eq!(nowhere.sane().position, None);
        let endless = Placement { height: f64::NAN, ..Placement::default() };
        assert_eq!(endless.sane(), Placement::default());
    }
}
