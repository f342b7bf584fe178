//! The agent: repeats what happened to shared files on the host, so that this kernel raises the true events.
//!
//! It works through the mount like anybody else. The host knows its thread by its number and answers what it does as if
//! it were done, without doing it; see `wire::files`. What a change cannot be repeated for, because the world has moved
//! on, is left out: a later change tells about that. Where another's server has the folders it does what it is told; the host then
//! asks only for what changes nothing, and only what somebody watches is done.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
};

use cubby_engine::host_files::ROOT;
use cubby_wire::{
    PROTOCOL_VERSION,
    files::{Change, Kind, ToGuest, ToHost},
    frame, ports,
};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, Timespec, Timestamps, UTIME_OMIT};
use vsock::{VMADDR_CID_ANY, VsockListener, VsockStream};

use crate::watched::Watched;

/// Serves one host connection after the other, on a thread of its own.
pub fn serve() -> io::Result<()> {
    let listener = VsockListener::bind_with_cid_port(VMADDR_CID_ANY, ports::FILES)?;
    thread::Builder::new().name("file-events".into()).spawn(move || {
        for stream in listener.incoming() {
            let ended = stream.and_then(|mut stream| converse(&mut stream));
            if let Err(error) = ended {
                tracing::debug!(err = %error, "the host's file events are interrupted");
            }
        }
    })?;
    Ok(())
}

fn converse(stream: &mut VsockStream) -> io::Result<()> {
    let agent = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    say(stream, &ToHost::Hello { protocol: PROTOCOL_VERSION, agent })?;
    // Folders that the hypervisor serves are mounted one by one.
    let mut watched = Watched::below(ROOT);
    while let Some(frame) = frame::read_blocking::<ToGuest>(stream).map_err(io::Error::other)? {
        match frame {
            ToGuest::Repeat { changes } => {
                for change in &changes {
                    if watched.as_mut().is_some_and(|watched| !is_heard(watched, change)) {
                        continue;
                    }
                    if let Err(error) = repeat(Path::new(ROOT), change) {
                        tracing::debug!(?change, err = %error, "not repeated");
                    }
                }
            }
            ToGuest::Lost => drop_caches(),
        }
        say(stream, &ToHost::Repeated)?;
    }
    Ok(())
}

fn is_heard(watched: &mut Watched, change: &Change) -> bool {
    match change {
        Change::Created { path, .. }
        | Change::Modified { path }
        | Change::Attributes { path }
        | Change::Written { path }
        | Change::Removed { path, .. }
        | Change::Moved { to: path, .. } => watched.hears(&at(Path::new(ROOT), path)),
    }
}

