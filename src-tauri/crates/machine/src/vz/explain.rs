//! The framework's errors in words that help.

use std::io;

use crate::hypervisor::ProbeError;

/// Source: `VZErrorDomain`, VZError.h.
pub const DOMAIN: &str = "VZErrorDomain";

/// What the system says when the program lacks the entitlement. Source: seen in bug reports of other users of the framework.
const ENTITLEMENT: &str = "com.apple.security.virtualization";

pub fn unsupported() -> ProbeError {
    ProbeError::Missing {
        program: "hardware virtualisation".into(),
        remedy: "this Mac cannot run virtual machines (inside another virtual machine, turn nested virtualisation on)"
            .into(),
    }
}

/// An `NSError` by its parts. Codes are those of `VZErrorCode`.
pub fn error(domain: &str, code: isize, text: &str) -> io::Error {
    let kind = match (domain, code) {
        (DOMAIN, 8) => io::ErrorKind::StorageFull,
        (DOMAIN, 6) => io::ErrorKind::QuotaExceeded,
        (DOMAIN, 2 | 5) => io::ErrorKind::InvalidInput,
        (DOMAIN, 10) => io::ErrorKind::Unsupported,
        // Source: errno values, sys/errno.h.
        ("NSPOSIXErrorDomain", 61) => io::ErrorKind::ConnectionRefused,
        ("NSPOSIXErrorDomain", 54) => io::ErrorKind::ConnectionReset,
        ("NSPOSIXErrorDomain", 60) => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    };
    let text = match remedy(domain, code, text) {
        Some(remedy) => format!("{text} ({domain} {code}); {remedy}"),
        None => format!("{text} ({domain} {code})"),
    };
    io::Error::new(kind, text)
}

fn remedy(domain: &str, code: isize, text: &str) -> Option<&'static str> {
    if text.contains(ENTITLEMENT) {
        return Some(
            "this program is not signed for virtual machines: install Cubby from its own package, or sign it with src-tauri/packaging/macos/sign",
        );
    }
    if domain != DOMAIN {
        return None;
    }
    match code {
        // The framework's own helper failed: nothing in the configuration explains it.
        1 => Some("start the machine again; if that fails, restart this Mac"),
        5 => Some("the data disk cannot be used: look at it with `cubby doctor`"),
        6 => Some("too many virtual machines run on this Mac: stop one"),
        7 => Some("start the machine again; a VPN or firewall may hold the system's NAT"),
        8 => Some("make room on this Mac's disk"),
        10 => Some("this version of macOS cannot do it: update macOS"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_words_and_gain_a_remedy() {
        let full = error(DOMAIN, 8, "Out of space.");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(full.to_string(), "Out of space. (VZErrorDomain 8); make room on this Mac's disk");
        let unsigned = error(
            DOMAIN,
            2,
            "Invalid virtual machine configuration. The process doesn't have the \"com.apple.security.virtualization\" entitlement.",
        );
        assert!(unsigned.to_string().contains("src-tauri/packaging/macos/sign"), "{unsigned}");
    }

    #[test]
    fn a_mac_that_cannot_is_told_what_could_be_done() {
        assert!(unsupported().to_string().contains("nested virtualisation"));
    }

    #[test]
    fn a_port_without_a_listener_is_a_refusal() {
        for (code, kind) in [(61, io::ErrorKind::ConnectionRefused), (54, io::ErrorKind::ConnectionReset)] {
            assert_eq!(error("NSPOSIXErrorDomain", code, "x").kind(), kind);
        }
        assert_eq!(error("NSCocoaErrorDomain", 4, "no file").to_string(), "no file (NSCocoaErrorDomain 4)");
    }
}
