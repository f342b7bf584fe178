//! What is in a file: read, written, saved on this computer, uploaded.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bollard::Docker;
use bollard::query_parameters::UploadToContainerOptionsBuilder;

use super::{archive, clean};
use crate::engine::errors::app_error;
use crate::saving::{self, Saving};
use crate::schema::{AppError, FileContent};

/// Shown, and at most written back.
const MAX_TEXT_BYTES: u64 = 256 << 10;
/// Links followed to the end, as the kernel does.
const MAX_LINKS: u32 = 10;
const MAX_PART_BYTES: usize = 1 << 20;
const READ_BYTES: usize = 64 << 10;
const MAX_UPLOAD_BYTES: u64 = 4 << 30;
const UPLOADS_AT_ONCE: usize = 16;

/// The beginning of one file, and what its archive said of it.
struct Opened {
    path: String,
    header: tar::Header,
    bytes: Vec<u8>,
}

pub async fn read(docker: &Docker, id: &str, path: &str) -> Result<FileContent, AppError> {
    let opened = open(docker, id, path).await?;
    let size_bytes = opened.header.size().unwrap_or_default();
    let cut = size_bytes > opened.bytes.len() as u64;
    Ok(FileContent { text: text(opened.bytes, cut), size_bytes, cut })
}

/// A character may be cut in two at the end, and only there.
fn text(bytes: Vec<u8>, cut: bool) -> Option<String> {
    if bytes.contains(&0) {
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(err) if cut && err.utf8_error().error_len().is_none() => {
            let valid = err.utf8_error().valid_up_to();
            let mut bytes = err.into_bytes();
            bytes.truncate(valid);
            String::from_utf8(bytes).ok()
        }
        Err(_) => None,
    }
}

/// Replaces a file's contents; owner and permissions stay.
pub async fn write(docker: &Docker, id: &str, path: &str, text: &str) -> Result<(), AppError> {
    const TITLE: &str = "The file could not be saved";
    if text.len() as u64 > MAX_TEXT_BYTES {
        return Err(AppError::failed(TITLE, "it is too large to be edited here"));
    }
    let opened = open(docker, id, path).await?;
    let (directory, name) = opened.path.rsplit_once('/').unwrap_or(("", &opened.path));
    let mut header = tar::Header::new_gnu();
    header.set_mode(opened.header.mode().unwrap_or(0o644));
    header.set_uid(opened.header.uid().unwrap_or_default());
    header.set_gid(opened.header.gid().unwrap_or_default());
    header.set_mtime(now_unix_s());
    header.set_size(text.len() as u64);
    let mut archive = tar::Builder::new(Vec::new());
    let built = archive.append_data(&mut header, name, text.as_bytes()).and_then(|()| archive.into_inner());
    let built = built.map_err(|err| AppError::failed(TITLE, err.to_string()))?;
    let directory = if directory.is_empty() { "/" } else { directory };
    let options = UploadToContainerOptionsBuilder::default().path(directory).build();
    let uploaded = docker.upload_to_container(id, Some(options), bollard::body_full(built.into())).await;
    uploaded.map_err(|err| app_error(TITLE, err))
}

async fn open(docker: &Docker, id: &str, path: &str) -> Result<Opened, AppError> {
    const TITLE: &str = "The file could not be opened";
    let mut path = clean(path);
    for _ in 0..MAX_LINKS {
        let source = archive(docker, id, &path);
        let first = tokio::task::spawn_blocking(move || first_file(source)).await;
        let first = first.map_err(|err| AppError::failed(TITLE, err.to_string()))?;
        match first {
            Ok((header, bytes, None)) => return Ok(Opened { path, header, bytes }),
            Ok((_, _, Some(link))) => path = beside(&path, &link),
            Err(err) => return Err(failed(TITLE, err)),
        }
    }
    Err(AppError::failed(TITLE, "too many links lead from one to the next"))
}

fn beside(path: &str, link: &str) -> String {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    if link.starts_with('/') { clean(link) } else { clean(&format!("{parent}/{link}")) }
}