fn at(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn say(stream: &mut VsockStream, frame: &ToHost) -> io::Result<()> {
    frame::write_blocking(stream, frame).map_err(io::Error::other)
}

/// Names and attributes that were believed for long are asked for again.
fn drop_caches() {
    if let Err(error) = fs::write("/proc/sys/vm/drop_caches", "2") {
        tracing::warn!(err = %error, "shared files may look old for a minute");
    }
}

/// The operation whose event is the one that happened.
fn repeat(root: &Path, change: &Change) -> io::Result<()> {
    let at = |path: &str| at(root, path);
    match change {
        Change::Created { path, what } => create(&at(path), *what),
        Change::Modified { path } => {
            let path = at(path);
            // Pages of the old content go when the new size and time are seen.
            let now = rustix::fs::statx(
                CWD,
                &path,
                AtFlags::STATX_FORCE_SYNC | AtFlags::SYMLINK_NOFOLLOW,
                StatxFlags::BASIC_STATS,
            )?;
            let modified = Timespec { tv_sec: now.stx_mtime.tv_sec, tv_nsec: now.stx_mtime.tv_nsec.into() };
            let omitted = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let times = Timestamps { last_access: omitted, last_modification: modified };
            Ok(rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
        }
        Change::Attributes { path } => {
            let path = at(path);
            let now = rustix::fs::statx(
                CWD,
                &path,
                AtFlags::STATX_FORCE_SYNC | AtFlags::SYMLINK_NOFOLLOW,
                StatxFlags::BASIC_STATS,
            )?;
            if FileType::from_raw_mode(now.stx_mode.into()) == FileType::Symlink {
                return Ok(());
            }
            Ok(rustix::fs::chmod(&path, Mode::from_raw_mode(u32::from(now.stx_mode) & 0o7777))?)
        }
        Change::Written { path } => {
            let path = at(path);
            if !fs::symlink_metadata(&path)?.is_file() {
                return Ok(());
            }
            let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::open(&path, flags, Mode::empty()).map(drop).map_err(Into::into)
        }
        Change::Removed { path, directory: true } => fs::remove_dir(at(path)),
        Change::Removed { path, directory: false } => fs::remove_file(at(path)),
        Change::Moved { from, to } => fs::rename(at(from), at(to)),
    }
}

fn create(path: &Path, what: Kind) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o600);
    match what {
        Kind::File => Ok(rustix::fs::mknodat(CWD, path, FileType::RegularFile, mode, 0)?),
        Kind::Directory => Ok(rustix::fs::mkdir(path, mode)?),
        Kind::Symlink => std::os::unix::fs::symlink("target", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On an ordinary filesystem what is repeated really happens, which shows that the operations are the right ones.
    #[test]
    fn changes_become_the_operations_that_cause_them() {
        let root = std::env::temp_dir().join(format!("cubby-agent-{}", std::process::id()));
        fs::create_dir(&root).unwrap();
        let path = |name: &str| format!("/{name}");
        let run = |change: Change| repeat(&root, &change);
        run(Change::Created { path: path("d"), what: Kind::Directory }).unwrap();
        run(Change::Created { path: path("d/f"), what: Kind::File }).unwrap();
        run(Change::Created { path: path("l"), what: Kind::Symlink }).unwrap();
        fs::write(root.join("d/f"), "content").unwrap();
        run(Change::Modified { path: path("d/f") }).unwrap();
        run(Change::Attributes { path: path("d/f") }).unwrap();
        run(Change::Written { path: path("d/f") }).unwrap();
        assert_eq!(fs::read_to_string(root.join("d/f")).unwrap(), "content");
        run(Change::Moved { from: path("d/f"), to: path("g") }).unwrap();
        run(Change::Removed { path: path("g"), directory: false }).unwrap();
        run(Change::Removed { path: path("d"), directory: true }).unwrap();
        assert!(run(Change::Written { path: path("l") }).is_ok(), "a link is not written");
        assert!(run(Change::Removed { path: path("none"), directory: false }).is_err());
        fs::remove_dir_all(&root).unwrap();
    }

    /// What the host has repeated where another's server serves the folders (macOS, Windows): watchers hear it, and the file
    /// stays as it is.
    #[test]
    fn what_changes_nothing_is_heard_all_the_same() {
        use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

        let root = std::env::temp_dir().join(format!("cubby-agent-still-{}", std::process::id()));
        fs::create_dir_all(root.join("d")).unwrap();
        fs::write(root.join("d/f"), "content").unwrap();
        let looks = || {
            let of = |name| fs::metadata(root.join(name)).map(|meta| (meta.modified().unwrap(), meta.permissions()));
            (of("d").unwrap(), of("d/f").unwrap(), fs::read(root.join("d/f")).unwrap())
        };
        let before = looks();
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let all = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::CLOSE_WRITE | WatchFlags::CREATE;
        inotify::add_watch(&watch, root.join("d"), all | WatchFlags::DELETE | WatchFlags::MOVE).unwrap();
        for change in [
            Change::Modified { path: "/d/f".into() },
            Change::Written { path: "/d/f".into() },
            Change::Attributes { path: "/d/f".into() },
            Change::Modified { path: "/d".into() },
        ] {
            repeat(&root, &change).unwrap();
        }
        assert!(looks() == before);
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&watch, &mut buffer);
        let mut heard = Vec::new();
        while let Ok(event) = reader.next() {
            heard.push((event.file_name().map(|name| name.to_owned()), event.events()));
        }
        let file = Some(c"f".to_owned());
        assert_eq!(
            heard,
            [
                (file.clone(), ReadFlags::MODIFY),
                (file.clone(), ReadFlags::CLOSE_WRITE),
                (file, ReadFlags::ATTRIB),
                (None, ReadFlags::MODIFY | ReadFlags::ISDIR),
            ]
        );
        fs::remove_dir_all(&root).unwrap();
    }
}
