//! The layer view.
//!
//! ```text
//! GET /cubby/images/{name}/layers[?counts=1]                         every step, oldest first
//! GET /cubby/images/{name}/layers/{index}/files[?after=PATH&limit=N] what a step changed, one object a line
//! ```

use std::{ops::ControlFlow, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use cubby_engine::{Engine, images::ChangesOptions};
use cubby_image::layer::{Change, ChangeKind};
use serde_json::{Value, json};

use super::lines;
use crate::{
    error::{ApiError, page_not_found},
    extract::Query,
    images::stream::blocking,
};

pub async fn get(
    State(engine): State<Arc<Engine>>,
    Path(rest): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    if let Some(name) = rest.strip_suffix("/layers").map(str::to_owned) {
        let counts = query.flag("counts");
        return Ok(Json(blocking(move || engine.images.layer_view(&name, counts)).await?).into_response());
    }
    let step = rest.strip_suffix("/files").and_then(|rest| rest.rsplit_once("/layers/"));
    let Some((name, index)) = step.and_then(|(name, index)| Some((name.to_owned(), index.parse().ok()?))) else {
        return Err(page_not_found().await);
    };
    files(engine, name, index, &query).await
}

async fn files(engine: Arc<Engine>, name: String, index: usize, query: &Query) -> Result<Response, ApiError> {
    let limit = query.integer("limit")?.map(|limit| usize::try_from(limit).unwrap_or(0));
    let options = ChangesOptions { after: query.text("after").map(str::to_owned), limit };
    // Why asked first: an unknown image or step has a status of its own.
    let (images, asked, nothing) =
        (engine.images.clone(), name.clone(), ChangesOptions { limit: Some(0), after: None });
    blocking(move || images.layer_changes(&asked, index, &nothing, &mut |_| ControlFlow::Break(()))).await?;
    Ok(lines(move |lines| {
        engine.images.layer_changes(&name, index, &options, &mut |change| match lines.say(&shown(&change)) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })
    }))
}

fn shown(change: &Change) -> Value {
    let kind = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Removed => "removed",
    };
    // Source: `S_IFMT`, inode(7).
    let file = match change.mode & 0o170_000 {
        0o040_000 => "directory",
        0o100_000 => "file",
        0o120_000 => "symlink",
        0 => "gone",
        _ => "special",
    };
    json!({
        "path": String::from_utf8_lossy(&change.path),
        "kind": kind,
        "file": file,
        "size": change.size,
        "mode": change.mode & 0o7777,
    })
}
