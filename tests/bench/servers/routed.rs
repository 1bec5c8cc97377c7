//! The limit behind axum's routes and extractors.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use hyper::body::Bytes;

use crate::answers::Answers;

/// Answers requests whose path is an answer's name.
pub fn router(answers: Answers) -> Router {
    Router::new().route("/{name}", post(answer)).with_state(answers)
}

async fn answer(
    State(answers): State<Answers>,
    Path(name): Path<String>,
    _body: Bytes,
) -> Result<impl IntoResponse, StatusCode> {
    let answer = answers.get(&name).cloned().ok_or(StatusCode::NOT_FOUND)?;
    Ok(([(CONTENT_TYPE, "application/json")], answer))
}
