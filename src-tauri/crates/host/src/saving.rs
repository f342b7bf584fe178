//! A file that the user saves: whole at its place, or not there. What fails half-way, on a full disk say, or is cancelled leaves neither
//! half a file nor anything less of what stood there before.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::schema::AppError;

/// Removes what was written, unless it is [finished](Self::finish).
#[derive(Debug)]
pub struct Saving {
    part: PathBuf,
    place: PathBuf,
    finished: bool,
}

impl Saving {
    /// Over whatever is there: the user was asked. Until then it is written beside.
    pub fn over(place: PathBuf) -> Self {
        let mut part = place.clone().into_os_string();
        part.push(format!(".{:08x}.part", fastrand::u32(..)));
        Self { part: part.into(), place, finished: false }
    }

    /// Into a directory, under a name that nothing there has.
    pub fn into(directory: &Path, name: &str) -> io::Result<(File, Self)> {
        let (file, place) = new_file(directory, name)?;
        Ok((file, Self { part: place.clone(), place, finished: false }))
    }

    /// Where to write.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Where it will be.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Everything is written; says where it is.
    pub fn finish(mut self) -> io::Result<PathBuf> {
        if self.part != self.place {
            fs::rename(&self.part, &self.place)?;
        }
        self.finished = true;
        Ok(self.place.clone())
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// What went wrong with a file of this computer's, said as such: a disk that is full here is not the machine's.
pub fn failed(title: &str, path: &Path, err: &io::Error) -> AppError {
    match err.kind() {
        // In words of ours already.
        io::ErrorKind::Other => AppError::failed(title, err.to_string()),
        _ => AppError::failed(title, format!("on this computer: {}: {err}", path.display())),
    }
}

fn new_file(directory: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    fs::create_dir_all(directory)?;
    let name: String = name.chars().map(|c| if c == '/' || c == '\\' || c.is_control() { '_' } else { c }).collect();
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem.to_owned(), format!(".{extension}")),
        _ => (name.clone(), String::new()),
    };
    for number in 1..1000 {
        let name = if number == 1 { name.clone() } else { format!("{stem} ({number}){extension}") };
        let place = directory.join(name);
        match File::create_new(&place) {
            Ok(file) => return Ok((file, place)),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(err),
        }
    }
    Err(io::Error::other(format!("{} has too many files of that name", directory.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_there_stays_until_the_new_one_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("web.tar");
        fs::write(&place, "old").unwrap();
        let saving = Saving::over(place.clone());
        fs::write(saving.part(), "ne").unwrap();
        drop(saving);
        assert_eq!(fs::read_to_string(&place).unwrap(), "old", "it failed half-way");
        assert_eq!(names(dir.path()), ["web.tar"]);
        let saving = Saving::over(place.clone());
        fs::write(saving.part(), "new").unwrap();
        assert_eq!(saving.finish().unwrap(), place);
        assert_eq!(fs::read_to_string(&place).unwrap(), "new");
        assert_eq!(names(dir.path()), ["web.tar"]);
    }

    #[test]
    fn saved_files_never_replace_others() {
        let dir = tempfile::tempdir().unwrap();
        let save = || {
            let (_, saving) = Saving::into(dir.path(), "a/b.txt").unwrap();
            saving.finish().unwrap().file_name().unwrap().to_owned()
        };
        assert_eq!([save(), save(), save()], ["a_b.txt", "a_b (2).txt", "a_b (3).txt"]);
        drop(Saving::into(dir.path(), "c.txt").unwrap());
        assert_eq!(names(dir.path()).len(), 3, "half a file is none");
    }
}
