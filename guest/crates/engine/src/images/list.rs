//! `docker images`, `docker image prune`, disk usage: images by filters.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cubby_image::{Digest, Reference};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Image, Images,
    find::lookup,
    index::Index,
    load::now,
    remove::{RemoveOptions, Removed},
};
use crate::{
    error::{Error, Result},
    events::Event,
    filters::Filters,
};

/// Filters that `docker images` knows.
const LIST_FILTERS: &[&str] = &["dangling", "label", "label!", "before", "since", "reference", "until"];
/// Filters that `docker image prune` knows.
const PRUNE_FILTERS: &[&str] = &["dangling", "label", "label!", "until"];

/// An image in a list: with a `reference` filter only the names that fit.
#[derive(Clone, Debug)]
pub struct Listed {
    pub image: Arc<Image>,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
}

/// What a prune removed.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    pub removed: Vec<Removed>,
    pub reclaimed_bytes: u64,
}

/// How much disk one image's layers take.
#[derive(Clone, Debug)]
pub struct Usage {
    pub image: Arc<Image>,
    /// Of layers that other images have too.
    pub shared_bytes: u64,
    pub containers: usize,
}

impl Images {
    /// Images in sight that fit the filters, newest first. Without `all` those that nobody named and others were made on
    /// are left out: steps of builds.
    pub fn list(&self, filters: &Filters, all: bool) -> Result<Vec<Listed>> {
        filters.allow(LIST_FILTERS)?;
        let index = self.read();
        let selection = Selection::parse(filters, &index)?;
        let shown = index.visible().filter(|image| all || !selection.is_step(image));
        let mut listed: Vec<Listed> = shown.filter_map(|image| selection.list(image)).collect();
        listed.sort_by_key(|listed| (Reverse(created_at(&listed.image)), listed.image.id));
        Ok(listed)
    }

    /// Removes images that no container uses: those without a name, or with `dangling=false` all of them.
    pub fn prune(&self, filters: &Filters) -> Result<Pruned> {
        filters.allow(PRUNE_FILTERS)?;
        let only_dangling = filters.flag("dangling")?.unwrap_or(true);
        let candidates: Vec<Arc<Image>> = {
            let index = self.read();
            let selection = Selection { dangling: only_dangling.then_some(true), ..Selection::parse(filters, &index)? };
            index.visible().filter(|image| selection.fits(image)).cloned().collect()
        };
        let before = self.disk_bytes();
        let mut pruned = Pruned::default();
        for image in candidates {
            if !self.using(&image.id).is_empty() {
                continue;
            }
            let mut names: Vec<String> = image.repo_tags.iter().chain(&image.repo_digests).cloned().collect();
            if names.is_empty() {
                names.push(image.id.hex());
            }
            for name in names {
                match self.remove(&name, RemoveOptions::default()) {
                    Ok(removed) => pruned.removed.extend(removed),
                    // Why: someone may have removed it, or begun to use it, since we looked.
                    Err(error) => tracing::debug!(err = %error, image = name, "not pruned"),
                }
            }
        }
        self.sweep_orphans();
        pruned.reclaimed_bytes = before.saturating_sub(self.disk_bytes());
        let reclaimed = HashMap::from([("reclaimed".to_owned(), pruned.reclaimed_bytes.to_string())]);
        self.events.publish(Event::now("image", "prune", "", reclaimed));
        Ok(pruned)
    }

    /// Bytes of all layers, each counted once.
    pub fn disk_bytes(&self) -> u64 {
        let index = self.read();
        let layers: HashMap<Digest, u64> =
            index.all().flat_map(|image| image.layers.iter()).map(|l| (l.diff_id, l.size_bytes)).collect();
        layers.values().sum()
    }

    /// The ids of the containers that stand on an image.
    pub fn containers_of(&self, image: &Image) -> Vec<String> {
        self.using(&image.id).into_iter().map(|user| user.container_id).collect()
    }

    /// Every image in sight with what it shares with others.
    pub fn usage(&self) -> Vec<Usage> {
        let images: Vec<Arc<Image>> = {
            let index = self.read();
            let parents = index.parents();
            index.visible().filter(|image| !(image.is_dangling() && parents.contains(&image.id))).cloned().collect()
        };
        let mut owners: HashMap<Digest, usize> = HashMap::new();
        for image in &images {
            let mut layers: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
            layers.sort_unstable();
            layers.dedup();
            layers.into_iter().for_each(|layer| *owners.entry(layer).or_default() += 1);
        }
        let usage = images.into_iter().map(|image| {
            let shared = image.layers.iter().filter(|layer| owners.get(&layer.diff_id).is_some_and(|n| *n > 1));
            Usage { shared_bytes: shared.map(|l| l.size_bytes).sum(), containers: self.using(&image.id).len(), image }
        });
        usage.collect()
    }
}

/// Filters, understood.
struct Selection<'a> {
    filters: &'a Filters,
    parents: HashSet<Digest>,
    dangling: Option<bool>,
    /// In nanoseconds: a script makes several images within a second.
    before: Option<i128>,
    since: Option<i128>,
    until: Option<i128>,
}

impl<'a> Selection<'a> {
    fn parse(filters: &'a Filters, index: &Index) -> Result<Self> {
        let created = |name: &str| -> Result<Option<i128>> {
            let times = filters.values(name).map(|image| lookup(index, image).map(|image| created_nanos(&image)));
            times.reduce(|a, b| Ok(a?.max(b?))).transpose()
        };
        Ok(Self {
            filters,
            parents: index.parents(),
            dangling: filters.flag("dangling")?,
            before: created("before")?,
            since: created("since")?,
            until: filters.values("until").map(moment).reduce(|a, b| Ok(a?.min(b?))).transpose()?,
        })
    }

