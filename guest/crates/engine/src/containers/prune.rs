//! Prune: every stopped container that fits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{Containers, remove::RemoveOptions};
use crate::{
    error::{Error, Result},
    events::Event,
    filters::Filters,
    timestamps::go_duration,
};

#[derive(Clone, Debug, Default, Serialize)]
pub struct Pruned {
    #[serde(rename = "ContainersDeleted")]
    pub deleted: Option<Vec<String>>,
    #[serde(rename = "SpaceReclaimed")]
    pub space_bytes: i64,
}

impl Containers {
    /// Filters: `until`, `label`, `label!`.
    pub async fn prune(&self, filters: &Filters) -> Result<Pruned> {
        filters.allow(&["label", "label!", "until"])?;
        let until = until(filters)?;
        let mut pruned = Pruned::default();
        for record in self.records() {
            let labels = record.config.labels().map(|(k, v)| (k.clone(), v.clone())).collect();
            let young = until.is_some_and(|until| record.created > until);
            if record.state.running || young || !filters.labels(&labels) {
                continue;
            }
            let me = self.me();
            let of = record.clone();
            let (bytes, _) = tokio::task::spawn_blocking(move || me.sizes(&of)).await.unwrap_or_default();
            match self.remove(&record.id, RemoveOptions::default()).await {
                Ok(()) => {
                    pruned.space_bytes += bytes;
                    pruned.deleted.get_or_insert_default().push(record.id.clone());
                }
                Err(error) => tracing::warn!(container_id = record.id, err = %error, "container was not pruned"),
            }
        }
        let attributes = [("reclaimed".to_owned(), pruned.space_bytes.to_string())];
        self.parts.events.publish(Event::now("container", "prune", "", attributes.into()));
        Ok(pruned)
    }
}

/// `until=24h`, `until=1700000000`, `until=2026-01-02T03:04:05Z`.
fn until(filters: &Filters) -> Result<Option<SystemTime>> {
    let mut values = filters.values("until");
    let Some(text) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid("more than one until filter specified"));
    }
    let absolute = || {
        if let Ok(seconds) = text.parse::<u64>() {
            return UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        }
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok().map(SystemTime::from)
    };
    let parsed = go_duration(text).and_then(|ago| SystemTime::now().checked_sub(ago)).or_else(absolute);
    parsed.map(Some).ok_or_else(|| Error::invalid(format!("failed to parse value as time or duration: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_is_checked() {
        let filters = |text: &str| Filters::parse(&format!(r#"{{"until":["{text}"]}}"#)).unwrap();
        assert!(until(&filters("24h")).unwrap().unwrap() < SystemTime::now());
        assert_eq!(until(&filters("100")).unwrap(), Some(UNIX_EPOCH + Duration::from_secs(100)));
        assert!(until(&filters("soon")).is_err());
    }
}
