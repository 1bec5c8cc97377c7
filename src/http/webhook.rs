//! `/mutate`: the webhook. It answers everybody, or whoever a CA for clients vouches for.

use std::sync::Once;
use std::time::Instant;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use super::{Context, body, connection, rest};
use crate::admission::{self, Input};

/// Answers a review from memory: no call, and no lock across an await.
pub(super) async fn answer<B>(context: &Context, request: http::Request<B>) -> Response
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    if context.client_certificate && !connection(&request).vouched_for {
        return refuse(context);
    }
    let body = match context.bodies.read(request, body::MOST).await {
        Ok(body) => body,
        Err(missing) => return rest::Failure::from(missing).into_response(),
    };
    let begun = Instant::now();
    let snapshot = context.view.load();
    let input = Input { namespace: &context.namespace, snapshot: &snapshot };
    match admission::review(&body, input) {
        Ok(answer) => {
            let injected = !answer.decision.patch().is_empty();
            context.metrics.admission(injected, answer.decision.label());
            context.metrics.admission_took(begun.elapsed());
            json(answer.body)
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refuse(context: &Context) -> Response {
    static TOLD: Once = Once::new();
    context.metrics.admission(false, "no_client_certificate");
    TOLD.call_once(|| {
        tracing::warn!(
            "a review came without a certificate of the CA for clients; if it was the API server's, \
             its admission configuration names none for this webhook, and pods start without their peers"
        );
    });
    rest::Failure::new(StatusCode::FORBIDDEN, "this path needs a client certificate").into_response()
}
