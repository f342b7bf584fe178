//! The few texts that the shell shows itself, in the page's language: the page sends them when it starts, and they are kept for
//! a start without a page.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tauri::{AppHandle, Manager};

/// As long as no page told others.
const ENGLISH: &[(&str, &str)] = &[
    ("tray.open", "Open Cubby"),
    ("tray.quit", "Quit (containers keep running)"),
    ("tray.start", "Start the machine"),
    ("tray.stop", "Stop the machine"),
    ("tray.off", "Off"),
    ("tray.starting", "Getting ready"),
    ("tray.running", "{n} running"),
    ("tray.stopping", "Shutting down"),
    ("tray.failed", "Could not start"),
    ("tray.details", "Show"),
    ("tray.door", "Open port {port}"),
    ("tray.restart", "Restart"),
    ("tray.halt", "Stop"),
    ("tray.more", "and {n} more…"),
    ("news.died", "{name} stopped by itself"),
    ("news.unhealthy", "{name} is unhealthy"),
    ("news.restarted", "The machine is back"),
    ("news.failed", "The machine stopped by itself"),
    ("news.job_done", "Done: {what}"),
    ("news.job_failed", "Failed: {what}"),
    ("news.disk", "The disk is nearly full"),
    ("news.disk.machine", "Containers, images and volumes have {free} left. Clean up, or make the disk larger."),
    ("news.disk.computer", "This computer has {free} left where Cubby keeps its data."),
    ("jobs.pull", "Fetching"),
    ("jobs.push", "Sending"),
    ("jobs.save", "Saving"),
    ("jobs.load", "Loading"),
    ("jobs.export", "Copying everything to"),
    ("jobs.import", "Putting back"),
];

#[derive(Default)]
pub struct Words(Mutex<BTreeMap<String, String>>);

impl Words {
    /// Those of the last page. A missing or broken file is no reason to bother anybody.
    pub fn load(app: &AppHandle) -> Self {
        let text = file(app).and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        let words = Self::default();
        words.take(serde_json::from_slice(&text).unwrap_or_default());
        words
    }

    pub fn set(&self, app: &AppHandle, words: BTreeMap<String, String>) {
        self.take(words);
        let kept = serde_json::to_vec(&*self.lock()).unwrap_or_default();
        let written = file(app).map(|path| -> std::io::Result<()> {
            std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
            std::fs::write(path, kept)
        });
        if let Some(Err(err)) = written {
            tracing::info!(%err, "the language is not remembered");
        }
    }

    /// Texts of unknown keys are not kept: a page cannot fill the memory.
    fn take(&self, words: BTreeMap<String, String>) {
        let known = words.into_iter().filter(|(key, _)| ENGLISH.iter().any(|(name, _)| name == key));
        *self.lock() = known.collect();
    }

    /// `{hole}` in the text becomes `filling`.
    pub fn text(&self, key: &str, hole: &str, filling: &str) -> String {
        let words = self.lock();
        let english = || ENGLISH.iter().find(|(name, _)| *name == key).map_or(key, |(_, text)| *text);
        let text = words.get(key).map_or_else(english, String::as_str);
        text.replace(&format!("{{{hole}}}"), filling)
    }

    pub fn plain(&self, key: &str) -> String {
        self.text(key, "", "")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file(app: &AppHandle) -> Option<PathBuf> {
    Some(app.path().app_config_dir().ok()?.join("words.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_s_words_come_first_and_english_fills_the_gaps() {
        let words = Words::default();
        assert_eq!(words.text("news.died", "name", "web"), "web stopped by itself");
        words.take([("news.died".into(), "{name} hat angehalten".into()), ("junk".into(), "x".into())].into());
        assert_eq!(words.text("news.died", "name", "web"), "web hat angehalten");
        assert_eq!(words.plain("tray.open"), "Open Cubby");
        assert_eq!(words.plain("junk"), "junk");
    }
}
