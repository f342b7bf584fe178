//! The service's errors and missing rights in words that help.

use std::io;

use crate::hypervisor::ProbeError;

/// What the user's token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    pub hyper_v_administrator: bool,
    /// Elevated: members of the group run without it.
    pub administrator: bool,
}

/// The service serves administrators of Hyper-V only.
pub fn rights(rights: Rights) -> Result<(), ProbeError> {
    if rights.hyper_v_administrator || rights.administrator {
        return Ok(());
    }
    Err(ProbeError::Missing {
        program: "the right to run virtual machines".into(),
        remedy: "Windows gives it to members of \"Hyper-V Administrators\": in a terminal of an administrator run \
                 `net localgroup \"Hyper-V Administrators\" \"%USERDOMAIN%\\%USERNAME%\" /add`, then sign out and in again"
            .into(),
    })
}

pub fn not_installed() -> ProbeError {
    ProbeError::Missing {
        program: "Windows' Virtual Machine Platform".into(),
        remedy: "turn it on under \"Turn Windows features on or off\", or in a terminal of an administrator: \
                 `dism /online /enable-feature /featurename:VirtualMachinePlatform /all`, then restart the computer. \
                 Virtualisation must be on in the firmware"
            .into(),
    }
}

/// Why the service does not answer. Source: winerror.h, HCS_E_*.
pub fn probe(code: i32) -> ProbeError {
    match code as u32 {
        0x8037_0102 | 0x8037_0114 | 0x8007_0002 | 0x8007_0426 => not_installed(),
        0x8037_011B | 0x8007_0005 => match rights(Rights { hyper_v_administrator: false, administrator: false }) {
            Err(missing) => missing,
            Ok(()) => not_installed(),
        },
        _ => {
            ProbeError::Failed { program: "Host Compute Service".into(), said: format!("error {:#010x}", code as u32) }
        }
    }
}

/// A failed operation: the service's words, if it had any.
pub fn error(code: i32, said: Option<String>) -> io::Error {
    let (kind, meaning) = match code as u32 {
        0x8037_0105 => (io::ErrorKind::Other, "the machine is in another state"),
        0x8037_0110 | 0x8037_0107 => (io::ErrorKind::NotConnected, "the machine has stopped already"),
        0x8037_0118 | 0x8037_0109 => (io::ErrorKind::TimedOut, "the service did not answer in time"),
        0x8037_010D => (io::ErrorKind::InvalidInput, "the service takes no machine like this: update Windows"),
        0x8037_011B | 0x8007_0005 => (io::ErrorKind::PermissionDenied, "Windows does not let this user run machines"),
        0x8007_000E | 0x8007_05AA => {
            (io::ErrorKind::OutOfMemory, "not enough free memory: close programs, or give the machine less")
        }
        0x8007_0070 => (io::ErrorKind::StorageFull, "the disk is full"),
        0x8007_0020 => (io::ErrorKind::ResourceBusy, "a file of the machine is in use by another program"),
        0xC037_0106 | 0x8037_0106 => (io::ErrorKind::Other, "the guest ended unexpectedly"),
        // Source: winerror.h, ERROR_VHD_*: what virus scanners and compressed folders cause.
        0xC03A_001A => (io::ErrorKind::InvalidData, "the data disk must not be compressed or encrypted by Windows"),
        _ => (io::ErrorKind::Other, "Hyper-V failed"),
    };
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    io::Error::new(kind, format!("{meaning} ({:#010x}){said}", code as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_both_rights_is_enough_and_none_names_the_group() {
        for (hyper_v_administrator, administrator) in [(true, false), (false, true), (true, true)] {
            assert!(rights(Rights { hyper_v_administrator, administrator }).is_ok());
        }
        let missing = rights(Rights { hyper_v_administrator: false, administrator: false }).unwrap_err();
        assert!(missing.to_string().contains("Hyper-V Administrators"), "{missing}");
    }

    #[test]
    fn what_is_missing_is_told_with_the_command_that_helps() {
        assert!(probe(0x8037_0102_u32 as i32).to_string().contains("VirtualMachinePlatform"));
        assert!(probe(0x8037_011B_u32 as i32).to_string().contains("net localgroup"));
        assert!(probe(0x8000_4005_u32 as i32).to_string().contains("0x80004005"));
    }

    #[test]
    fn errors_keep_their_number_and_words() {
        let err = error(0x8007_05AA_u32 as i32, Some("1 GB wanted".into()));
        assert_eq!(err.kind(), io::ErrorKind::OutOfMemory);
        assert!(err.to_string().ends_with("(0x800705aa): 1 GB wanted"), "{err}");
        assert_eq!(error(1, None).to_string(), "Hyper-V failed (0x00000001)");
    }
}
