//! On real files, with a clock that is passed in.

use std::fs;

use super::*;

struct Case {
    dir: tempfile::TempDir,
    news: News,
    now: Instant,
}

fn case() -> Case {
    let dir = tempfile::tempdir().unwrap();
    let mut news = News::new(true);
    news.set_used(vec![dir.path().to_owned()]);
    Case { dir, news, now: Instant::now() }
}

impl Case {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Its last change was long ago. Why: two within one tick of the kernel's clock look the same.
    fn age(&self, path: &Path) {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(cfg!(windows));
        // Source: winbase.h, FILE_FLAG_BACKUP_SEMANTICS: directories, too.
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, 0x0200_0000);
        options.open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    /// What is news once all that was told has been quiet.
    fn later(&mut self, told: impl IntoIterator<Item = Told>) -> Vec<Happened> {
        for told in told {
            self.news.note(told, self.now);
        }
        self.now += QUIET;
        self.news.take(self.now)
    }
}

fn modified(path: &Path) -> Happened {
    Happened::Modified { path: path.to_owned() }
}

fn written(path: &Path) -> Happened {
    Happened::Written { path: path.to_owned() }
}

#[test]
fn a_new_file_is_a_change_of_its_directory_and_of_itself_once() {
    let mut case = case();
    let file = case.write("a", "1");
    let dir = case.dir.path().to_owned();
    let told = || [Told::Entry(file.clone()), Told::Changed(file.clone()), Told::Changed(file.clone())];
    assert_eq!(case.later(told()), [modified(&dir), modified(&file), written(&file)]);
    assert!(!case.news.is_waiting());
    // The agent's own work: everything looks as it was told.
    assert_eq!(case.later(told().into_iter().chain([Told::Changed(dir)])), []);
}

#[test]
fn every_other_content_is_news() {
    let mut case = case();
    let file = case.write("a", "1");
    case.later([Told::Changed(file.clone())]);
    case.write("a", "12");
    assert_eq!(case.later([Told::Changed(file.clone())]), [modified(&file), written(&file)]);
    // Replaced, as editors do, by one of the same size and time. Windows gives it the other's time of creation, too.
    let time = fs::metadata(&file).unwrap().modified().unwrap() + Duration::from_secs(cfg!(windows).into());
    let other = case.write(".a.swp", "13");
    fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
    fs::rename(&other, &file).unwrap();
    let news = case.later([Told::Entry(other), Told::Entry(file.clone())]);
    assert_eq!(news[1..], [modified(&file), written(&file)]);
    case.news.closes = false;
    case.write("a", "more");
    assert_eq!(case.later([Told::Changed(file.clone())]), [modified(&file)]);
}

#[test]
fn what_went_is_a_change_of_its_directory_and_nothing_is_done_to_it() {
    let mut case = case();
    fs::create_dir(case.path("d")).unwrap();
    let file = case.write("d/a", "1");
    case.age(&case.path("d"));
    case.age(case.dir.path());
    case.later([Told::Entry(case.path("d")), Told::Entry(file.clone())]);
    fs::remove_file(&file).unwrap();
    assert_eq!(case.later([Told::Entry(file)]), [modified(&case.path("d"))]);
    fs::remove_dir(case.path("d")).unwrap();
    assert_eq!(case.later([Told::Entry(case.path("d/x")), Told::Entry(case.path("d"))]), [modified(case.dir.path())]);
}

#[cfg(unix)]
#[test]
fn another_mode_is_that_and_no_more() {
    use std::os::unix::fs::PermissionsExt;
    let mut case = case();
    let file = case.write("a", "1");
    case.later([Told::Changed(file.clone())]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(case.later([Told::Changed(file.clone())]), [Happened::Attributes { path: file }]);
}

#[test]
fn a_path_waits_until_it_is_quiet_but_not_for_ever() {
    let mut case = case();
    let file = case.write("log", "1");
    let began = case.now;
    let mut turns = 0;
    loop {
        turns += 1;
        case.news.note(Told::Changed(file.clone()), case.now);
        case.now += QUIET / 2;
        if !case.news.take(case.now).is_empty() {
            break;
        }
    }
    assert!(case.now - began >= PATIENCE && turns > 2, "{turns}");
}

#[test]
fn nothing_but_what_is_used_is_looked_at() {
    let mut case = case();
    let (file, beside) = (case.write("a", "1"), case.write("ab", "1"));
    case.news.set_used(vec![file.clone()]);
    let told = [Told::Entry(file.clone()), Told::Entry(beside.clone())];
    assert_eq!(case.later(told), [modified(&file), written(&file)], "neither its neighbour nor its directory");
    case.news.note(Told::Changed(file), case.now);
    case.news.set_used(vec![beside]);
    assert!(!case.news.is_waiting());
}

#[test]
fn more_than_can_wait_is_lost_together_and_told_once_it_is_over() {
    let mut case = case();
    for number in 0..=MOST_WAITING {
        let path = case.path(&number.to_string());
        case.news.note(Told::Entry(path), case.now);
    }
    assert!(case.news.is_waiting() && !case.news.take_lost(case.now), "more may come");
    let file = case.write("a", "1");
    assert_eq!(case.later([Told::Entry(file.clone())]), [], "nothing is told meanwhile");
    case.now += LULL;
    assert!(case.news.take_lost(case.now));
    assert!(case.news.is_waiting() && !case.news.take_lost(case.now));
    let old = case.write("old", "1");
    case.age(&old);
    assert_eq!(case.later([]), [], "looked for, and left to be quiet");
    let dir = case.dir.path().to_owned();
    assert_eq!(case.later([]), [modified(&dir), modified(&file), written(&file)], "what is new");
    assert!(!case.news.is_waiting());

    let began = case.now;
    case.news.note(Told::Lost, case.now);
    while !case.news.take_lost(case.now) {
        case.now += LULL / 2;
        case.news.note(Told::Changed(file.clone()), case.now);
    }
    assert!(case.now - began <= STORM, "a file that is written all the time does not keep it up");
}
