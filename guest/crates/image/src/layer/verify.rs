//! Is a layer on disk still what its name says?

use std::io::{self, Write};

use rustix::fs::{FileType, fstat};

use super::{Store, split};
use crate::{
    digest::Digest,
    error::{Error, Result},
};

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every file is there and as long as it was.
    Shape,
    /// Every byte: the layer's tar stream is made again and its digest compared.
    Content,
}

/// What stands in the layers' directory and belongs to no layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Names beside the layers that are neither wanted nor ours.
    pub unknown: Vec<String>,
    /// Layers that are being unpacked: none while nobody pulls, loads or commits.
    pub unfinished: usize,
    /// Layers that are being deleted.
    pub trash: usize,
}

impl Store {
    /// Checks one layer; `go_on` is asked now and then, and false ends the check early without a verdict.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, diff_id: &Digest, depth: Depth, go_on: &dyn Fn() -> bool) -> Result<u64> {
        let dir = self.layer_dir(diff_id);
        match depth {
            Depth::Shape => split::Rebuilder::open(&dir)?.check_shape(),
            Depth::Content => split::write_tar(&dir, diff_id, Sink { go_on }),
        }
    }
}

/// Takes everything and keeps nothing.
struct Sink<'a> {
    go_on: &'a dyn Fn() -> bool,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.go_on)() { Ok(bytes.len()) } else { Err(io::Error::other("the check was called off")) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether an open file is a regular one of this length.
pub(super) fn has_length(file: &std::fs::File, len: u64) -> Result<()> {
    let found = fstat(file).map_err(|errno| Error::disk("look at", "a layer's file")(errno.into()))?;
    let is_file = FileType::from_raw_mode(found.st_mode).is_file();
    if is_file && u64::try_from(found.st_size).is_ok_and(|size| size >= len) {
        return Ok(());
    }
    Err(Error::Archive("a layer's file is shorter than it was".into()))
}
