//! The build context: an archive from the client, unpacked where nobody else looks.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    containers::files::{Files, Unpack, unpack},
    error::{Error, Result},
};

const DEFAULT: &str = "Dockerfile";
const IGNORE: &str = ".dockerignore";

/// `DATA/builds/<id>/`, gone when dropped.
pub(super) struct Context {
    directory: PathBuf,
}

impl Context {
    /// Blocks.
    pub fn receive(data_root: &Path, archive: impl Read + Send) -> Result<Self> {
        let failed = |source: io::Error| Error::system("receive the build context", source);
        let builds = data_root.join("builds");
        fs::create_dir_all(&builds).map_err(failed)?;
        let context = Self { directory: builds.join(uuid::Uuid::new_v4().simple().to_string()) };
        fs::create_dir_all(context.directory.join("context")).map_err(failed)?;
        // Source: moby integration/build, `TestBuildUncleanTarFilenames`.
        let unpacking = Unpack { into: "/".to_owned(), keeps_inside: true, ..Unpack::default() };
        unpack(&context.files()?, archive, &unpacking)?;
        Ok(context)
    }

    pub fn files(&self) -> Result<Files> {
        Files::at(&self.directory.join("context"))
    }

    /// A directory for a step's writable layer.
    pub fn scratch(&self, step: usize) -> PathBuf {
        self.directory.join(format!("step-{step}"))
    }

    /// A directory for what a step fetches.
    pub fn downloads(&self, step: usize) -> PathBuf {
        self.directory.join(format!("fetched-{step}"))
    }

    /// The Dockerfile's text. A link in the context leads nowhere out of it.
    pub fn dockerfile(&self, wanted: &str) -> Result<String> {
        let wanted = if wanted.is_empty() { DEFAULT } else { wanted };
        let mut found = self.read(wanted)?;
        if found.is_none() && wanted == DEFAULT {
            found = self.read("dockerfile")?;
        }
        let bytes = found.ok_or_else(|| Error::internal(format!("Cannot locate specified Dockerfile: {wanted}")))?;
        if bytes.is_empty() {
            return Err(Error::invalid(format!("the Dockerfile ({wanted}) cannot be empty")));
        }
        String::from_utf8(bytes).map_err(|_| Error::invalid(format!("the Dockerfile ({wanted}) is not UTF-8")))
    }

    /// Takes the Dockerfile and the `.dockerignore` out where the latter says so: clients send both whatever it says.
    /// Source: moby builder/remotecontext `removeDockerfile`.
    pub fn leave_out(&self, dockerfile: &str) -> Result<()> {
        let Some(text) = self.read(IGNORE)? else { return Ok(()) };
        let text = String::from_utf8_lossy(&text);
        let dockerfile = if dockerfile.is_empty() { DEFAULT } else { dockerfile };
        for path in [IGNORE, dockerfile] {
            if cubby_build::ignore::leaves_out(&text, path) {
                let removed = self.files()?.place(&format!("/{path}")).and_then(|place| {
                    Ok(rustix::fs::unlinkat(&place.directory, place.name.as_str(), rustix::fs::AtFlags::empty())?)
                });
                match removed {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::system(format!("leave {path} out"), error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let failed = |source: io::Error| Error::system(format!("read {path}"), source);
        let mut file = match self.files()?.read(&format!("/{path}")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Error::invalid(format!("the Dockerfile ({path}) is not a file")));
        }
        let mut bytes = Vec::new();
        // Why one more: a file that is too long is told by the parser.
        file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }
}

/// See `cubby_build`'s bound on a Dockerfile.
const MAX_BYTES: u64 = 4 << 20;

impl Drop for Context {
    fn drop(&mut self) {
        let directory = std::mem::take(&mut self.directory);
        // Why a thread: a large context takes a while, and this may run on an async one.
        std::thread::spawn(move || remove(&directory));
    }
}

/// Contexts of builds that a crash ended.
pub(super) fn sweep(data_root: &Path) {
    remove(&data_root.join("builds"));
}

fn remove(directory: &Path) {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(err = %error, "a build's files could not be removed");
        }
        _ => {}
    }
}
