//! `cubby logs`: the files themselves, followed across rotation.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use cubby_host::dirs::Dirs;
use cubby_host::local::file_id;

use crate::args::Log;
use crate::failure::Failure;

pub async fn run(dirs: &Dirs, which: Log, follow: bool) -> Result<(), Failure> {
    let path = match which {
        Log::Console => dirs.console_log(),
        Log::Daemon => dirs.daemon_log(),
    };
    let opened = match File::open(&path) {
        Ok(file) => Some(file),
        Err(err) if err.kind() == io::ErrorKind::NotFound && follow => None,
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::failed(format!("nothing was logged yet ({} does not exist)", path.display())));
        }
        Err(err) => return Err(Failure::failed(format!("{}: {err}", path.display()))),
    };
    tokio::task::spawn_blocking(move || copy(&path, opened, follow)).await??;
    Ok(())
}

/// As it is into a file or pipe; without escape sequences to a terminal, because a guest wrote it.
fn show(file: &mut File, out: &mut (impl Write + IsTerminal)) -> io::Result<()> {
    if !out.is_terminal() {
        return io::copy(file, out).map(drop);
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    out.write_all(cubby_machine::console::printable(&text).as_bytes())
}

fn copy(path: &Path, mut opened: Option<File>, follow: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    loop {
        if let Some(file) = &mut opened
            && let Err(err) = show(file, &mut out).and_then(|()| out.flush())
        {
            // `| head` is a way to end this.
            return if err.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(err) };
        }
        if !follow {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
        let old = opened.as_ref().and_then(|file| file.metadata().ok()).map(|meta| file_id(&meta));
        let read = opened.as_mut().and_then(|file| file.stream_position().ok()).unwrap_or(0);
        // Why the length, too: on Windows a file that takes another's name soon takes its time of creation as well.
        let replaced = |meta: std::fs::Metadata| Some(file_id(&meta)) != old || meta.len() < read;
        if std::fs::metadata(path).is_ok_and(replaced)
            && let Ok(new) = File::open(path)
        {
            opened = Some(new);
        }
    }
}
