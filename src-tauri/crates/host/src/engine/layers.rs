//! An image's layers: the steps of its history. Cubby's own engine tells the files of each as well; of others they are not known.

use bollard::Docker;
use bollard::errors::Error;
use serde::Deserialize;

use super::endpoint::Endpoint;
use crate::schema::{ImageLayer, LayerFile};

/// Files shown of one layer, in the order of their paths.
const FILES: usize = 300;

/// Oldest first.
pub async fn of(docker: &Docker, endpoint: &Endpoint, id: &str) -> Result<Vec<ImageLayer>, Error> {
    match with_files(endpoint, id).await {
        Some(layers) => Ok(layers),
        None => history(docker, id).await,
    }
}

#[derive(Deserialize)]
struct Step {
    index: usize,
    command: String,
    #[serde(default)]
    comment: String,
    created: i64,
    layer: Option<Facts>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    diff_id: String,
    size: u64,
    files: Option<Counts>,
}

#[derive(Deserialize)]
struct Counts {
    added: u64,
    changed: u64,
    removed: u64,
}

#[derive(Deserialize)]
struct Change {
    path: String,
    kind: String,
    file: String,
    #[serde(default)]
    size: u64,
}

/// `None`: not an engine of ours, or one that could not tell.
async fn with_files(endpoint: &Endpoint, id: &str) -> Option<Vec<ImageLayer>> {
    let page = format!("/cubby/images/{id}/layers");
    let steps: Vec<Step> = serde_json::from_str(&get(endpoint, &format!("{page}?counts=1")).await?).ok()?;
    let mut layers = Vec::with_capacity(steps.len());
    for step in steps {
        let counts = step.layer.as_ref().and_then(|layer| layer.files.as_ref());
        let files_total = counts.map_or(0, |counts| counts.added + counts.changed + counts.removed);
        let files = match files_total {
            0 => Vec::new(),
            _ => files(endpoint, &format!("{page}/{}/files?limit={FILES}", step.index)).await.unwrap_or_default(),
        };
        layers.push(ImageLayer {
            command: command(&step.command),
            size_bytes: step.layer.as_ref().map_or(0, |layer| layer.size),
            id: step.layer.map(|layer| layer.diff_id),
            created_unix_ms: u64::try_from(step.created).unwrap_or_default() * 1000,
            comment: step.comment,
            files,
            files_total,
        });
    }
    Some(layers)
}

async fn files(endpoint: &Endpoint, page: &str) -> Option<Vec<LayerFile>> {
    let text = get(endpoint, page).await?;
    let changes = text.lines().filter_map(|line| serde_json::from_str::<Change>(line).ok());
    let files = changes.filter(|change| change.file != "directory").map(|change| LayerFile {
        removed: change.kind == "removed",
        path: change.path,
        size_bytes: change.size,
    });
    Some(files.collect())
}

async fn get(endpoint: &Endpoint, page: &str) -> Option<String> {
    let (status, body) = endpoint.request("GET", page, String::new()).await.ok()?;
    (status == 200).then_some(body)
}

async fn history(docker: &Docker, id: &str) -> Result<Vec<ImageLayer>, Error> {
    let mut steps = docker.image_history(id).await?;
    steps.reverse();
    let layer = |step: bollard::models::HistoryResponseItem| ImageLayer {
        id: None,
        command: command(&step.created_by),
        size_bytes: u64::try_from(step.size).unwrap_or_default(),
        created_unix_ms: u64::try_from(step.created).unwrap_or_default() * 1000,
        comment: step.comment,
        files: Vec::new(),
        files_total: 0,
    };
    Ok(steps.into_iter().map(layer).collect())
}

/// As somebody would have written it in a Dockerfile.
fn command(created_by: &str) -> String {
    let plain = created_by.strip_prefix("/bin/sh -c ").unwrap_or(created_by);
    match plain.strip_prefix("#(nop) ") {
        Some(instruction) => instruction.trim().to_owned(),
        None if plain.len() != created_by.len() => format!("RUN {}", plain.trim()),
        None => plain.trim_end_matches("# buildkit").trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn builder_s_wrappings_come_off() {
        let command = super::command;
        assert_eq!(command("/bin/sh -c #(nop)  CMD [\"sh\"]"), "CMD [\"sh\"]");
        assert_eq!(command("/bin/sh -c apt-get update"), "RUN apt-get update");
        assert_eq!(command("RUN /bin/sh -c make # buildkit"), "RUN /bin/sh -c make");
    }
}
