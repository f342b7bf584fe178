//! Which guest image a machine boots: the installed one, or the last one that worked here (A/B).
//!
//! ```text
//!  first start ever ───────────────────────────▶ installed image ──Ready──▶ copied to images/<id>: the good one
//!  installed image is the good one ────────────▶ it
//!  installed image is another one ──trial──▶ it ──Ready──▶ the good one from now on; the data disk's copy goes
//!                                              └─failed, or twice begun and never finished──▶ marked bad, data disk's
//!                                                 copy put back, the good one boots at once; tried again only when
//!                                                 yet another image is installed
//!  installed image cannot read the data's format ─▶ refused, nothing touched
//! ```
//!
//! A copy of the data disk is made before every trial where the filesystem shares blocks; elsewhere only before one that
//! raises the data's format, since an image of the same format leaves data that the good one reads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cubby_machine::disk_copy::{self, Effort};
use cubby_machine::{GuestImage, ImageError};
use serde::{Deserialize, Serialize};

const RECORD: &str = "images.json";
/// A trial that was cut short by a power cut or an impatient user gets another one.
const TRIALS: u32 = 2;

#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(
        "the data was last used by a newer Cubby (data format {data}; this one reads up to {image}) and was left untouched: \
         install the newer version again"
    )]
    Downgrade { data: u32, image: u32 },
    #[error(
        "no space for a copy of the data disk, which this upgrade needs in case it fails: make room, or move {0} elsewhere"
    )]
    NoSpaceForCopy(PathBuf),
    #[error("could not {0}")]
    Io(&'static str, #[source] io::Error),
}

/// What a profile knows about its images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    /// The last image that worked; its copy lies in `images/<id>`.
    good: Option<String>,
    /// The highest format that anything here has given the data disk.
    data_format: u32,
    trial: Option<Trial>,
    /// Images that failed their trial, and why.
    bad: Option<Bad>,
}

