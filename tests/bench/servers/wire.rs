//! The limit: what is left of a server without any work. It reads the body and gives the answer.

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};

use crate::answers::Answers;

/// Answers a request whose path is an answer's name.
pub async fn answer(answers: Answers, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let answer = answers.get(&request.uri().path()[1..]).cloned();
    request.into_body().collect().await?;
    let mut response = Response::new(Full::new(answer.clone().unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if answer.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
