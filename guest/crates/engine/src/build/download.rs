//! What `ADD` names by address, fetched into a directory that it is then copied from. Source: moby
//! builder/dockerfile/copy.go `downloadSource`; `--checksum`: BuildKit frontend/dockerfile/docs/reference.md.

use std::{
    fs::{FileTimes, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use cubby_image::{Digest, digest::Hasher};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};

use super::{copy::Wanted, output::Output};
use crate::{
    containers::files::Files,
    error::{Error, Result},
    images::{Images, refusal},
};

/// Addresses that hold a file. Repositories (`git://`, `git@`, `ssh://`) are BuildKit's alone.
pub fn is_address(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Fetches `wanted.addresses` into `directory`, and says what to copy from there, and how.
pub(super) async fn fetch(
    images: &Images,
    wanted: &Wanted,
    directory: PathBuf,
    out: &Output,
) -> Result<(Files, Wanted)> {
    let mut sources = Vec::new();
    for (nth, address) in wanted.addresses.iter().enumerate() {
        out.say(format!("Downloading {address}\n")).await;
        // Why one each: two addresses may end in the same name.
        let place = directory.join(nth.to_string());
        fs::create_dir_all(&place).await.map_err(|source| failed(address, source))?;
        let name = one(images, wanted, address, place).await?;
        sources.push(format!("{nth}/{}", literal(&name)));
    }
    let from_there = Wanted {
        sources,
        addresses: Vec::new(),
        documents: Vec::new(),
        // What comes from elsewhere is never unpacked.
        unpacks: false,
        ..wanted.clone()
    };
    Ok((Files::at(&directory)?, from_there))
}

fn failed(address: &str, source: io::Error) -> Error {
    Error::system(format!("download {address}"), source)
}

/// The name of the file in `place`.
async fn one(images: &Images, wanted: &Wanted, address: &str, place: PathBuf) -> Result<String> {
    let failed = |source| failed(address, source);
    let mut download = images.open_address(address).await?;
    let name = match download.name.as_str() {
        "" if wanted.into_directory => {
            return Err(Error::invalid("cannot determine filename for source"));
        }
        "" => "__unnamed__".to_owned(),
        name => name.to_owned(),
    };
    let path = place.join(&name);
    let mut file = File::create_new(&path).await.map_err(failed)?;
    let mut hasher = Hasher::new();
    while let Some(bytes) = download.chunk().await.map_err(refusal)? {
        hasher.update(&bytes);
        file.write_all(&bytes).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    let digest = hasher.finish();
    if let Some(expected) = wanted.checksum.filter(|expected| *expected != digest) {
        return Err(Error::invalid(format!("digest mismatch {digest}: {expected}")));
    }
    file.set_permissions(Permissions::from_mode(0o600)).await.map_err(failed)?;
    let modified = download.last_modified().and_then(moment).unwrap_or(UNIX_EPOCH);
    file.into_std().await.set_times(FileTimes::new().set_modified(modified)).map_err(failed)?;
    Ok(name)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn moment(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc2822).ok().map(SystemTime::from)
}

/// A name as a pattern that fits nothing else.
fn literal(name: &str) -> String {
    let magic = |c| matches!(c, '*' | '?' | '[' | '\\');
    name.chars().flat_map(|c| magic(c).then_some('\\').into_iter().chain([c])).collect()
}

/// `--checksum=sha256:…`.
pub(super) fn checksum(text: &str) -> Result<Digest> {
    text.parse().map_err(|_| Error::invalid(format!("invalid checksum digest format: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_tell_times_and_names_mean_themselves() {
        assert_eq!(
            moment("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(UNIX_EPOCH + std::time::Duration::from_secs(784_111_777))
        );
        assert_eq!(moment("yesterday"), None);
        assert_eq!(literal("a[1]*.t\\x?"), "a\\[1]\\*.t\\\\x\\?");
        assert!(!cubby_build::glob::is_pattern(&literal("a[1]*?")));
    }
}
