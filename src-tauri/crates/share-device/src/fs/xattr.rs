//! Extended attributes: those of users alone, without our own bookkeeping.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cubby_wire::files::SHARES_ATTRIBUTE;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::attr::is_ours;
use super::{Fs, Result};
use crate::abi::ROOT_ID;

/// Source: `XATTR_SIZE_MAX` and `XATTR_LIST_MAX`, include/uapi/linux/limits.h.
const MAX_BYTES: usize = 65536;

impl Fs {
    pub fn get_xattr(&self, id: u64, name: &OsStr) -> Result<Vec<u8>> {
        if id == ROOT_ID && name == SHARES_ATTRIBUTE {
            let paths = self.folders.iter().filter_map(|path| path.to_str()).filter(|path| !path.contains('\n'));
            return Ok(paths.collect::<Vec<_>>().join("\n").into_bytes());
        }
        if !is_users(name) {
            return Err(Errno::NODATA);
        }
        let node = self.node(id)?;
        let pinned = self.pin(&node).map_err(|err| if err == Errno::ROFS { Errno::NODATA } else { err })?;
        let mut value = Vec::with_capacity(MAX_BYTES);
        rustix::fs::getxattr(pinned.path(), name, rustix::buffer::spare_capacity(&mut value))?;
        Ok(value)
    }

    pub fn set_xattr(&self, id: u64, name: &OsStr, value: &[u8], flags: u32) -> Result<()> {
        check(name)?;
        let flags = XattrFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        rustix::fs::setxattr(self.pin(&self.node(id)?)?.path(), name, value, flags)
    }

    pub fn remove_xattr(&self, id: u64, name: &OsStr) -> Result<()> {
        check(name)?;
        rustix::fs::removexattr(self.pin(&self.node(id)?)?.path(), name)
    }

    /// The names, each ended by a zero byte.
    pub fn list_xattr(&self, id: u64) -> Result<Vec<u8>> {
        let node = self.node(id)?;
        let pinned = match self.pin(&node) {
            Ok(pinned) => pinned,
            Err(Errno::ROFS) => return Ok(Vec::new()),
            Err(err) => return Err(err),
        };
        let mut names = Vec::with_capacity(MAX_BYTES);
        rustix::fs::listxattr(pinned.path(), rustix::buffer::spare_capacity(&mut names))?;
        let mut kept = Vec::new();
        for name in names.split_inclusive(|byte| *byte == 0) {
            if is_users(OsStr::from_bytes(&name[..name.len() - 1])) {
                kept.extend_from_slice(name);
            }
        }
        Ok(kept)
    }
}

fn is_users(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"user.") && !is_ours(name)
}

fn check(name: &OsStr) -> Result<()> {
    if name.as_bytes().starts_with(b"user.") {
        return if is_ours(name) { Err(Errno::PERM) } else { Ok(()) };
    }
    Err(Errno::OPNOTSUPP)
}
