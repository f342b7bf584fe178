//! The folders that the user shares, and the tree of directories that leads to them.
//!
//! In the guest a shared folder has the path that it has on the host (on Windows `C:\Users` is `/c/Users`), so that a
//! symlink with an absolute target means the same on both sides. Directories above are virtual: they have nothing in
//! them but the way.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::paths;

/// Why a folder cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("shared folder {0} is not an absolute path")]
    Relative(PathBuf),
    #[error("shared folder {path} cannot be used")]
    Missing { path: PathBuf, source: std::io::Error },
    #[error("shared folder {0} is not a directory")]
    NotADirectory(PathBuf),
    #[error("the whole filesystem cannot be shared: name folders in it")]
    Root,
}

/// Checked folders: absolute, real paths, none below another, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders(Vec<PathBuf>);

impl Folders {
    /// Takes what can be shared; what cannot is told. Blocking.
    pub fn new(wanted: impl IntoIterator<Item = PathBuf>) -> (Folders, Vec<FolderError>) {
        let mut errors = Vec::new();
        let mut found: Vec<PathBuf> = Vec::new();
        for path in wanted {
            match check(&path) {
                Ok(path) => found.push(path),
                Err(err) => errors.push(err),
            }
        }
        (Folders(outermost(found)), errors)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of the folders the guest's paths lead to: real paths, none below another, sorted. Blocking.
    ///
    /// Paths are compared as the system resolves them: through links (`/tmp` is `/private/tmp` on a Mac), and in any case of
    /// letters where it makes no difference.
    pub fn used(&self, in_guest: &[String]) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        for wanted in in_guest {
            let real = paths::on_host(wanted).and_then(|path| path.canonicalize().ok());
            for folder in self.iter() {
                let above = paths::in_guest(folder).is_some_and(|place| Path::new(&place).starts_with(wanted));
                match &real {
                    Some(real) if real.starts_with(folder) => found.push(real.clone()),
                    Some(real) if above || folder.starts_with(real) => found.push(folder.to_owned()),
                    None if above => found.push(folder.to_owned()),
                    _ => {}
                }
            }
        }
        outermost(found)
    }
}

/// None below another, sorted.
fn outermost(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !found.iter().any(|above| path.starts_with(above)) {
            found.push(path);
        }
    }
    found
}

fn check(path: &Path) -> Result<PathBuf, FolderError> {
    if !path.is_absolute() {
        return Err(FolderError::Relative(path.to_owned()));
    }
    let missing = |source| FolderError::Missing { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(missing)?;
    if !real.metadata().map_err(missing)?.is_dir() {
        return Err(FolderError::NotADirectory(path.to_owned()));
    }
    match real.parent() {
        Some(_) => Ok(real),
        None => Err(FolderError::Root),
    }
}

/// The virtual directories: names lead further or to a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tree {
    pub below: BTreeMap<OsString, Branch>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Branch {
    Further(Tree),
    Folder(PathBuf),
}

impl Tree {
    pub fn of(folders: &Folders) -> Tree {
        let mut tree = Tree::default();
        for folder in folders.iter() {
            let names: Vec<OsString> = folder
                .components()
                .filter_map(|part| match part {
                    Component::Normal(name) => Some(name.to_owned()),
                    _ => None,
                })
                .collect();
            tree.add(&names, folder);
        }
        tree
    }

    fn add(&mut self, names: &[OsString], folder: &Path) {
        match names {
            [] => {}
            [last] => _ = self.below.insert(last.clone(), Branch::Folder(folder.to_owned())),
            [first, rest @ ..] => {
                let branch = self.below.entry(first.clone()).or_insert_with(|| Branch::Further(Tree::default()));
                // Folders lie in no other folder, so the branch never is one.
                if let Branch::Further(tree) = branch {
                    tree.add(rest, folder);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_real_distinct_and_never_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.join("a"), root.join("link")).unwrap();
        #[cfg(not(unix))]
        std::fs::create_dir(root.join("a/link")).unwrap();
        let wanted =
            ["a/b", "a", if cfg!(unix) { "link" } else { "a/link" }, "file", "none"].map(|name| root.join(name));
        let (folders, errors) =
            Folders::new(wanted.into_iter().chain([root.ancestors().last().unwrap().into(), "relative".into()]));
        assert_eq!(folders.iter().collect::<Vec<_>>(), [root.join("a")]);
        assert!(
            matches!(
                errors[..],
                [
                    FolderError::NotADirectory(_),
                    FolderError::Missing { .. },
                    FolderError::Root,
                    FolderError::Relative(_),
                ]
            ),
            "{errors:?}"
        );
    }

    #[test]
    #[cfg(unix)]
    fn what_containers_use_is_found_in_the_folders_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("home/src/app")).unwrap();
        std::fs::create_dir_all(root.join("secret")).unwrap();
        std::os::unix::fs::symlink(root.join("home/src"), root.join("home/link")).unwrap();
        std::os::unix::fs::symlink(root.join("secret"), root.join("home/out")).unwrap();
        let (folders, _) = Folders::new([root.join("home")]);
        let used = |names: &[&str]| {
            let wanted: Vec<String> = names.iter().map(|name| root.join(name).to_string_lossy().into_owned()).collect();
            folders.used(&wanted)
        };
        assert_eq!(used(&["home/src/app", "home/src"]), [root.join("home/src")]);
        assert_eq!(used(&["home/link"]), [root.join("home/src")], "the real place");
        std::os::unix::fs::symlink(root.join("home"), root.join("way")).unwrap();
        assert_eq!(used(&["way/src"]), [root.join("home/src")], "by a way from outside");
        assert_eq!(used(&["home/out", "home/../secret", "secret", "home/none", "homely"]), [] as [PathBuf; 0]);
        assert_eq!(used(&[""]), [root.join("home")], "all that is below");
        assert_eq!(folders.used(&["/".into()]), [root.join("home")]);
    }

    #[test]
    #[cfg(windows)]
    fn what_containers_use_is_found_in_any_case_of_letters() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("Src/App")).unwrap();
        let (folders, _) = Folders::new([dir.path().join("Src")]);
        let root = paths::in_guest(&dir.path().canonicalize().unwrap()).unwrap();
        let app = dir.path().join("Src/App").canonicalize().unwrap();
        assert_eq!(folders.used(&[format!("{root}/src/app"), format!("{root}/none")]), [app]);
        assert_eq!(folders.used(&[root]), [dir.path().join("Src").canonicalize().unwrap()]);
    }

    #[test]
    #[cfg(unix)]
    fn the_tree_leads_to_every_folder() {
        let folders = Folders(vec!["/home/jo".into(), "/home/jo2".into(), "/srv".into()]);
        let tree = Tree::of(&folders);
        assert_eq!(tree.below.keys().collect::<Vec<_>>(), ["home", "srv"]);
        let Branch::Further(home) = &tree.below[&OsString::from("home")] else { panic!("a folder") };
        assert_eq!(home.below[&OsString::from("jo")], Branch::Folder("/home/jo".into()));
        assert_eq!(tree.below[&OsString::from("srv")], Branch::Folder("/srv".into()));
    }
}
