//! Where a folder of this host lies in the guest.

pub use cubby_wire::paths::of_windows;

/// The guest's path of one of this host's; `None`: it has none, or is not text.
pub fn in_guest(path: &std::path::Path) -> Option<String> {
    let text = path.to_str()?;
    if cfg!(windows) { of_windows(text) } else { Some(text.to_owned()) }
}