    /// Nobody's, but for the images that were made on it.
    fn is_step(&self, image: &Image) -> bool {
        image.repo_tags.is_empty() && image.repo_digests.is_empty() && self.parents.contains(&image.id)
    }

    fn fits(&self, image: &Image) -> bool {
        let created = created_nanos(image);
        let labels = image.config().labels.clone().unwrap_or_default();
        let dangling = image.is_dangling() && !self.is_step(image);
        self.dangling.is_none_or(|wanted| dangling == wanted)
            && self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
            && self.until.is_none_or(|until| created < until)
            && self.filters.labels(&labels)
    }

    fn list(&self, image: &Arc<Image>) -> Option<Listed> {
        if !self.fits(image) {
            return None;
        }
        let names = |names: &[String]| -> Vec<String> {
            names
                .iter()
                .filter(|name| self.filters.any("reference", |pattern| matches(pattern, name)))
                .cloned()
                .collect()
        };
        let (repo_tags, repo_digests) = (names(&image.repo_tags), names(&image.repo_digests));
        if self.filters.contains("reference") && repo_tags.is_empty() && repo_digests.is_empty() {
            return None;
        }
        Some(Listed { image: image.clone(), repo_tags, repo_digests })
    }
}

fn created_nanos(image: &Image) -> i128 {
    let parsed = image.created().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    parsed.map_or(0, OffsetDateTime::unix_timestamp_nanos)
}

/// [`timestamp`] in nanoseconds.
fn moment(text: &str) -> Result<i128> {
    match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(time) => Ok(time.unix_timestamp_nanos()),
        Err(_) => Ok(i128::from(timestamp(text)?) * 1_000_000_000),
    }
}

/// Seconds since 1970; images without a date are the oldest.
pub fn created_at(image: &Image) -> i64 {
    image.created().map_or(0, unix_seconds)
}

/// An RFC 3339 time in seconds since 1970; 0 for what is none.
pub fn unix_seconds(text: &str) -> i64 {
    OffsetDateTime::parse(text, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp)
}

/// `until`: seconds since 1970, RFC 3339, or an age such as `24h`.
pub fn timestamp(text: &str) -> Result<i64> {
    if let Ok(seconds) = text.split('.').next().unwrap_or_default().parse::<i64>() {
        return Ok(seconds);
    }
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time.unix_timestamp());
    }
    age(text)
        .map(|age| now() - age)
        .ok_or_else(|| Error::invalid(format!("failed to parse value as time or duration: \"{text}\"")))
}

/// Go's durations, to the second: `1h30m`.
fn age(text: &str) -> Option<i64> {
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        total += number
            * match &tail[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return None,
            };
        rest = &tail[unit..];
    }
    (!text.is_empty()).then_some(total as i64)
}

/// A pattern fits the whole familiar name or the name without tag. Source: `reference.FamiliarMatch`.
fn matches(pattern: &str, name: &str) -> bool {
    let repository = Reference::parse(name).map(|name| name.familiar_name()).unwrap_or_default();
    glob(pattern.as_bytes(), name.as_bytes()) || glob(pattern.as_bytes(), repository.as_bytes())
}

/// Go's `path.Match`: `*` and `?` do not cross `/`; `[a-z]`, `[^a-z]`, `\x`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            let end = text.iter().position(|b| *b == b'/').unwrap_or(text.len());
            (0..=end).any(|skipped| glob(rest, &text[skipped..]))
        }
        ([b'?', rest @ ..], [b, tail @ ..]) if *b != b'/' => glob(rest, tail),
        ([b'[', class @ ..], [b, tail @ ..]) => {
            let Some(end) = class.iter().position(|c| *c == b']') else { return false };
            in_class(&class[..end], *b) && *b != b'/' && glob(&class[end + 1..], tail)
        }
        ([b'\\', c, rest @ ..], [b, tail @ ..]) | ([c, rest @ ..], [b, tail @ ..]) if c == b => glob(rest, tail),
        _ => false,
    }
}

fn in_class(class: &[u8], b: u8) -> bool {
    let (negated, class) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut at = 0;
    let mut found = false;
    while at < class.len() {
        if class.get(at + 1) == Some(&b'-') && at + 2 < class.len() {
            found |= (class[at]..=class[at + 2]).contains(&b);
            at += 3;
        } else {
            found |= class[at] == b;
            at += 1;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_go_says() {
        for (pattern, name, fits) in [
            ("busybox", "busybox:1", true),
            ("busy*", "busybox:1", true),
            ("*:1", "busybox:1", true),
            ("*", "a/b:1", false),
            ("*/*", "a/b:1", true),
            ("b[a-z]s?box", "busybox:1", true),
            ("b[^u]sybox", "busybox:1", false),
            ("busybox:2", "busybox:1", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn ages_and_times() {
        assert_eq!(age("1h30m"), Some(5400));
        assert_eq!(age("nonsense"), None);
        assert_eq!(timestamp("2020-01-01T00:00:00Z").unwrap(), 1_577_836_800);
        assert_eq!(timestamp("12.5").unwrap(), 12);
        assert!(timestamp("soon").is_err());
    }
}
