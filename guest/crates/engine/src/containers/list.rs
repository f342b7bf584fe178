//! List: every container that fits, newest first, in the shape of `GET /containers/json`.
//!
//! Works on immutable records: no lock of any container is taken.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use regex_lite::Regex;
use serde::Serialize;

use super::{
    Containers,
    model::{Endpoint, IpamConfig, MountPoint, Record, State},
    ports,
};
use crate::{
    error::{Error, Result},
    filters::Filters,
    images::Image,
};

#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Stopped ones, too.
    pub all: bool,
    /// The newest so many, stopped ones included; 0 is no limit.
    pub limit: usize,
    /// Sizes on disk, which takes a walk through the files.
    pub size: bool,
    pub filters: Filters,
    /// Annotations in `HostConfig` (API 1.46).
    pub annotations: bool,
}

const FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "id",
    "isolation",
    "label",
    "name",
    "status",
    "health",
    "since",
    "volume",
    "network",
    "is-task",
    "publish",
    "expose",
];

/// One line of the list. Source: moby `container.Summary`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Summary {
    pub id: String,
    pub names: Vec<String>,
    pub image: String,
    #[serde(rename = "ImageID")]
    pub image_id: String,
    pub command: String,
    pub created: i64,
    pub ports: Vec<SummaryPort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    pub labels: BTreeMap<String, String>,
    pub state: &'static str,
    pub status: String,
    pub host_config: SummaryHost,
    pub network_settings: SummaryNetworks,
    pub mounts: Vec<MountPoint>,
}

#[derive(Clone, Debug, Serialize)]
pub struct SummaryPort {
    #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
    pub ip: String,
    #[serde(rename = "PrivatePort")]
    pub private_port: u16,
    #[serde(rename = "PublicPort", skip_serializing_if = "Option::is_none")]
    pub public_port: Option<u16>,
    #[serde(rename = "Type")]
    pub kind: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct SummaryHost {
    #[serde(rename = "NetworkMode")]
    pub network_mode: String,
    #[serde(rename = "Annotations", skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Serialize)]
pub struct SummaryNetworks {
    #[serde(rename = "Networks")]
    pub networks: BTreeMap<String, Endpoint>,
}

impl Containers {
    pub async fn list(&self, options: ListOptions) -> Result<Vec<Summary>> {
        options.filters.allow(FILTERS)?;
        let query = Query::new(self, &options)?;
        let records = self.records();
        let bounded = query.between(&records)?;
        let mut chosen = Vec::new();
        for record in bounded {
            if options.limit > 0 && chosen.len() == options.limit {
                break;
            }
            if query.fits(record) {
                chosen.push(record.clone());
            }
        }
        let now = SystemTime::now();
        let mut list: Vec<Summary> =
            chosen.iter().map(|record| summary(record, self.shown_image(record), now, options.annotations)).collect();
        let mut further = self.link_names();
        for line in &mut list {
            line.names.extend(further.remove(&line.id).unwrap_or_default());
        }
        if options.size {
            let me = self.me();
            let sizes =
                tokio::task::spawn_blocking(move || chosen.iter().map(|record| me.sizes(record)).collect::<Vec<_>>());
            for (line, (rw, root)) in list.iter_mut().zip(sizes.await.unwrap_or_default()) {
                (line.size_rw, line.size_root_fs) = (Some(rw), Some(root));
            }
        }
        Ok(list)
    }

    /// The name as asked for, or the id when the name means something else now.
    fn shown_image(&self, record: &Record) -> String {
        let asked = &record.config.image;
        match self.parts.images.find(asked) {
            Ok(image) if image.id.to_string() == record.image_id => asked.clone(),
            _ if record.image_id.is_empty() => asked.clone(),
            _ => record.image_id.clone(),
        }
    }
}

/// The filters, read once.
struct Query<'a> {
    containers: &'a Containers,
    filters: &'a Filters,
    all: bool,
    /// Only those of a swarm: none.
    tasks: bool,
    names: Vec<Regex>,
    /// Containers that the beginnings of ids stand for, each for one.
    ids: Vec<String>,
    exited: Vec<i32>,
    ancestors: Option<Vec<String>>,
    publish: Vec<(u16, u16, String)>,
    expose: Vec<(u16, u16, String)>,
}

impl<'a> Query<'a> {
    fn new(containers: &'a Containers, options: &'a ListOptions) -> Result<Self> {
        let filters = &options.filters;
        let bad =
            |name: &str, value: &str, why: &str| Err(Error::invalid(format!("invalid filter '{name}={value}': {why}")));
        let mut exited = Vec::new();
        for value in filters.values("exited") {
            match value.parse() {
                Ok(code) => exited.push(code),
                Err(_) => {
                    return bad("exited", value, &format!("strconv.Atoi: parsing {value:?}: invalid syntax"));
                }
            }
        }
        const STATES: &[&str] = &["paused", "restarting", "removing", "running", "dead", "created", "exited"];
        if let Some(value) = filters.values("status").find(|value| !STATES.contains(value)) {
            let why = format!(
                "invalid value for container state ({value}): must be one of created, running, paused, restarting, \
                 removing, exited, dead"
            );
            return bad("status", value, &why);
        }
        const HEALTH: &[&str] = &["none", "starting", "healthy", "unhealthy"];
        if let Some(value) = filters.values("health").find(|value| !HEALTH.contains(value)) {
            let why =
                format!("invalid value for health status ({value}): must be one of none, starting, healthy, unhealthy");
            return bad("health", value, &why);
        }
        let is_task = filters.flag("is-task")?;
        let ancestors = filters.contains("ancestor").then(|| {
            let images = filters.values("ancestor").filter_map(|name| containers.parts.images.find(name).ok());
            images.map(|image| image.id.to_string()).collect()
        });
        Ok(Self {
            containers,
            filters,
            all: options.all || options.limit > 0 || filters.values("status").next().is_some(),
            tasks: is_task == Some(true),
            names: patterns(filters, "name"),
            ids: filters.values("id").filter_map(|id| containers.by_id(id)).collect(),
            exited,
            ancestors,
            publish: port_ranges(filters, "publish")?,
            expose: port_ranges(filters, "expose")?,
        })
    }

