//! Where a folder of the host lies in the guest.
//!
//! On Linux and macOS at its own path. Windows has drives, which become directories: `C:\Users\jo` is `/c/Users/jo`, as
//! people know it from other engines. Pure text, so that every host's rules are tested on every host.

/// The guest's path of a Windows path; `None` for one without a place there: relative, of the network, or a device.
pub fn of_windows(path: &str) -> Option<String> {
    let path = path.strip_prefix(r"\\?\").unwrap_or(path);
    let (drive, rest) = path.split_once(':')?;
    let [letter @ (b'a'..=b'z' | b'A'..=b'Z')] = drive.as_bytes() else { return None };
    if !rest.starts_with(['\\', '/']) || rest.contains(':') {
        return None;
    }
    let mut parts = Vec::new();
    for part in rest.split(['\\', '/']) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let letter = char::from(letter.to_ascii_lowercase());
    Some(parts.iter().fold(format!("/{letter}"), |path, part| path + "/" + part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::of_windows;

    #[test]
    fn drives_become_directories() {
        for (windows, guest) in [
            (r"C:\Users\jo", Some("/c/Users/jo")),
            (r"d:/src/./x/..\y\", Some("/d/src/y")),
            (r"\\?\E:\long", Some("/e/long")),
            (r"C:\..\..", Some("/c")),
            ("C:", None),
            ("C:relative", None),
            (r"\\server\share", None),
            (r"C:\file:stream", None),
            ("/already/there", None),
            ("CD:\\x", None),
        ] {
            assert_eq!(of_windows(windows).as_deref(), guest, "{windows}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_the_answer_is_below_a_drive(path in ".{0,40}") {
            if let Some(guest) = of_windows(&path) {
                prop_assert!(guest.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != ".."));
            }
        }
    }
}