impl Record {
    fn begun(&self, image: &GuestImage) -> u32 {
        self.trial.as_ref().filter(|trial| trial.image == image.id).map_or(0, |trial| trial.begun)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Trial {
    image: String,
    begun: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bad {
    image: String,
    version: String,
    why: String,
}

/// What to boot.
#[derive(Debug)]
pub struct Choice {
    pub image: GuestImage,
    /// Boots on trial, or for the first time: [`Slots::begin`], then [`Slots::proved`] or [`Slots::failed`].
    pub trial: bool,
    /// What the user should know.
    pub notice: Option<String>,
}

/// The images of one profile, in words: version and the beginning of the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    pub installed: Option<(String, String)>,
    pub good: Option<(String, String)>,
    pub on_trial: bool,
    /// The version that failed its trial, and why.
    pub taken_back: Option<(String, String)>,
    pub data_format: u32,
}

/// The images of one profile. All methods block.
#[derive(Clone, Debug)]
pub struct Slots {
    state: PathBuf,
    data_disk: PathBuf,
}

impl Slots {
    pub fn new(state: &Path, data_disk: &Path) -> Self {
        Self { state: state.to_owned(), data_disk: data_disk.to_owned() }
    }

    /// What there is, for whoever wants to know; `installed` as [`Slots::choose`] gets it.
    pub fn overview(&self, installed: Result<GuestImage, ImageError>) -> Overview {
        let record = self.read();
        let good = record.good.as_ref().and_then(|id| GuestImage::open(&self.slot(id)).ok());
        let short = |image: &GuestImage| (image.version.clone(), image.id.chars().take(12).collect());
        Overview {
            installed: installed.as_ref().ok().map(short),
            good: good.as_ref().map(short),
            on_trial: record.trial.is_some(),
            taken_back: record.bad.map(|bad| (bad.version, bad.why)),
            data_format: record.data_format,
        }
    }

    /// What to boot, given what is installed.
    pub fn choose(&self, installed: Result<GuestImage, ImageError>) -> Result<Choice, SlotError> {
        let record = self.read();
        let good = record.good.as_ref().and_then(|id| GuestImage::open(&self.slot(id)).ok());
        let installed = match (installed, good) {
            (Ok(installed), Some(good)) if installed.id != good.id => (installed, good),
            (Ok(installed), good) => {
                readable(&installed, &record)?;
                return Ok(Choice { image: installed, trial: good.is_none(), notice: None });
            }
            (Err(err), Some(good)) => {
                let notice = format!("The installed guest image cannot be used ({err}); {} goes on.", good.version);
                return Ok(Choice { image: good, trial: false, notice: Some(notice) });
            }
            (Err(err), None) => return Err(err.into()),
        };
        let (installed, good) = installed;
        if let Some(bad) = record.bad.as_ref().filter(|bad| bad.image == installed.id) {
            return Ok(Choice { notice: Some(taken_back(bad, &good)), image: good, trial: false });
        }
        readable(&installed, &record)?;
        if record.begun(&installed) >= TRIALS {
            self.failed(&installed, "It never got as far as to answer.")?;
            return self.choose(Ok(installed));
        }
        Ok(Choice { image: installed, trial: true, notice: None })
    }

    /// The image is about to be powered on, on trial, for the first time or again.
    pub fn begin(&self, image: &GuestImage) -> Result<(), SlotError> {
        let mut record = self.read();
        if record.good.is_none() {
            return Ok(());
        }
        let begun = record.begun(image);
        if begun == 0 {
            self.keep_data(image, &record)?;
        }
        record.trial = Some(Trial { image: image.id.clone(), begun: begun + 1 });
        self.write(&record)
    }

    /// The image booted and answers.
    pub fn proved(&self, image: &GuestImage) -> Result<(), SlotError> {
        let mut record = self.read();
        image.copy_to(&self.slot(&image.id)).map_err(|err| SlotError::Io("keep a copy of the guest image", err))?;
        let data_format = record.data_format.max(image.data_format);
        record = Record { good: Some(image.id.clone()), data_format, ..Record::default() };
        self.write(&record)?;
        let _ = fs::remove_file(self.data_copy());
        // What lies about besides it is history.
        for other in fs::read_dir(self.images()).into_iter().flatten().flatten() {
            if other.file_name().to_str() != Some(&image.id) {
                let _ = fs::remove_dir_all(other.path());
            }
        }
        Ok(())
    }

    /// The image failed its trial. True when there is another one to boot instead; the data is then as it was before.
    pub fn failed(&self, image: &GuestImage, why: &str) -> Result<bool, SlotError> {
        let mut record = self.read();
        if record.good.is_none() {
            return Ok(false);
        }
        let copy = self.data_copy();
        if copy.exists() {
            fs::rename(&copy, &self.data_disk).map_err(|err| SlotError::Io("put the data disk's copy back", err))?;
        }
        record.trial = None;
        record.bad = Some(Bad { image: image.id.clone(), version: image.version.clone(), why: why.to_owned() });
        self.write(&record)?;
        Ok(true)
    }

    fn keep_data(&self, installed: &GuestImage, record: &Record) -> Result<(), SlotError> {
        if !self.data_disk.exists() {
            return Ok(());
        }
        let raises = installed.data_format > record.data_format;
        let effort = if raises { Effort::Any } else { Effort::OnlyShared };
        match disk_copy::copy(&self.data_disk, &self.data_copy(), effort) {
            Ok(copied) => tracing::info!(?copied, "the data disk before the upgrade"),
            Err(err) if err.kind() == io::ErrorKind::StorageFull => {
                return Err(SlotError::NoSpaceForCopy(self.data_disk.clone()));
            }
            Err(err) if raises => return Err(SlotError::Io("copy the data disk", err)),
            Err(err) => tracing::warn!(%err, "no copy of the data disk"),
        }
        Ok(())
    }

    fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    fn slot(&self, id: &str) -> PathBuf {
        self.images().join(id)
    }

    fn data_copy(&self) -> PathBuf {
        self.data_disk.with_extension("before-upgrade")
    }

    /// A record that is not there or not readable is an empty one: the installed image boots as if for the first time.
    fn read(&self) -> Record {
        let text = fs::read(self.state.join(RECORD)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn write(&self, record: &Record) -> Result<(), SlotError> {
        let (path, unfinished) = (self.state.join(RECORD), self.state.join("images.json.new"));
        let written = || -> io::Result<()> {
            fs::write(&unfinished, serde_json::to_vec_pretty(record)?)?;
            cubby_machine::system::sync_file(&unfinished)?;
            fs::rename(&unfinished, &path)
        };
        written().map_err(|err| SlotError::Io("note which guest image works", err))
    }
}

fn readable(image: &GuestImage, record: &Record) -> Result<(), SlotError> {
    if image.data_format < record.data_format {
        return Err(SlotError::Downgrade { data: record.data_format, image: image.data_format });
    }
    Ok(())
}

fn taken_back(bad: &Bad, good: &GuestImage) -> String {
    let versions = if bad.version == good.version { "a new build".to_owned() } else { bad.version.clone() };
    format!("The upgrade to {versions} failed and was taken back; {} goes on. {}", good.version, bad.why)
}

#[cfg(test)]
mod tests;
