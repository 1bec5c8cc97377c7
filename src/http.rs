//! HTTP: the routes on the TLS port and on the plain one.

mod auth;
mod body;
mod fair;
mod forward;
mod metrics;
mod page;
mod rest;
mod shared;
mod status;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderValue, StatusCode, header};
use tokio::sync::mpsc;

use crate::admission::{self, Input};
use crate::connection::Connection;
use crate::leader::Ask;
use crate::shutdown::Shutdown;
use crate::telemetry::{Health, Metrics};
use crate::view::View;

pub use auth::{Guard, RestAuth};
pub use body::Bodies;
pub use forward::Forward;
pub use status::Live;

/// How long a request may take, its body included; `/gen` waits for probes within it.
const MOST: Duration = Duration::from_secs(15);

/// What the handlers work with.
#[derive(Clone)]
pub struct Context {
    /// The namespace that is served.
    pub namespace: Arc<str>,
    /// What is known.
    pub view: View,
    /// Where to ask for what is not.
    pub asks: mpsc::Sender<Ask>,
    /// The way to the leader, who knows more.
    pub forward: Forward,
    /// What reads bodies.
    pub bodies: Arc<Bodies>,
    /// What lets requests to REST pass.
    pub guard: Arc<Guard>,
    /// Whether reviews are answered on connections with a client certificate only.
    pub client_certificate: bool,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether all parts are well.
    pub health: Arc<Health>,
    /// Whether the end has begun.
    pub shutdown: Shutdown,
    /// What tells of changes to those who follow them.
    pub live: Live,
}

/// The routes on the TLS port.
pub fn routes(context: Context) -> Router {
    // Handlers get a copy for each request.
    let context = Arc::new(context);
    let mutate = post(mutate);
    let mutate = if context.client_certificate {
        mutate.route_layer(middleware::from_fn_with_state(context.clone(), auth::check_client))
    } else {
        mutate
    };
    Router::new()
        .route("/mutate", mutate)
        .merge(rest::routes(&context.guard))
        .fallback(rest::not_found)
        .method_not_allowed_fallback(rest::method_not_allowed)
        .layer(middleware::from_fn(within))
        .layer(middleware::from_fn_with_state(context.shutdown.clone(), close_while_draining))
        .with_state(context)
}

/// The routes on the plain port.
pub fn plain_routes(context: Context) -> Router {
    let context = Arc::new(context);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::metrics))
        .merge(status::routes())
        .merge(page::routes())
        .with_state(context)
}

/// Answers a review from memory: no call, and no lock across an await.
async fn mutate(State(context): State<Arc<Context>>, request: Request) -> Response {
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
            ([(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

async fn readyz(State(context): State<Arc<Context>>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let (well, report) = context.health.report();
    let ready = well && !context.shutdown.is_draining();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = query.iter().any(|(key, _)| key == "verbose");
    let text = match (ready, verbose) {
        (true, false) => "ok\n".into(),
        (true, true) => format!("{report}readyz check passed\n"),
        (false, _) => format!("{report}readyz check failed\n"),
    };
    (status, text).into_response()
}

fn connection(request: &Request) -> Connection {
    request.extensions().get().copied().unwrap_or_default()
}

async fn within(request: Request, next: Next) -> Response {
    // All connections take turns: one that sends thousands of requests at once would else have those of
    // others wait for many of its own.
    tokio::task::yield_now().await;
    match tokio::time::timeout(MOST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            rest::Failure::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response()
        }
    }
}

async fn close_while_draining(State(shutdown): State<Shutdown>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if shutdown.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests;