    /// The part of the list between `before` and `since`.
    fn between<'r>(&self, records: &'r [Arc<Record>]) -> Result<&'r [Arc<Record>]> {
        let place = |name: &str| -> Result<Option<usize>> {
            match self.filters.values(name).last() {
                None => Ok(None),
                Some(value) => {
                    let id = self.containers.find(value)?.id.clone();
                    Ok(records.iter().position(|record| record.id == id))
                }
            }
        };
        let start = place("before")?.map_or(0, |index| index + 1);
        let end = place("since")?.unwrap_or(records.len());
        Ok(records.get(start..end.max(start)).unwrap_or_default())
    }

    fn fits(&self, record: &Record) -> bool {
        let state = &record.state;
        let matches = |patterns: &[Regex], text: &str| patterns.iter().any(|pattern| pattern.is_match(text));
        let slashed = format!("/{}", record.name);
        let labels = record.config.labels().map(|(k, v)| (k.clone(), v.clone())).collect();
        !self.tasks
            && (state.running || self.all)
            && (self.filters.values("name").next().is_none()
                || matches(&self.names, &record.name)
                || matches(&self.names, &slashed)
                || self.filters.values("name").any(|name| name == record.name || name == slashed))
            && (self.filters.values("id").next().is_none() || self.ids.contains(&record.id))
            && self.filters.labels(&labels)
            && (self.exited.is_empty()
                || (self.exited.contains(&state.exit_code) && !state.running && state.started_at.is_some()))
            && self.filters.exact("status", state.status())
            && self.filters.exact("health", state.health_status())
            && self.filters.any("volume", |wanted| {
                record.mounts.iter().any(|mount| {
                    let point = &mount.point;
                    let name = if point.name.is_empty() { &point.source } else { &point.name };
                    point.destination == wanted || name == wanted
                })
            })
            && self.ancestors.as_ref().is_none_or(|images| self.stands_on(record, images))
            && self.filters.any("network", |wanted| {
                record.networks.iter().any(|(name, endpoint)| {
                    name == wanted || (!wanted.is_empty() && endpoint.network_id.starts_with(wanted))
                })
            })
            && self.ports_fit(record)
    }

    /// True when its image is one of these, or was made from one of them.
    fn stands_on(&self, record: &Record, images: &[String]) -> bool {
        let parent = |image: &Arc<Image>| self.containers.parts.images.retained(&image.parent()?);
        let mut line = std::iter::successors(self.containers.image_of(record), parent);
        !images.is_empty() && line.any(|image| images.contains(&image.id.to_string()))
    }

    fn ports_fit(&self, record: &Record) -> bool {
        if self.publish.is_empty() && self.expose.is_empty() {
            return true;
        }
        let within = |ranges: &[(u16, u16, String)], port: u16, kind: &str| {
            ranges.iter().any(|(first, last, wanted)| (*first..=*last).contains(&port) && wanted == kind)
        };
        summary_ports(record).iter().any(|port| {
            port.public_port.is_some_and(|public| within(&self.publish, public, &port.kind))
                || within(&self.expose, port.private_port, &port.kind)
        })
    }
}

/// Values that are no regular expression match only themselves, elsewhere.
fn patterns(filters: &Filters, name: &str) -> Vec<Regex> {
    filters.values(name).filter_map(|pattern| Regex::new(pattern).ok()).collect()
}

