//! Inspect, list, and how much there is.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt, path::Path, sync::Arc};

use bollard_stubs::models::{Volume, VolumeUsageData};

use super::{Volumes, no_such, record::VolumeRecord};
use crate::{error::Result, filters::Filters};

impl Volumes {
    /// # Errors
    /// Not found.
    pub fn inspect(&self, name: &str) -> Result<Volume> {
        let table = self.table();
        let live = table.get(name).filter(|live| !live.doomed).ok_or_else(|| no_such(name))?;
        Ok(self.show(&live.record))
    }

    /// Every volume that the filters (`dangling`, `driver`, `label`, `name`) let through, by name.
    pub fn list(&self, filters: &Filters) -> Result<Vec<Volume>> {
        filters.allow(&["dangling", "driver", "label", "name"])?;
        let dangling = filters.flag("dangling")?;
        let wanted = self.records().into_iter().filter(|record| {
            filters.exact("driver", "local") && filters.matching("name", &record.name) && filters.labels(&record.labels)
        });
        let wanted =
            wanted.filter(|record| dangling.is_none_or(|wanted| self.users_of(&record.name).is_empty() == wanted));
        Ok(wanted.map(|record| self.show(&record)).collect())
    }

    /// Every volume with [`Volume::usage_data`], for `/system/df`; those with options are somewhere else, as a rule.
    pub async fn usage(self: &Arc<Self>) -> Result<Vec<Volume>> {
        self.blocking(|volumes| {
            let records = volumes.records().into_iter().filter(|record| record.options.is_empty());
            Ok(records
                .map(|record| record.describe(volumes.mountpoint(&record.name), Some(volumes.usage_of(&record.name))))
                .collect())
        })
        .await
    }

    pub fn count(&self) -> usize {
        self.table().len()
    }

    pub(super) fn records(&self) -> Vec<VolumeRecord> {
        self.table().values().filter(|live| !live.doomed).map(|live| live.record.clone()).collect()
    }

    pub(super) fn show(&self, record: &VolumeRecord) -> Volume {
        record.describe(self.mountpoint(&record.name), None)
    }

    fn mountpoint(&self, name: &str) -> String {
        self.data(name).display().to_string()
    }

    pub(super) fn usage_of(&self, name: &str) -> VolumeUsageData {
        VolumeUsageData { size: size_bytes(&self.data(name)), ref_count: self.users_of(name).len() as i64 }
    }
}

/// What the files of a tree take, each counted once however many names it has. What cannot be read counts nothing.
fn size_bytes(root: &Path) -> i64 {
    let (mut total, mut seen, mut todo) = (0, HashSet::new(), vec![root.to_owned()]);
    while let Some(dir) = todo.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                todo.push(entry.path());
            } else if metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())) {
                total += metadata.len() as i64;
            }
        }
    }
    total
}
