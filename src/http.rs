//! HTTP: the routes on the TLS port and on the plain one.

mod asked;
mod auth;
mod body;
mod fair;
mod forward;
mod metrics;
#[cfg(test)]
mod openapi;
mod page;
mod rest;
mod shared;
mod status;
mod webhook;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{BoxError, Router};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tower::{Service, ServiceExt as _};

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

/// What answers on the TLS port: the webhook, which all pods of the namespace pass, and REST, by its routes.
#[derive(Clone)]
pub struct Site {
    context: Arc<Context>,
    rest: Router,
}

impl Site {
    /// The webhook and REST.
    pub fn new(context: Context) -> Self {
        // Handlers get a copy for each request.
        let context = Arc::new(context);
        let rest = rest::routes(&context.guard)
            .route("/mutate", any(async || ([(header::ALLOW, "POST")], rest::method_not_allowed().await)))
            .fallback(rest::not_found)
            .method_not_allowed_fallback(rest::method_not_allowed)
            .with_state(Arc::clone(&context));
        Self { context, rest }
    }

    async fn answer<B>(self, request: http::Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let Self { context, rest } = self;
        let is_review = request.method() == Method::POST && request.uri().path() == "/mutate";
        let answer = async {
            if is_review {
                webhook::answer(&context, request).await
            } else {
                rest.oneshot(request).await.unwrap_or_else(|never| match never {})
            }
        };
        let mut response = timeout(MOST, answer).await.unwrap_or_else(|_| {
            rest::Failure::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response()
        });
        if context.shutdown.is_draining() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl<B> Service<http::Request<B>> for Site
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.clone().answer(request).map(Ok).boxed()
    }
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

fn connection<B>(request: &http::Request<B>) -> Connection {
    request.extensions().get().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