fn port_ranges(filters: &Filters, name: &str) -> Result<Vec<(u16, u16, String)>> {
    let mut ranges = Vec::new();
    for value in filters.values(name) {
        if value.contains(':') {
            return Err(Error::invalid(format!("filter for '{name}' should not contain ':': {value}")));
        }
        let (range, kind) = value.split_once('/').unwrap_or((value, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => ranges.push((first, last, kind.to_owned())),
            _ => {
                return Err(Error::invalid(format!(
                    "error while looking up for {name} {value}: Invalid ranges specified for the Port: {range}"
                )));
            }
        }
    }
    Ok(ranges)
}

fn summary(record: &Record, image: String, now: SystemTime, annotations: bool) -> Summary {
    let networks = record.networks.iter().map(|(name, endpoint)| {
        let ipam_config = endpoint.ipam_config.as_ref().map(|ipam| IpamConfig {
            ipv4_address: ipam.ipv4_address.clone(),
            ipv6_address: ipam.ipv6_address.clone(),
            ..IpamConfig::default()
        });
        let shown = Endpoint {
            ipam_config,
            links: None,
            aliases: None,
            driver_opts: None,
            dns_names: None,
            ..endpoint.clone()
        };
        (name.clone(), shown)
    });
    Summary {
        id: record.id.clone(),
        names: vec![format!("/{}", record.name)],
        image,
        image_id: record.image_id.clone(),
        command: command(record),
        created: unix_seconds(record.created),
        ports: summary_ports(record),
        size_rw: None,
        size_root_fs: None,
        labels: record.config.labels.clone().unwrap_or_default(),
        state: record.state.status(),
        status: status(&record.state, now),
        host_config: SummaryHost {
            network_mode: record.host_config.network_mode.clone(),
            annotations: record.host_config.annotations.clone().filter(|_| annotations),
        },
        network_settings: SummaryNetworks { networks: networks.collect() },
        mounts: record.mounts.iter().map(|mount| mount.point.clone()).collect(),
    }
}

pub(super) fn unix_seconds(at: SystemTime) -> i64 {
    at.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

pub(super) fn command(record: &Record) -> String {
    let quoted = record.args.iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { word.clone() });
    std::iter::once(record.path.clone()).chain(quoted).collect::<Vec<_>>().join(" ")
}

fn summary_ports(record: &Record) -> Vec<SummaryPort> {
    let mut list = Vec::new();
    for (port, bindings) in &record.ports {
        let Some((private_port, kind)) = ports::split(port) else { continue };
        let entry =
            |ip: &str, public_port| SummaryPort { ip: ip.to_owned(), private_port, public_port, kind: kind.to_owned() };
        match bindings.as_deref() {
            None | Some([]) => list.push(entry("", None)),
            Some(bindings) => {
                list.extend(bindings.iter().map(|binding| entry(&binding.host_ip, binding.host_port.parse().ok())));
            }
        }
    }
    list
}

/// `Up 5 minutes (healthy)`, `Exited (0) 2 hours ago`. Source: moby container/state.go `String`.
pub fn status(state: &State, now: SystemTime) -> String {
    let since = |at: Option<SystemTime>| human(at.and_then(|at| now.duration_since(at).ok()).unwrap_or_default());
    if state.running {
        if state.paused {
            return format!("Up {} (Paused)", since(state.started_at));
        }
        if state.restarting {
            return format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at));
        }
        return match state.health_status() {
            "none" => format!("Up {}", since(state.started_at)),
            "starting" => format!("Up {} (health: starting)", since(state.started_at)),
            health => format!("Up {} ({health})", since(state.started_at)),
        };
    }
    match state {
        State { removing: true, .. } => "Removal In Progress".to_owned(),
        State { dead: true, .. } => "Dead".to_owned(),
        State { started_at: None, .. } => "Created".to_owned(),
        State { finished_at: None, .. } => String::new(),
        _ => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_at)),
    }
}

/// Source: go-units `HumanDuration`.
fn human(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (.., 1) => "About an hour".to_owned(),
        (.., ..48) => format!("{hours} hours"),
        (.., ..336) => format!("{} days", hours / 24),
        (.., ..1440) => format!("{} weeks", hours / 24 / 7),
        (.., ..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_in_dockers_words() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (48 * 3600, "2 days"),
            (14 * 86400, "2 weeks"),
            (60 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)), words, "{seconds}");
        }
    }

    #[test]
    fn statuses_are_dockers() {
        let now = SystemTime::now();
        let ago = |seconds| Some(now - Duration::from_secs(seconds));
        let running = State { running: true, started_at: ago(5), ..State::default() };
        assert_eq!(status(&running, now), "Up 5 seconds");
        assert_eq!(status(&State { paused: true, ..running.clone() }, now), "Up 5 seconds (Paused)");
        let exited = State { started_at: ago(9), finished_at: ago(7200), exit_code: 3, ..State::default() };
        assert_eq!(status(&exited, now), "Exited (3) 2 hours ago");
        assert_eq!(status(&State::default(), now), "Created");
    }
}
