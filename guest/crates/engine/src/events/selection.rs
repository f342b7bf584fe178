//! Which events a client asked for: a window of time and filters. Source: moby daemon/events/filter.go.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Event;
use crate::{
    error::{Error, Result},
    filters::Filters,
};

/// Filters that name an object, by the beginning of its id or of its name; unknown ones are ignored, as dockerd does.
const OBJECTS: [&str; 9] =
    ["config", "container", "daemon", "network", "node", "plugin", "secret", "service", "volume"];
/// Actions with detail after a colon, which a filter may leave out.
const DETAILED: [&str; 3] = ["health_status", "exec_create", "exec_start"];

/// See the module's documentation.
#[derive(Debug)]
pub struct Selection {
    since_nanos: Option<i64>,
    until_nanos: Option<i64>,
    filters: Filters,
}

impl Selection {
    /// `since` and `until` are Unix seconds with an optional fraction; empty means unbounded.
    pub fn parse(since: &str, until: &str, filters: Filters) -> Result<Self> {
        let (since_nanos, until_nanos) = (nanos(since)?, nanos(until)?);
        if let (Some(from), Some(to)) = (since_nanos, until_nanos)
            && to < from
        {
            return Err(Error::invalid(format!("`since` time ({since}) cannot be after `until` time ({until})")));
        }
        Ok(Self { since_nanos, until_nanos, filters })
    }

    /// Whether an event of the history belongs to the answer. Without `since` and `until` none does.
    pub fn replays(&self, event: &Event) -> bool {
        let asked = self.since_nanos.is_some() || self.until_nanos.is_some();
        asked
            && self.since_nanos.is_none_or(|since| event.time_nano >= since)
            && self.until_nanos.is_none_or(|until| event.time_nano <= until)
            && self.matches(event)
    }

    /// How long the stream still runs: zero when `until` has passed, none when it never ends.
    pub fn until_from_now(&self) -> Option<Duration> {
        let until = self.until_nanos?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
        Some(Duration::from_nanos(u64::try_from(until.saturating_sub(now)).unwrap_or(0)))
    }

    /// Whether the filters let the event through.
    pub fn matches(&self, event: &Event) -> bool {
        let filters = &self.filters;
        self.action(&event.action)
            && filters.exact("type", event.kind)
            && filters.exact("scope", event.scope)
            && filters.labels(&event.actor.attributes)
            && OBJECTS.iter().all(|kind| self.object(kind, event))
            && self.image(event)
    }

    fn action(&self, action: &str) -> bool {
        if self.filters.values("event").any(|wanted| DETAILED.contains(&wanted)) {
            return self.filters.any("event", |wanted| action.starts_with(wanted));
        }
        self.filters.exact("event", action)
    }

    /// Why the event's own kind does not count: dockerd finds the events of other objects that have the name, too.
    fn object(&self, kind: &str, event: &Event) -> bool {
        let name = event.actor.attributes.get("name").map_or("", String::as_str);
        self.asks_nothing_of(kind)
            || self.filters.any(kind, |wanted| event.actor.id.starts_with(wanted) || name.starts_with(wanted))
    }

    /// Not named, or without a value.
    fn asks_nothing_of(&self, name: &str) -> bool {
        self.filters.values(name).next().is_none()
    }

    /// The image itself, or containers made from it.
    fn image(&self, event: &Event) -> bool {
        if self.asks_nothing_of("image") {
            return true;
        }
        let attribute = if event.kind == "image" { "name" } else { "image" };
        let name = event.actor.attributes.get(attribute);
        self.filters.any("image", |wanted| {
            (event.kind == "image" && event.actor.id == wanted)
                || name.is_some_and(|name| name == wanted || strip_tag(name) == wanted)
        })
    }
}

fn strip_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// Unix seconds with an optional fraction of up to nine digits, in nanoseconds.
fn nanos(text: &str) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = || Error::invalid(format!("failed to parse value as time or duration: {text:?}"));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = seconds.parse().map_err(|_| invalid())?;
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    let fraction: i64 = format!("{fraction:0<9}").parse().map_err(|_| invalid())?;
    // Why saturating: "until the year 9999" is fine to ask for.
    Ok(Some(seconds.saturating_mul(1_000_000_000).saturating_add(fraction)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn selection(filters: &str) -> Selection {
        Selection::parse("", "", Filters::parse(filters).unwrap()).unwrap()
    }

    fn start() -> Event {
        let attributes = HashMap::from([("name", "web"), ("image", "nginx:1"), ("a", "b")]);
        let attributes = attributes.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Event::now("container", "start", "0123456789ab", attributes)
    }

    #[test]
    fn filters_select_by_object_kind_and_label() {
        for wanted in [
            r#"{"container":["web"]}"#,
            r#"{"container":["0123"]}"#,
            r#"{"type":["container"],"event":["start"]}"#,
            r#"{"label":["a=b"]}"#,
            r#"{"container":[],"image":[],"event":[],"type":[],"volume":[]}"#,
            r#"{"image":["nginx"]}"#,
            r#"{"image":["nginx:1"]}"#,
        ] {
            assert!(selection(wanted).matches(&start()), "{wanted}");
        }
        let mut exec = start();
        exec.action = "exec_start: ls".into();
        assert!(selection(r#"{"event":["exec_start"]}"#).matches(&exec));
        assert!(!selection(r#"{"event":["exec"]}"#).matches(&exec));
        for other in
            [r#"{"container":["db"]}"#, r#"{"volume":["data"]}"#, r#"{"event":["die"]}"#, r#"{"label":["a=c"]}"#]
        {
            assert!(!selection(other).matches(&start()), "{other}");
        }
    }

    #[test]
    fn times_are_seconds_with_a_fraction() {
        assert_eq!(nanos("12.5").unwrap(), Some(12_500_000_000));
        assert_eq!(nanos("1136073845.000000001").unwrap(), Some(1_136_073_845_000_000_001));
        assert_eq!(nanos("9999999999999999").unwrap(), Some(i64::MAX));
        assert!(nanos("yesterday").is_err() && nanos("1.").is_err());
        assert!(Selection::parse("2", "1", Filters::default()).is_err());
    }

    #[test]
    fn nothing_is_replayed_unless_asked_for() {
        assert!(!selection("").replays(&start()));
        let since = Selection::parse("1", "", Filters::default()).unwrap();
        assert!(since.replays(&start()));
    }
}
