//! Images: their names are taken away, and one of ours keeps each of them.
//!
//! ```text
//!  localhost:5000/shop/web:2 ──put──▶ cubby-bin/<when>/x/<host in hex>/shop/web:2 ──take out──▶ localhost:5000/shop/web:2
//!  nginx:1                   ──put──▶ cubby-bin/<when>/p/nginx:1                  ──take out──▶ nginx:1
//!  (no name)                 ──put──▶ cubby-bin/<when>/n/<short id>:latest        ──take out──▶ restored/<short id>:latest
//! ```
//!
//! An image without any name cannot be kept but by a name, nor get back to having none: the last name takes the image along.

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ImageSummary;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder};

use super::{Budget, forgiven, kept, now_unix_s};
use crate::engine::errors::app_error;
use crate::engine::reference;
use crate::schema::{AppError, Kept};

const PREFIX: &str = "cubby-bin/";
/// What images in the bin have for themselves, together; the oldest go first.
const BUDGET_BYTES: u64 = 8 << 30;
/// An image on its way into the bin has both kinds of names; after this it has not.
const SETTLED_S: u64 = 600;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    at_unix_s: u64,
    /// As it was called: repository and tag.
    name: Name,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Named { repository: String, tag: String },
    None { short_id: String },
}

impl Mark {
    /// Repository and tag. Only a host has what the path of a name may not hold: a port, large letters, brackets.
    fn write(&self) -> (String, String) {
        let at = self.at_unix_s;
        match &self.name {
            Name::None { short_id } => (format!("{PREFIX}{at}/n/{short_id}"), "latest".to_owned()),
            Name::Named { repository, tag } => {
                let sane = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
                let place = match repository.split_once('/').filter(|(host, _)| !host.bytes().all(sane)) {
                    Some((host, rest)) => format!("x/{}/{rest}", hex::encode(host)),
                    None => format!("p/{repository}"),
                };
                (format!("{PREFIX}{at}/{place}"), tag.clone())
            }
        }
    }

    fn read(reference: &str) -> Option<Self> {
        let (at, rest) = reference.strip_prefix(PREFIX)?.split_once('/')?;
        let (kind, rest) = rest.split_once('/')?;
        let (repository, tag) = rest.rsplit_once(':')?;
        let name = match kind {
            "n" => Name::None { short_id: repository.to_owned() },
            "p" => Name::Named { repository: repository.to_owned(), tag: tag.to_owned() },
            "x" => {
                let (host, rest) = repository.split_once('/')?;
                let host = String::from_utf8(hex::decode(host).ok()?).ok()?;
                Name::Named { repository: format!("{host}/{rest}"), tag: tag.to_owned() }
            }
            _ => return None,
        };
        Some(Self { at_unix_s: at.parse().ok()?, name })
    }
}

impl Name {
    fn text(&self) -> Option<String> {
        match self {
            Self::Named { repository, tag } => Some(format!("{repository}:{tag}")),
            Self::None { .. } => None,
        }
    }
}

/// An image's own names, and whether it is in the bin: one that has a name besides ours is not.
pub fn read(names: Vec<String>) -> (Vec<String>, Option<Kept>) {
    let marks: Vec<Mark> = names.iter().filter_map(|name| Mark::read(name)).collect();
    let own: Vec<String> = names.into_iter().filter(|name| !name.starts_with(PREFIX)).collect();
    match marks.first() {
        Some(mark) if own.is_empty() => {
            (marks.iter().filter_map(|mark| mark.name.text()).collect(), kept(mark.at_unix_s))
        }
        _ => (own, None),
    }
}

/// Puts an image into the bin, whatever its names.
pub async fn put(docker: &Docker, id: &str) -> Result<(), AppError> {
    let failed = |err| app_error("It could not be removed", err);
    let found = docker.inspect_image(id).await.map_err(failed)?;
    let names = found.repo_tags.unwrap_or_default();
    let own: Vec<&String> = names.iter().filter(|name| !name.starts_with(PREFIX)).collect();
    if own.is_empty() && !names.is_empty() {
        return Ok(());
    }
    let at_unix_s = now_unix_s();
    let mark = |name| Mark { at_unix_s, name };
    if own.is_empty() {
        let short_id = id.trim_start_matches("sha256:").chars().take(12).collect();
        tag(docker, id, mark(Name::None { short_id }).write()).await.map_err(failed)?;
    }
    for name in &own {
        let (repository, label) = reference::split(name);
        let name = Name::Named { repository: repository.to_owned(), tag: label.to_owned() };
        tag(docker, id, mark(name).write()).await.map_err(failed)?;
    }
    // Only now: its last name would take the image along.
    for name in own {
        untag(docker, name).await.map_err(failed)?;
    }
    Ok(())
}

