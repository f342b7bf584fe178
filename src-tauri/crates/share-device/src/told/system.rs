//! The system's own watcher: FSEvents on macOS, ReadDirectoryChangesW on Windows (and inotify in this crate's tests).
//!
//! Why a release candidate of `notify`: 8.2 swallows Windows' overflow and hears nothing from then on; it ends the program at
//! a flag of macOS's that it does not know.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use notify::event::{EventKind, EventKindMask, ModifyKind};
use notify::{Config, Event, PathOp, RecommendedWatcher, Watcher as _};

use super::{TellSink, Told};

/// Tells until dropped.
pub struct Watcher {
    inner: RecommendedWatcher,
    /// What is watched, and whether with all that is below.
    roots: BTreeMap<PathBuf, bool>,
}

impl Watcher {
    pub fn new(sink: TellSink) -> io::Result<Watcher> {
        let handler = move |event: notify::Result<Event>| told(event).into_iter().for_each(&sink);
        let config = Config::default().with_event_kinds(EventKindMask::CORE);
        let inner = RecommendedWatcher::new(handler, config).map_err(io::Error::other)?;
        Ok(Watcher { inner, roots: BTreeMap::new() })
    }

    /// Watches these paths instead of those before. What cannot be watched is told in the log. Blocking.
    pub fn watch(&mut self, used: &[PathBuf]) {
        let roots: BTreeMap<PathBuf, bool> = used.iter().filter_map(|path| root(path)).collect();
        let gone = self.roots.keys().filter(|path| !roots.contains_key(*path)).map(PathOp::unwatch);
        let new = roots.iter().filter(|(path, deep)| self.roots.get(*path) != Some(deep));
        let new = new.map(|(path, deep)| match deep {
            true => PathOp::watch_recursive(path),
            false => PathOp::watch_non_recursive(path),
        });
        let mut operations: Vec<PathOp> = gone.chain(new).collect();
        self.roots = roots;
        while !operations.is_empty() {
            let Err(failed) = self.inner.update_paths(operations) else { return };
            if let Some(PathOp::Watch(path, _)) = &failed.origin {
                tracing::warn!(err = %failed.source, path = %path.display(), "changes there are not told to the guest");
                self.roots.remove(path);
            }
            operations = failed.remaining;
        }
    }
}

/// Why a file's directory: what replaces a file is another one, of which a watch of the first hears nothing.
fn root(path: &std::path::Path) -> Option<(PathBuf, bool)> {
    match path.is_dir() {
        true => Some((path.to_owned(), true)),
        false => Some((path.parent()?.to_owned(), false)),
    }
}

/// An event in our words. A watcher that has trouble may have lost anything.
fn told(event: notify::Result<Event>) -> Vec<Told> {
    let Ok(event) = event else { return vec![Told::Lost] };
    if event.need_rescan() {
        return vec![Told::Lost];
    }
    let word = match event.kind {
        EventKind::Access(_) => return Vec::new(),
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => Told::Entry,
        EventKind::Modify(_) | EventKind::Any | EventKind::Other => Told::Changed,
    };
    event.paths.into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use notify::event::*;

    use super::*;
    use crate::happened::Happened;
    use crate::told::News;

    #[test]
    fn events_of_both_systems_in_our_words() {
        let event = |kind| Ok(Event::new(kind).add_path("/a".into()));
        let (changed, entry) = (vec![Told::Changed("/a".into())], vec![Told::Entry("/a".into())]);
        for (kind, words) in [
            // macOS
            (EventKind::Create(CreateKind::File), &entry),
            (EventKind::Remove(RemoveKind::Folder), &entry),
            (EventKind::Modify(ModifyKind::Name(RenameMode::Any)), &entry),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), &changed),
            (EventKind::Modify(ModifyKind::Data(DataChange::Content)), &changed),
            // Windows
            (EventKind::Create(CreateKind::Any), &entry),
            (EventKind::Remove(RemoveKind::Any), &entry),
            (EventKind::Modify(ModifyKind::Name(RenameMode::From)), &entry),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), &entry),
            (EventKind::Modify(ModifyKind::Any), &changed),
        ] {
            assert_eq!(&told(event(kind)), words, "{kind:?}");
        }
        let both = Event::new(EventKind::Modify(ModifyKind::Name(RenameMode::Both)));
        let both = both.add_path("/a".into()).add_path("/b".into());
        assert_eq!(told(Ok(both)), [Told::Entry("/a".into()), Told::Entry("/b".into())]);
        assert_eq!(told(event(EventKind::Access(AccessKind::Any))), []);
        assert_eq!(told(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))), [Told::Lost]);
        assert_eq!(told(Err(notify::Error::generic("trouble"))), [Told::Lost]);
    }

    struct Case {
        watcher: Watcher,
        told: mpsc::Receiver<Told>,
        news: News,
    }

    impl Case {
        fn new() -> Case {
            let (sender, told) = mpsc::channel();
            let watcher = Watcher::new(Box::new(move |told| _ = sender.send(told))).unwrap();
            Case { watcher, told, news: News::new(false) }
        }

        fn watch(&mut self, used: &[PathBuf]) {
            self.watcher.watch(used);
            self.news.set_used(used.to_vec());
        }

        /// Waits until all of these were news.
        fn hear(&mut self, paths: &[&Path]) {
            let mut missing: HashSet<&Path> = paths.iter().copied().collect();
            let deadline = Instant::now() + Duration::from_secs(60);
            while !missing.is_empty() {
                assert!(Instant::now() < deadline, "never heard of {missing:?}");
                if let Ok(told) = self.told.recv_timeout(Duration::from_millis(10)) {
                    self.news.note(told, Instant::now());
                }
                for happened in self.news.take(Instant::now()) {
                    let Happened::Modified { path } = happened else { panic!("{happened:?}") };
                    missing.remove(path.as_path());
                }
            }
        }
    }

    /// The way from this system's own events to news. The kinds differ from macOS's; what is made of them does not.
    #[test]
    fn what_happens_in_used_places_is_news() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let used = root.join("used");
        fs::create_dir(&used).unwrap();
        let config = root.join("app.conf");
        fs::write(&config, "1").unwrap();
        let mut case = Case::new();
        case.watch(&[used.clone(), config.clone()]);

        fs::write(used.join("a"), "1").unwrap();
        case.hear(&[&used, &used.join("a")]);
        fs::rename(used.join("a"), used.join("b")).unwrap();
        case.hear(&[&used, &used.join("b")]);
        fs::remove_file(used.join("b")).unwrap();
        case.hear(&[&used]);
        fs::write(root.join("new.conf"), "22").unwrap();
        fs::rename(root.join("new.conf"), &config).unwrap();
        case.hear(&[&config]);

        let other = root.join("other");
        fs::create_dir(&other).unwrap();
        case.watch(&[root.join("gone/x"), other.clone()]);
        fs::write(other.join("a"), "1").unwrap();
        case.hear(&[&other, &other.join("a")]);
    }
}
