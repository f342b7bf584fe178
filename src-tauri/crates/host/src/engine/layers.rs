//! An image's layers: the steps of its history, with their files where the engine tells them.

use bollard::Docker;
use bollard::errors::Error;

use crate::schema::ImageLayer;

/// Oldest first.
pub async fn of(docker: &Docker, id: &str) -> Result<Vec<ImageLayer>, Error> {
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
