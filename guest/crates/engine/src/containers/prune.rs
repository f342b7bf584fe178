//! Prune: every stopped container that fits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{Containers, remove::RemoveOptions};
use crate::{
    error::{Error, Result},
    events::Event,
    filters::Filters,
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
    let parsed = duration(text).and_then(|ago| SystemTime::now().checked_sub(ago)).or_else(absolute);
    parsed.map(Some).ok_or_else(|| {
        Error::invalid(format!("invalid filter 'until={text}': failed to parse value as time or duration"))
    })
}

/// Go's durations: `1h30m`, `10s`, `1.5h`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = tail;
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        for bad in ["", "5", "x", "5y", "h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn until_is_checked() {
        let filters = |text: &str| Filters::parse(&format!(r#"{{"until":["{text}"]}}"#)).unwrap();
        assert!(until(&filters("24h")).unwrap().unwrap() < SystemTime::now());
        assert_eq!(until(&filters("100")).unwrap(), Some(UNIX_EPOCH + Duration::from_secs(100)));
        assert!(until(&filters("soon")).is_err());
    }
}