fn failed(title: &str, err: io::Error) -> AppError {
    let text = err.to_string();
    match err.into_inner().and_then(|inner| inner.downcast::<bollard::errors::Error>().ok()) {
        Some(err) => app_error(title, *err),
        None => AppError::failed(title, text),
    }
}

/// Header, the beginning of the contents, and where it leads if it is a link.
fn first_file(archive: impl Read) -> io::Result<(tar::Header, Vec<u8>, Option<String>)> {
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries()?.next().ok_or_else(|| io::Error::other("the archive is empty"))??;
    let header = entry.header().clone();
    let link = entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
    match header.entry_type() {
        tar::EntryType::Symlink => Ok((header, Vec::new(), link)),
        tar::EntryType::Regular | tar::EntryType::Continuous => {
            let mut bytes = Vec::new();
            entry.take(MAX_TEXT_BYTES).read_to_end(&mut bytes)?;
            Ok((header, bytes, None))
        }
        _ => Err(io::Error::other("it is not a file")),
    }
}

/// Where a file of this computer goes.
#[derive(Clone, Debug)]
pub enum Place {
    /// Into a directory, under a name that nothing there has.
    Into(PathBuf),
    /// There, whatever is there: the user was asked.
    Exactly(PathBuf),
}

impl Place {
    pub fn path(&self) -> &Path {
        match self {
            Self::Into(path) | Self::Exactly(path) => path,
        }
    }

    pub fn create(&self, name: &str) -> io::Result<(File, Saving)> {
        match self {
            Self::Into(directory) => Saving::into(directory, name),
            Self::Exactly(path) => {
                let saving = Saving::over(path.clone());
                Ok((File::create(saving.part())?, saving))
            }
        }
    }
}

/// Saves a file as it is, or a directory as an archive; says where.
pub async fn save(docker: &Docker, id: &str, path: &str, to: Place) -> Result<PathBuf, AppError> {
    const TITLE: &str = "It could not be saved";
    let path = clean(path);
    let source = archive(docker, id, &path);
    let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("container").to_owned();
    let place = to.path().to_owned();
    let saved = tokio::task::spawn_blocking(move || save_archive(source, &name, &to)).await;
    saved.map_err(|err| AppError::failed(TITLE, err.to_string()))?.map_err(|err| match err {
        Broken::There(err) => failed(TITLE, err),
        Broken::Here(err) => saving::failed(TITLE, &place, &err),
    })
}

/// Which end of a copy failed.
enum Broken {
    There(io::Error),
    Here(io::Error),
}

fn save_archive(source: impl Read, name: &str, to: &Place) -> Result<PathBuf, Broken> {
    // What comes is an archive in any case: its first header tells whether one file is all there is in it.
    let mut head = [0; 512];
    let mut source = source;
    source.read_exact(&mut head).map_err(Broken::There)?;
    let file = tar::Header::from_byte_slice(&head).entry_type() == tar::EntryType::Regular;
    let whole = io::Cursor::new(head).chain(source);
    if !file {
        return copy(whole, &format!("{name}.tar"), to);
    }
    let mut archive = tar::Archive::new(whole);
    let first = archive
        .entries()
        .and_then(|mut entries| entries.next().unwrap_or_else(|| Err(io::Error::other("the archive is empty"))));
    copy(first.map_err(Broken::There)?, name, to)
}

fn copy(mut source: impl Read, name: &str, to: &Place) -> Result<PathBuf, Broken> {
    let (mut out, saving) = to.create(name).map_err(Broken::Here)?;
    let mut part = vec![0; READ_BYTES];
    loop {
        match source.read(&mut part).map_err(Broken::There)? {
            0 => return saving.finish().map_err(Broken::Here),
            len => out.write_all(&part[..len]).map_err(Broken::Here)?,
        }
    }
}

/// Uploads under way: files without a name, gone with the process.
#[derive(Default)]
pub struct Uploads(Mutex<HashMap<u32, Arc<Mutex<File>>>>);

pub struct Part<'a> {
    pub upload: u32,
    pub directory: &'a str,
    pub name: &'a str,
    pub base64: &'a str,
    pub last: bool,
}

