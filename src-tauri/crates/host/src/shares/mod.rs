//! Which folders of this computer containers may have, and what happens in them.
//!
//! `settings.json` in the machine's state directory says which: `{"shared_folders": ["/home/me/src", "/srv/data"]}`. Without
//! it that is the home directory. `CUBBY_SHARES`, paths separated by colons, comes before both. The machine's next start
//! takes a change up.

mod agent;
#[cfg(any(test, not(target_os = "linux")))]
mod edits;
#[cfg(target_os = "linux")]
mod events;
#[cfg(any(test, not(target_os = "linux")))]
mod uses;

use std::path::PathBuf;

use cubby_machine::Folders;
use serde::Deserialize;

use crate::dirs::Dirs;

#[cfg(not(target_os = "linux"))]
pub use edits::carry;
#[cfg(target_os = "linux")]
pub use events::carry;

/// Overrides the settings.
const VARIABLE: &str = "CUBBY_SHARES";
const FILE: &str = "settings.json";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    shared_folders: Option<Vec<PathBuf>>,
}

/// The folders for the next machine. What cannot be shared is told in the log and left out. Blocking.
pub fn folders(dirs: &Dirs) -> Folders {
    let variable = std::env::var_os(VARIABLE).map(|value| std::env::split_paths(&value).collect());
    let home = crate::dirs::home().filter(|home| home.is_absolute());
    let wanted = variable.or_else(|| read(dirs)).unwrap_or_else(|| home.into_iter().collect::<Vec<_>>());
    let (folders, errors) = Folders::new(wanted.into_iter().filter(|path| !path.as_os_str().is_empty()));
    for err in errors {
        tracing::warn!(err = crate::hardware::chain(&err), "a folder is not shared");
    }
    folders
}

fn read(dirs: &Dirs) -> Option<Vec<PathBuf>> {
    let path = dirs.state.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return None,
        Err(err) => {
            tracing::warn!(%err, path = %path.display(), "settings could not be read");
            return Some(Vec::new());
        }
    };
    match serde_json::from_slice::<Settings>(&text) {
        Ok(settings) => settings.shared_folders,
        Err(err) => {
            // Why nothing at all: a slip in a list that keeps folders private must not open the whole home.
            tracing::warn!(%err, path = %path.display(), "settings are damaged: no folder is shared");
            Some(Vec::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_the_folders_and_damaged_ones_share_nothing() {
        let home = tempfile::tempdir().unwrap();
        let dirs = Dirs { profile: "x".into(), state: home.path().into(), runtime: home.path().into() };
        assert_eq!(read(&dirs), None);
        std::fs::write(home.path().join(FILE), r#"{"shared_folders": ["/srv"], "other": 1}"#).unwrap();
        assert_eq!(read(&dirs), Some(vec!["/srv".into()]));
        std::fs::write(home.path().join(FILE), "{}").unwrap();
        assert_eq!(read(&dirs), None);
        std::fs::write(home.path().join(FILE), "{").unwrap();
        assert_eq!(read(&dirs), Some(Vec::new()));
    }
}
