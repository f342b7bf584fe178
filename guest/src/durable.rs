//! In the guest, what the state database committed is on the disk moments later.
//!
//! Why: commits do not wait for the disk (see `cubby_engine::state`), so a guest whose hypervisor is killed would forget the
//! containers and images of its last seconds. Here a thread follows the database's write-ahead log and syncs it after
//! each change. `fsync` and not `fdatasync`: it commits the filesystem's journal too, and with it the directories that
//! were made before the row that names them. Changes that come during one sync share the next.

use std::{fs::File, io, path::Path, thread};

use rustix::fs::inotify;

/// Starts the thread. The log exists as soon as the database is open and has been written once.
pub fn keep(data_root: &Path) -> io::Result<()> {
    let path = data_root.join("state.db-wal");
    let log = File::open(&path)?;
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&changes, &path, inotify::WatchFlags::MODIFY)?;
    thread::Builder::new().name("durable".into()).spawn(move || {
        let mut events = [0; 4096];
        loop {
            match rustix::io::read(&changes, &mut events) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return tracing::error!(err = %error, "changes of the state are not synced any more"),
            }
            if let Err(error) = log.sync_all() {
                tracing::error!(err = %error, "the state could not be synced");
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_not_there_is_an_error() {
        assert_eq!(keep(Path::new("/nowhere")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
