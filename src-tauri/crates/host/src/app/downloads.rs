//! What the user saves goes where other programs put it, and never over another file.

use std::io::Write;
use std::path::PathBuf;

use bollard::Docker;
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use futures_util::StreamExt;

use crate::dirs::Dirs;
use crate::engine::errors::app_error;
use crate::engine::files::content::Place;
use crate::saving;
use crate::schema::AppError;

/// `XDG_DOWNLOAD_DIR`, else `Downloads` in the home directory; below `CUBBY_HOME` when that is set.
pub(super) fn directory(dirs: &Dirs) -> PathBuf {
    let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("XDG_DOWNLOAD_DIR")
        .filter(|path| path.is_absolute())
        .or_else(|| path("CUBBY_HOME").map(|home| home.join("Downloads")))
        .or_else(|| crate::dirs::home().map(|home| home.join("Downloads")))
        .unwrap_or_else(|| dirs.state.join("downloads"))
}

/// The path that the user chose, else the downloads.
pub(super) fn place(dirs: &Dirs, chosen: Option<String>) -> Place {
    chosen.map_or_else(|| Place::Into(directory(dirs)), |path| Place::Exactly(path.into()))
}

/// The whole log of a container, with times; says where it is.
pub(super) async fn logs(docker: &Docker, id: &str, to: &Place) -> Result<PathBuf, AppError> {
    const TITLE: &str = "The log could not be saved";
    let failed = |err: std::io::Error| saving::failed(TITLE, to.path(), &err);
    let found = docker.inspect_container(id, None::<InspectContainerOptions>).await;
    let name = found.map_err(|err| app_error(TITLE, err))?.name.unwrap_or_default();
    let (file, saving) = to.create(&format!("{}.log", name.trim_start_matches('/'))).map_err(failed)?;
    let mut file = std::io::BufWriter::new(file);
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).tail("all").build();
    let mut parts = docker.logs(id, Some(options)).boxed();
    while let Some(part) = parts.next().await {
        let bytes = part.map_err(|err| app_error(TITLE, err))?.into_bytes();
        // Why here: the writes are to the page cache, a few at a time, between two reads of the engine's socket.
        file.write_all(&bytes).map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    saving.finish().map_err(failed)
}
