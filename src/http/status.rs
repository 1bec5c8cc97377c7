//! How all nodes stand, at once and live, for those who look by way of the pod's own loopback: an operator's
//! `kubectl port-forward`, which the cluster's rules guard. Everybody else reaches the plain port without
//! credentials, and gets none of this.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::{Stream, stream};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::rest::Failure;
use super::{Context, connection};
use crate::election::Leadership;
use crate::plan::NodeState;

/// How many may follow the changes at once: each costs the making of the whole status for every change.
const MOST_FOLLOWERS: usize = 16;

/// How soon after one change the next is told.
const PAUSE: Duration = Duration::from_secs(1);

/// What tells of changes to those who follow them.
#[derive(Clone)]
pub struct Live {
    replica: Arc<str>,
    leadership: watch::Receiver<Leadership>,
    changed: watch::Receiver<()>,
    places: Arc<Semaphore>,
}

impl Live {
    /// Of the replica of this name. `changed` is told whenever the view has changed.
    pub fn new(replica: &str, leadership: watch::Receiver<Leadership>, changed: watch::Receiver<()>) -> Self {
        Self {
            replica: replica.into(),
            leadership,
            changed,
            places: Arc::new(Semaphore::new(MOST_FOLLOWERS)),
        }
    }

    /// Whether this replica leads now.
    pub(super) fn leads(&self) -> bool {
        self.leadership.borrow().is_ours()
    }
}

/// The routes, for the pod's loopback only.
pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/status", get(status))
        .route("/status/events", get(events))
        .route_layer(middleware::from_fn(check_loopback))
}

/// How all nodes stand. What is inside of the nodes only the leader has seen.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Status<'a> {
    namespace: &'a str,
    /// The replica that says so.
    answered_by: &'a str,
    /// The replica that leads, if any does.
    leader: Option<&'a str>,
    nodes: Vec<&'a NodeState>,
}

/// Gives `f` the status of this moment.
fn with_status<T>(context: &Context, f: impl FnOnce(Status<'_>) -> T) -> T {
    let snapshot = context.view.load();
    let meshes: Vec<_> = snapshot.meshes().collect();
    let leadership = context.live.leadership.borrow().clone();
    f(Status {
        namespace: &context.namespace,
        answered_by: &context.live.replica,
        leader: leadership.holder.as_deref(),
        nodes: snapshot.in_order(&meshes),
    })
}

async fn status(State(context): State<Arc<Context>>) -> Response {
    with_status(&context, |status| Json(status).into_response())
}

async fn events(State(context): State<Arc<Context>>) -> Result<Response, Failure> {
    let Ok(place) = Arc::clone(&context.live.places).try_acquire_owned() else {
        let error = format!("{MOST_FOLLOWERS} follow the changes already: ask again, or GET /status");
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, error));
    };
    Ok(Sse::new(changes(Context::clone(&context), place)).keep_alive(KeepAlive::default()).into_response())
}

/// The status, and again whenever it has changed.
fn changes(context: Context, place: OwnedSemaphorePermit) -> impl Stream<Item = Result<Event, Infallible>> {
    let follower = Follower { context, told: String::new(), next: Instant::now(), _place: place };
    stream::unfold(follower, |mut follower| async {
        let text = follower.change().await?;
        Some((Ok(Event::default().event("status").data(text)), follower))
    })
}

struct Follower {
    context: Context,
    told: String,
    /// When the next change may be told.
    next: Instant,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next status that is not what was told last; `None` once everything stops.
    async fn change(&mut self) -> Option<String> {
        let shutdown = self.context.shutdown.clone();
        let text = tokio::select! {
            text = self.differs() => text,
            () = shutdown.stopped() => return None,
        };
        self.next = Instant::now() + PAUSE;
        self.told.clone_from(&text);
        Some(text)
    }

    async fn differs(&mut self) -> String {
        loop {
            sleep_until(self.next).await;
            let live = &mut self.context.live;
            live.changed.mark_unchanged();
            live.leadership.mark_unchanged();
            let text = with_status(&self.context, |status| {
                serde_json::to_string(&status).expect("a status has no map with other keys than strings")
            });
            if text != self.told {
                return text;
            }
            let live = &mut self.context.live;
            tokio::select! {
                Ok(()) = live.changed.changed() => {}
                Ok(()) = live.leadership.changed() => {}
                else => std::future::pending().await,
            }
        }
    }
}

/// Lets those pass who come from within the pod, and by a name of the loopback: another site's page in an
/// operator's browser might have its own name point there.
pub(super) async fn check_loopback(request: Request, next: Next) -> Response {
    let from = connection(&request).from;
    if from.is_loopback() && is_for_loopback(request.headers()) {
        return next.run(request).await;
    }
    let how = "kubectl port-forward -n <namespace> <pod of Torch> 8080, and then http://localhost:8080";
    Failure::new(StatusCode::FORBIDDEN, format!("this is shown within Torch's pod only: {how}"))
        .into_response()
}

fn is_for_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| matches!(host.host(), "localhost" | "127.0.0.1" | "[::1]"))
}