/// Out of the bin, under its old names; one that another image has meanwhile stays with that one.
pub async fn take_out(docker: &Docker, id: &str) -> Result<(), AppError> {
    let failed = |err| app_error("It could not be taken out of the bin", err);
    let found = docker.inspect_image(id).await.map_err(failed)?;
    let marks: Vec<String> =
        found.repo_tags.unwrap_or_default().into_iter().filter(|name| Mark::read(name).is_some()).collect();
    for name in &marks {
        let Some(mark) = Mark::read(name) else { continue };
        let (repository, label) = match mark.name {
            Name::Named { repository, tag } => (repository, tag),
            Name::None { short_id } => (format!("restored/{short_id}"), "latest".to_owned()),
        };
        let taken = match docker.inspect_image(&format!("{repository}:{label}")).await {
            Ok(other) => other.id.as_deref() != Some(id),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => false,
            Err(err) => return Err(failed(err)),
        };
        let label = if taken { format!("{label}-restored") } else { label };
        tag(docker, id, (repository, label)).await.map_err(failed)?;
    }
    for name in &marks {
        untag(docker, name).await.map_err(failed)?;
    }
    Ok(())
}

/// Removes for good what is too old or too much; all of it when `everything`. An image that got a name meanwhile loses ours.
pub async fn sweep(docker: &Docker, everything: bool) -> Result<(), Error> {
    let options = ListImagesOptionsBuilder::default().shared_size(true).build();
    let listed = docker.list_images(Some(options)).await?;
    let mut binned = Vec::new();
    for image in listed {
        let (marks, others): (Vec<String>, Vec<String>) =
            image.repo_tags.iter().cloned().partition(|name| Mark::read(name).is_some());
        let Some(mark) = marks.first().and_then(|name| Mark::read(name)) else { continue };
        let named = others.iter().any(|name| !name.starts_with("<none>"));
        binned.push((mark.at_unix_s, own_bytes(&image), named, marks));
    }
    binned.sort_by_key(|(at_unix_s, ..)| std::cmp::Reverse(*at_unix_s));
    let mut budget = Budget::of(BUDGET_BYTES, everything);
    for (at_unix_s, bytes, named, marks) in binned {
        // Somebody may be about to take its names away: then ours is the last that keeps it.
        if named && !everything && at_unix_s.saturating_add(SETTLED_S) > now_unix_s() {
            continue;
        }
        if named || !budget.keeps(at_unix_s, bytes) {
            for name in marks {
                forgiven(untag(docker, &name).await)?;
            }
        }
    }
    Ok(())
}

fn own_bytes(image: &ImageSummary) -> u64 {
    // -1: not calculated.
    u64::try_from(image.size - image.shared_size.max(0)).unwrap_or_default()
}

async fn tag(docker: &Docker, id: &str, (repository, tag): (String, String)) -> Result<(), Error> {
    docker.tag_image(id, Some(TagImageOptionsBuilder::default().repo(&repository).tag(&tag).build())).await
}

async fn untag(docker: &Docker, name: &str) -> Result<(), Error> {
    docker.remove_image(name, None::<RemoveImageOptions>, None).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(repository: &str, tag: &str) -> Name {
        Name::Named { repository: repository.into(), tag: tag.into() }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_is_a_name_that_docker_takes() {
        let names = [
            named("nginx", "1"),
            named("docker.io/library/nginx", "1.2-alpine_x"),
            named("localhost:5000/shop/web", "2"),
            named("shop/web__a", "v1"),
            Name::None { short_id: "0123456789ab".into() },
        ];
        for name in names {
            let mark = Mark { at_unix_s: 1_763_720_000, name };
            let (repository, tag) = mark.write();
            let sane = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_.-/".contains(&c);
            assert!(repository.bytes().all(sane), "{repository}");
            assert_eq!(Mark::read(&format!("{repository}:{tag}")), Some(mark));
        }
        for other in ["nginx:1", "cubby-bin/x/p/nginx:1", "cubby-bin/1/q/nginx:1", "cubby-bin/1/x/zz/web:1"] {
            assert_eq!(Mark::read(other), None, "{other}");
        }
    }

    #[test]
    fn an_image_is_in_the_bin_only_while_it_has_no_other_name() {
        let mark = "cubby-bin/1763720000/p/nginx:1".to_owned();
        let (names, kept) = read(vec![mark.clone()]);
        assert_eq!((names, kept.map(|kept| kept.at_unix_ms)), (vec!["nginx:1".to_owned()], Some(1_763_720_000_000)));
        assert_eq!(read(vec![mark, "nginx:2".into()]), (vec!["nginx:2".to_owned()], None));
        assert_eq!(read(vec![]), (vec![], None));
    }
}
