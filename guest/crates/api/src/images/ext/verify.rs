//! `GET /cubby/store/verify[?content=1]`: one line for each layer, `problem` lines, `done` at the end.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cubby_engine::{
    Engine,
    images::{Verdict, VerifyOptions},
};

use super::lines;
use crate::extract::Query;

pub async fn verify(State(engine): State<Arc<Engine>>, query: Query) -> Response {
    let options = VerifyOptions { content: query.flag("content") };
    lines(move |lines| {
        let say = |verdict: Verdict| _ = lines.say(&verdict);
        engine.images.verify(options, &say, &|| lines.is_heard())
    })
}
