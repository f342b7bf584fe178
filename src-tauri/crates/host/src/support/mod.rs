//! The support bundle: what somebody else needs to see to help, in one `.tar.gz`, without what they must not see.
//!
//! Everything that goes in is text and passes [`redact`]; nothing is sent anywhere. Environment values, credentials and the user's
//! name are out; names of images and containers are in, because without them nobody can help.

mod redact;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

pub use redact::Redactor;

/// The newest part of a log; what is older rarely explains anything.
const LOG_BYTES: u64 = 1 << 20;

/// Texts by file name, redacted as they come in.
#[derive(Debug)]
pub struct Bundle {
    redactor: Redactor,
    files: Vec<(String, String)>,
}

impl Bundle {
    pub fn new(redactor: Redactor) -> Self {
        Self { redactor, files: Vec::new() }
    }

    pub fn text(&mut self, name: &str, text: &str) {
        self.files.push((name.to_owned(), self.redactor.text(text)));
    }

    /// The end of a log; one that does not exist is said so.
    pub fn log(&mut self, name: &str, path: &Path) {
        let text = tail(path).unwrap_or_else(|err| format!("{err}\n"));
        self.text(name, &text);
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(name, _)| name.as_str())
    }

    /// Writes the archive; readable by its owner alone.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut options = crate::local::private_file();
        options.create_new(true).write(true);
        let mut archive = tar::Builder::new(GzEncoder::new(options.open(path)?, Compression::default()));
        for (name, text) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            archive.append_data(&mut header, format!("cubby-support/{name}"), text.as_bytes())?;
        }
        archive.into_inner()?.finish()?.flush()
    }
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_every_text_redacted_and_is_only_ours() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("daemon.log");
        std::fs::write(&log, "start POSTGRES_PASSWORD=hunter2 in /home/ada/x\n").unwrap();
        let mut bundle = Bundle::new(Redactor::new(Some(Path::new("/home/ada"))));
        bundle.log("daemon.log", &log);
        bundle.log("console.log", &dir.path().join("none"));
        bundle.text("status.json", r#"{"token": "abc.def"}"#);
        let path = dir.path().join("bundle.tar.gz");
        bundle.write(&path).unwrap();
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o777, 0o600);
        assert!(bundle.write(&path).is_err(), "nothing is overwritten");

        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path).unwrap()));
        let mut all = String::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            all.push_str(&entry.path().unwrap().display().to_string());
            entry.read_to_string(&mut all).unwrap();
        }
        assert!(
            all.contains("cubby-support/daemon.log") && all.contains("POSTGRES_PASSWORD=") && all.contains("~/x"),
            "{all}"
        );
        assert!(!all.contains("hunter2") && !all.contains("abc.def") && !all.contains("ada"), "{all}");
    }

    #[test]
    fn of_a_long_log_the_end_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, [vec![b'a'; 2 << 20], b"the end".to_vec()].concat()).unwrap();
        let text = tail(&log).unwrap();
        assert_eq!(text.len() as u64, LOG_BYTES);
        assert!(text.ends_with("the end"));
    }
}
