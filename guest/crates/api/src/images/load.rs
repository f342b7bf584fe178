//! `POST /images/load`: an archive in, messages out. Source: API 1.50 `ImageLoad`.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use cubby_engine::{Engine, images::LoadOptions};

use super::{platform, stream};
use crate::{error::ApiError, extract::Query, version::ApiVersion};

pub async fn load(
    State(engine): State<Arc<Engine>>,
    version: ApiVersion,
    query: Query,
    body: Body,
) -> Result<Response, ApiError> {
    let options = LoadOptions { quiet: query.flag_or("quiet", true), platform: platform::the_only(&query, version)? };
    let archive = stream::body_reader(body);
    Ok(stream::messages(move |messages| engine.images.load(archive, &options, &|message| messages.say(&message))))
}
