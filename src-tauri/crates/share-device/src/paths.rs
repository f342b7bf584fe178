//! Where a folder of this host lies in the guest.

pub use cubby_wire::paths::of_windows;

/// The path that the guest's path may stand for here; `None`: none.
pub fn on_host(path: &str) -> Option<std::path::PathBuf> {
    if cfg!(windows) { to_windows(path).map(Into::into) } else { Some(path.into()) }
}

/// The other way round from [`of_windows`].
fn to_windows(path: &str) -> Option<String> {
    let path = path.strip_prefix('/')?;
    let (drive, rest) = path.split_once('/').unwrap_or((path, ""));
    let [letter @ b'a'..=b'z'] = drive.as_bytes() else { return None };
    Some(format!(r"{}:\{}", char::from(letter.to_ascii_uppercase()), rest.replace('/', r"\")))
}

/// The guest's path of one of this host's; `None`: it has none, or is not text.
pub fn in_guest(path: &std::path::Path) -> Option<String> {
    let text = path.to_str()?;
    if cfg!(windows) { of_windows(text) } else { Some(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_drives_become_drives_again() {
        for (guest, windows) in
            [("/c/Users/jo", Some(r"C:\Users\jo")), ("/d", Some(r"D:\")), ("/run/x", None), ("x", None)]
        {
            assert_eq!(to_windows(guest).as_deref(), windows);
            assert!(windows.is_none_or(|windows| of_windows(windows).as_deref() == Some(guest)));
        }
    }
}
