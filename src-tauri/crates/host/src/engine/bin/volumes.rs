//! Volumes: Docker cannot rename one, so a volume in the bin stays what it is, and an empty volume beside it is the mark.
//!
//! ```text
//!  shop ──put──▶ shop + cubby-bin.<when>.shop ──take out──▶ shop
//!                   └── after KEPT, or when the bin is over its budget ──▶ neither
//! ```
//!
//! A volume that some container uses is not in the bin, whatever is beside it: `docker run -v shop:/data` has its files again.
//! A mark that is older than the volume of its name belongs to another one, which is gone.

use std::collections::{HashMap, HashSet};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::VolumeCreateOptions;
use bollard::query_parameters::{
    DataUsageOptions, ListContainersOptionsBuilder, ListVolumesOptions, RemoveVolumeOptions,
};

use super::{Budget, forgiven, kept, now_unix_s};
use crate::engine::errors::app_error;
use crate::schema::{AppError, Kept, Volume};

const PREFIX: &str = "cubby-bin.";
/// What volumes in the bin hold, together; the oldest go first.
const BUDGET_BYTES: u64 = 16 << 30;
/// The engine's clock may be a little behind this computer's.
const SLACK_MS: u64 = 5000;

struct Mark {
    /// The empty volume's own name.
    volume: String,
    at_unix_s: u64,
    name: String,
}

impl Mark {
    fn read(volume: &str) -> Option<Self> {
        let (at, name) = volume.strip_prefix(PREFIX)?.split_once('.')?;
        let name = (!name.is_empty()).then(|| name.to_owned())?;
        Some(Self { volume: volume.to_owned(), at_unix_s: at.parse().ok()?, name })
    }

    /// It was put beside this one, not beside an earlier one of the name.
    fn is_of(&self, volume: &Volume) -> bool {
        self.at_unix_s.saturating_mul(1000).saturating_add(SLACK_MS) >= volume.created_unix_ms
    }

    fn kept(&self) -> Option<Kept> {
        kept(self.at_unix_s)
    }
}

/// Takes the marks out of a list of volumes and says of the others whether they are in the bin.
pub fn read(listed: Vec<Volume>) -> Vec<Volume> {
    let (marks, mut volumes): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|volume| Mark::read(&volume.name).is_some());
    let marks: HashMap<String, Mark> =
        marks.iter().filter_map(|volume| Mark::read(&volume.name)).map(|mark| (mark.name.clone(), mark)).collect();
    for volume in &mut volumes {
        volume.binned = marks.get(&volume.name).filter(|mark| mark.is_of(volume)).and_then(Mark::kept);
    }
    volumes
}

/// Puts a volume that no container uses into the bin.
pub async fn put(docker: &Docker, name: &str) -> Result<(), AppError> {
    const TITLE: &str = "The volume could not be removed";
    let failed = |err| app_error(TITLE, err);
    if in_use(docker).await.map_err(failed)?.contains(name) {
        return Err(AppError::failed(TITLE, "a container still uses this volume: remove the container first"));
    }
    docker.inspect_volume(name).await.map_err(failed)?;
    let mark = VolumeCreateOptions {
        name: Some(format!("{PREFIX}{}.{name}", now_unix_s())),
        labels: Some(HashMap::from([("cubby.bin".to_owned(), name.to_owned())])),
        ..VolumeCreateOptions::default()
    };
    docker.create_volume(mark).await.map(drop).map_err(failed)
}

pub async fn take_out(docker: &Docker, name: &str) -> Result<(), AppError> {
    let failed = |err| app_error("It could not be taken out of the bin", err);
    for mark in marks(docker).await.map_err(failed)?.into_iter().filter(|mark| mark.name == name) {
        remove(docker, &mark.volume).await.map_err(failed)?;
    }
    Ok(())
}

/// Removes for good what is too old or too much; all of it when `everything`. What a container uses is out of the bin.
pub async fn sweep(docker: &Docker, everything: bool) -> Result<(), Error> {
    let mut marks = marks(docker).await?;
    if marks.is_empty() {
        return Ok(());
    }
    let used = in_use(docker).await?;
    let volumes: HashMap<String, Volume> =
        list(docker).await?.into_iter().map(|volume| (volume.name.clone(), volume)).collect();
    // A walk over the files: only when there is something to weigh.
    let sizes: HashMap<String, u64> = match everything {
        true => HashMap::new(),
        false => {
            let found = docker.df(None::<DataUsageOptions>).await?.volumes.unwrap_or_default();
            let size = |volume: bollard::models::Volume| Some((volume.name, volume.usage_data?.size));
            found.into_iter().filter_map(size).map(|(name, size)| (name, u64::try_from(size).unwrap_or(0))).collect()
        }
    };
    marks.sort_by_key(|mark| std::cmp::Reverse(mark.at_unix_s));
    let mut budget = Budget::of(BUDGET_BYTES, everything);
    for mark in marks {
        let binned = volumes.get(&mark.name).is_some_and(|volume| mark.is_of(volume)) && !used.contains(&mark.name);
        let bytes = sizes.get(&mark.name).copied().unwrap_or(0);
        if binned && budget.keeps(mark.at_unix_s, bytes) {
            continue;
        }
        if binned {
            forgiven(remove(docker, &mark.name).await)?;
        }
        forgiven(remove(docker, &mark.volume).await)?;
    }
    Ok(())
}

async fn list(docker: &Docker) -> Result<Vec<Volume>, Error> {
    let listed = match docker.list_volumes(None::<ListVolumesOptions>).await {
        // An engine without them.
        Err(Error::DockerResponseServerError { status_code: 404 | 501, .. }) => return Ok(Vec::new()),
        listed => listed?.volumes.unwrap_or_default(),
    };
    Ok(listed.into_iter().map(crate::engine::stores::volume).collect())
}

async fn marks(docker: &Docker) -> Result<Vec<Mark>, Error> {
    Ok(list(docker).await?.iter().filter_map(|volume| Mark::read(&volume.name)).collect())
}

/// Names of the volumes that containers mount, stopped ones included.
async fn in_use(docker: &Docker) -> Result<HashSet<String>, Error> {
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let listed = docker.list_containers(Some(options)).await?;
    Ok(listed.into_iter().flat_map(|row| row.mounts.unwrap_or_default()).filter_map(|mount| mount.name).collect())
}

async fn remove(docker: &Docker, name: &str) -> Result<(), Error> {
    docker.remove_volume(name, None::<RemoveVolumeOptions>).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str, created_unix_ms: u64) -> Volume {
        Volume {
            name: name.into(),
            driver: "local".into(),
            created_unix_ms,
            anonymous: false,
            compose_project: None,
            labels: vec![],
            binned: None,
        }
    }

    #[test]
    fn a_mark_hides_itself_and_tells_of_the_volume_it_was_made_for() {
        let at_ms = 1_763_720_000_000;
        let mark = volume("cubby-bin.1763720000.shop.data", at_ms);
        let read_with = |created| read(vec![mark.clone(), volume("shop.data", created), volume("cubby-bin", 1)]);
        let rows = read_with(at_ms - 60_000);
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["shop.data", "cubby-bin"]);
        assert_eq!(rows[0].binned.map(|kept| kept.at_unix_ms), Some(at_ms));
        assert_eq!(rows[1].binned, None);
        assert_eq!(read_with(at_ms + 60_000)[0].binned, None, "made again after the other one was gone");
    }
}
