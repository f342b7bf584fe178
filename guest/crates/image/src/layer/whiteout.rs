//! Whiteouts: how a layer says that something below is gone.
//!
//! In a tar `.wh.NAME` hides NAME and `.wh..wh..opq` hides everything below its directory; for overlayfs a character
//! device 0:0 and the attribute `trusted.overlay.opaque` say the same. Source: OCI image spec, "Whiteouts"; kernel
//! Documentation/filesystems/overlayfs.rst.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, Stat, XattrFlags, mknodat, setxattr, statat},
    io::Errno,
};

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS' own files.
const RESERVED: &[u8] = b".wh..wh.";

/// What a name means.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// An ordinary name.
    None,
    Hides(&'a [u8]),
    Opaque,
    /// To be passed over.
    Reserved,
    /// `.wh.` in front of nothing, `.` or `..`.
    Hostile,
}

pub fn mark(name: &[u8]) -> Mark<'_> {
    if name == OPAQUE {
        return Mark::Opaque;
    }
    match name.strip_prefix(PREFIX) {
        None => Mark::None,
        Some(_) if name.starts_with(RESERVED) => Mark::Reserved,
        Some(b"" | b"." | b"..") => Mark::Hostile,
        Some(hidden) => Mark::Hides(hidden),
    }
}

/// Hides `name` of lower layers. What this layer itself has there stays: a directory becomes opaque, anything else
/// hides the lower one anyway.
pub fn hide(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
        Err(Errno::EXIST) => {
            let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(found.st_mode).is_dir() { make_opaque(parent, Some(name)) } else { Ok(()) }
        }
        result => Ok(result?),
    }
}

/// Hides everything that lower layers have in a directory: `parent` itself, or the one of that name in it.
pub fn make_opaque(parent: BorrowedFd<'_>, name: Option<&[u8]>) -> io::Result<()> {
    let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name.unwrap_or(b".")].concat();
    Ok(setxattr(path, "trusted.overlay.opaque", b"y", XattrFlags::empty())?)
}

pub fn is_whiteout(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode).is_char_device() && found.st_rdev == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_from_names() {
        assert_eq!(mark(b"a.wh."), Mark::None);
        assert_eq!(mark(b".wh.a"), Mark::Hides(b"a"));
        assert_eq!(mark(b".wh..wh..opq"), Mark::Opaque);
        assert_eq!(mark(b".wh..wh.plnk"), Mark::Reserved);
        assert_eq!(mark(b".wh..a"), Mark::Hides(b".a"));
        for hostile in [b".wh.".as_slice(), b".wh..", b".wh..."] {
            assert_eq!(mark(hostile), Mark::Hostile);
        }
    }
}
