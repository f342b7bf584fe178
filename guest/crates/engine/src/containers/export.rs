//! Export: a container's root filesystem as one archive, without its volumes.

use std::io::Write;

use super::{
    Containers,
    files::{Files, TreeWriter},
};
use crate::error::{Error, Result};

/// A container that is about to be exported.
pub struct Export {
    files: Files,
}

impl Containers {
    /// Blocking.
    ///
    /// # Errors
    /// Not found; conflict for a container on its way out.
    pub fn export(&self, name: &str) -> Result<Export> {
        let container = self.find(name)?;
        let record = container.record();
        if record.state.dead || record.state.removing {
            let what = if record.state.dead { "is dead" } else { "is marked for removal" };
            return Err(Error::conflict(format!("You cannot export container {} which {what}", record.id)));
        }
        let files = self.still_files(&container)?;
        self.event(&record, "export", &[]);
        Ok(Export { files })
    }
}

impl Export {
    /// Blocking.
    pub fn write_to(&self, out: impl Write) -> Result<()> {
        let mut tree = TreeWriter::new(out);
        let written = tree.add_contents(self.files.root(), b"").and_then(|()| tree.finish());
        written.map_err(|source| Error::system("export the container", source))
    }
}