impl Uploads {
    pub async fn put(&self, docker: &Docker, id: &str, part: Part<'_>) -> Result<(), AppError> {
        const TITLE: &str = "The file could not be uploaded";
        let text = |err: &dyn std::fmt::Display| AppError::failed(TITLE, err.to_string());
        if part.name.is_empty() || part.name.contains('/') || matches!(part.name, "." | "..") {
            return Err(AppError::failed(TITLE, format!("{:?} is not a file name", part.name)));
        }
        let bytes = STANDARD.decode(part.base64).map_err(|err| text(&err))?;
        if bytes.len() > MAX_PART_BYTES {
            return Err(AppError::failed(TITLE, "the part is too large"));
        }
        let file = self.file(part.upload).map_err(|err| text(&err))?;
        let (last, name) = (part.last, part.name.to_owned());
        let spooled = tokio::task::spawn_blocking(move || spool(&file, &bytes, last, &name)).await;
        let ready = spooled.map_err(|err| text(&err))?.map_err(|err| text(&err));
        if part.last || ready.is_err() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&part.upload);
        }
        let Some(archive) = ready? else { return Ok(()) };
        let body = tokio_util::io::ReaderStream::with_capacity(tokio::fs::File::from_std(archive), 256 * 1024);
        let options = UploadToContainerOptionsBuilder::default().path(&clean(part.directory)).build();
        let uploaded = docker.upload_to_container(id, Some(options), bollard::body_try_stream(body)).await;
        uploaded.map_err(|err| app_error(TITLE, err))
    }

    fn file(&self, upload: u32) -> io::Result<Arc<Mutex<File>>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = all.get(&upload) {
            return Ok(file.clone());
        }
        if all.len() >= UPLOADS_AT_ONCE {
            return Err(io::Error::other("too many uploads at once"));
        }
        let mut file = tempfile::tempfile()?;
        // Room for the header, which is known in the end.
        file.write_all(&[0; 512])?;
        let file = Arc::new(Mutex::new(file));
        all.insert(upload, file.clone());
        Ok(file)
    }
}

/// Appends; with the last part the file becomes an archive, which is returned from its beginning.
fn spool(file: &Mutex<File>, bytes: &[u8], last: bool, name: &str) -> io::Result<Option<File>> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(bytes)?;
    let end = file.stream_position()?;
    let size = end - 512;
    if size > MAX_UPLOAD_BYTES {
        return Err(io::Error::other("it is larger than 4 GiB"));
    }
    if !last {
        return Ok(None);
    }
    let padding = (512 - size % 512) % 512 + 1024;
    file.write_all(&vec![0; padding as usize])?;
    let mut header = tar::Header::new_gnu();
    // A long name would need an entry of its own before this one.
    header.set_path(name).map_err(|_| io::Error::other("its name is too long"))?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(now_unix_s());
    header.set_size(size);
    header.set_cksum();
    file.seek(SeekFrom::Start(0))?;
    file.write_all(header.as_bytes())?;
    file.seek(SeekFrom::Start(0))?;
    file.try_clone().map(Some)
}

fn now_unix_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_other_bytes() {
        assert_eq!(text(b"plain\n".to_vec(), false).as_deref(), Some("plain\n"));
        assert_eq!(text(b"a\0b".to_vec(), false), None);
        // Cut within the last character.
        assert_eq!(text("ab\u{e9}".as_bytes()[..3].to_vec(), true).as_deref(), Some("ab"));
        assert_eq!(text("ab\u{e9}".as_bytes()[..3].to_vec(), false), None);
        assert_eq!(text(vec![b'a', 0xff, b'b'], true), None);
    }

    #[test]
    fn links_lead_beside_their_file() {
        assert_eq!(beside("/etc/os-release", "../usr/lib/os-release"), "/usr/lib/os-release");
        assert_eq!(beside("/a", "/b/../c"), "/c");
    }

    #[test]
    fn an_upload_in_parts_is_one_archive() {
        let uploads = Uploads::default();
        let file = uploads.file(1).unwrap();
        assert!(spool(&file, b"hello ", false, "x.txt").unwrap().is_none());
        let archive = spool(&file, b"world", true, "x.txt").unwrap().unwrap();
        let mut archive = tar::Archive::new(archive);
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("x.txt"));
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello world");
    }
}
