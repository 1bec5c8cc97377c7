//! REST: `/config`, `/list`, `/gen`, `/genAll`.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router, middleware};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::asked::{Asked, Given, find};
use super::body::{Held, Missing};
use super::{Context, Guard, auth};
use crate::leader::Ask;
use crate::peers::Address;
use crate::view::{Mesh, Snapshot};

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// How many names one request may ask for; without a list it asks for all there are.
const MOST_NAMES: usize = 1000;

/// How many faults of one request are told.
const MOST_ERRORS: usize = 10;

/// How long `/gen` waits for the probes of what is not known.
const LEARN: Duration = Duration::from_secs(8);

/// How soon a node may ask again, in seconds, where nothing is known yet.
const ASK_AGAIN: &str = "2";

/// The routes, each behind the guard. (What is no path or method is told to everybody.)
pub(super) fn routes(guard: &Arc<Guard>) -> Router<Arc<Context>> {
    let check = middleware::from_fn_with_state(Arc::clone(guard), auth::check);
    let guarded = |handlers: MethodRouter<Arc<Context>>| handlers.route_layer(check.clone());
    Router::new()
        .route("/config", guarded(get(config)))
        .route("/list", guarded(get(list)))
        .route("/gen", guarded(post(generate)))
        .route("/genAll", guarded(post(generate_all)))
}

/// An answer: `{"status": …, "body": …}`, the HTTP status being the same.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Answer_of_{T}"))]
pub(super) struct Answer<T> {
    /// The HTTP status.
    status: u16,
    /// What was asked for; null where it is not granted.
    body: T,
    /// Of `/gen` and `/genAll`: what the nodes' `TRUSTED_PEERS` should hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_peers: Option<TrustedPeers>,
    /// What went wrong, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

/// The addresses of a node's peers, joined by commas: of one node, or of each that was asked for.
#[derive(Serialize)]
#[serde(untagged)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum TrustedPeers {
    One(String),
    Each(BTreeMap<String, String>),
}

impl<T> Answer<T> {
    fn ok(body: T) -> Self {
        Self { status: 200, body, trusted_peers: None, errors: Vec::new() }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("every status here is one of HTTP's");
        (status, Json(self)).into_response()
    }
}

/// A request that is not granted.
pub(super) struct Failure {
    status: StatusCode,
    errors: Vec<String>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, errors: vec![error.into()] }
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than this path takes")
            }
            Missing::Busy => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too many large bodies at once: ask again")
            }
            Missing::Broken => {
                Self::new(StatusCode::BAD_REQUEST, "the body could not be read to its end in time")
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { status, errors } = self;
        let body = Answer { status: status.as_u16(), body: (), trusted_peers: None, errors };
        let mut response = body.into_response();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(ASK_AGAIN));
        }
        response
    }
}

pub(super) async fn not_found() -> Failure {
    let paths = "POST /mutate, GET /config, GET /list, POST /gen and POST /genAll";
    Failure::new(StatusCode::NOT_FOUND, format!("there is no such path: there are {paths}"))
}

pub(super) async fn method_not_allowed() -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path takes another method: GET /config and /list, POST /gen and /genAll",
    )
}

async fn config(State(context): State<Arc<Context>>) -> Response {
    Answer::ok(&*context.view.load().config).into_response()
}

async fn list(State(context): State<Arc<Context>>, headers: HeaderMap) -> Response {
    let errors = match context.forward.get("/list", &headers).await {
        Some(Ok(answer)) => return answer,
        Some(Err(why)) => vec![format!("{why}; what only it has seen is not shown")],
        None => Vec::new(),
    };
    let snapshot = context.view.load();
    let meshes: Vec<Arc<Mesh>> = snapshot.meshes().collect();
    Answer { errors, ..Answer::ok(snapshot.in_order(&meshes)) }.into_response()
}

/// The body of `/gen`: the name of a pod or of a node. (The text of the original calls the field `nodeName` in one
/// place.)
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = super::openapi::also_node_name))]
pub(super) struct One {
    /// A pod's name, or a `nodeName` of the configuration.
    #[cfg_attr(test, schemars(example = &"da-bridge-1"))]
    #[serde(alias = "nodeName", rename = "podName")]
    pod_name: String,
}

/// The body of `/genAll`; without a list it asks for all.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = super::openapi::also_node_name))]
pub(super) struct Many {
    /// The names of pods, or `nodeName`s of the configuration.
    #[cfg_attr(test, schemars(example = ["da-bridge-1", "da-full-1"]))]
    #[serde(alias = "nodeName", rename = "podName", default)]
    pod_name: Vec<String>,
}

async fn generate(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Failure> {
    let One { pod_name } = parse(&read(&context, request).await?, r#"{"podName": "<a pod or node name>"}"#)?;
    let found = learned(&context, std::slice::from_ref(&pod_name)).await?;
    let addresses: BTreeMap<String, Address> = found.iter().flat_map(Asked::addresses).collect();
    let value = found.iter().flat_map(Asked::given).next().map(|given| given.value()).unwrap_or_default();
    let as_text =
        headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/plain"));
    let missing = if as_text { value.is_empty() } else { addresses.is_empty() };
    if missing {
        return Err(nothing_known(&pod_name));
    }
    if as_text {
        return Ok(format!("{value}\n").into_response());
    }
    Ok(Answer { trusted_peers: Some(TrustedPeers::One(value)), ..Answer::ok(addresses) }.into_response())
}

async fn generate_all(State(context): State<Arc<Context>>, request: Request) -> Result<Response, Failure> {
    let Many { pod_name: asked } =
        parse_or_default(&read(&context, request).await?, r#"{"podName": ["<a pod or node name>", …]}"#)?;
    let names = if asked.is_empty() { all_names(&context.view.load()) } else { distinct(asked)? };
    let found = learned(&context, &names).await?;
    let addresses: BTreeMap<String, Address> = found.iter().flat_map(Asked::addresses).collect();
    if addresses.is_empty() {
        return Err(nothing_known("these nodes"));
    }
    let mut given: Vec<Given> = found.iter().flat_map(Asked::given).collect();
    given.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(each(addresses, given))
}

/// The answer of `/genAll`, made while it is sent: in a group of a thousand the values of all are a hundred megabytes.
fn each(addresses: BTreeMap<String, Address>, given: Vec<Given>) -> Response {
    let empty = Answer { trusted_peers: Some(TrustedPeers::Each(BTreeMap::new())), ..Answer::ok(addresses) };
    let mut whole = text(&empty);
    let end = whole.split_off(whole.len() - "}}".len());
    let entry = |(i, given): (usize, Given)| {
        let comma = if i == 0 { "" } else { "," };
        format!("{comma}{}:{}", text(given.name()), text(&given.value()))
    };
    let parts = std::iter::once(whole).chain(given.into_iter().enumerate().map(entry)).chain([end]);
    let body = Body::from_stream(futures::stream::iter(parts.map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn text(of: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(of).expect("its keys are text")
}

async fn read(context: &Context, request: Request) -> Result<Held, Failure> {
    Ok(context.bodies.read(request, MAX_BODY).await?)
}

/// An object of that form. (An array of its fields' values would be taken by serde, too.)
fn parse<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, Failure> {
    let refuse = |why: String| {
        Failure::new(StatusCode::BAD_REQUEST, format!("the body is not of the form {form}: {why}"))
    };
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(refuse("it is not an object".into()));
    }
    serde_json::from_slice(body).map_err(|e| refuse(e.to_string()))
}

/// Each name once.
fn distinct(names: Vec<String>) -> Result<Vec<String>, Failure> {
    let names: BTreeSet<String> = names.into_iter().collect();
    if names.len() > MOST_NAMES {
        let error =
            format!("more than {MOST_NAMES} names: ask for fewer, or leave the list out to ask for all");
        return Err(Failure::new(StatusCode::BAD_REQUEST, error));
    }
    Ok(names.into_iter().collect())
}

fn parse_or_default<T: DeserializeOwned + Default>(body: &[u8], form: &str) -> Result<T, Failure> {
    if body.trim_ascii().is_empty() { Ok(T::default()) } else { parse(body, form) }
}

fn nothing_known(of: &str) -> Failure {
    let error = format!("no address is known yet for {of}: ask again in {ASK_AGAIN} s");
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, error)
}

fn all_names(snapshot: &Snapshot) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let peers = snapshot.config.groups.iter().flat_map(|g| &g.peers);
    peers.filter(|p| seen.insert(p.node_name.as_str())).map(|p| p.node_name.clone()).collect()
}

/// What these names mean, once the members of their groups that are there and not known were tried.
async fn learned(context: &Context, names: &[String]) -> Result<Vec<Asked>, Failure> {
    let found = find(&context.view.load(), names).map_err(unknown)?;
    let pods: BTreeSet<String> = found.iter().flat_map(Asked::unknown).collect();
    if pods.is_empty() {
        return Ok(found);
    }
    learn(context, pods.into_iter().collect()).await?;
    find(&context.view.load(), names).map_err(unknown)
}

fn unknown(names: Vec<&str>) -> Failure {
    let tell = |name: &str| {
        let name: String = name.chars().take(253).collect();
        format!("the configuration names no node `{name}`: GET /list shows those it does")
    };
    let errors = names.into_iter().take(MOST_ERRORS).map(tell).collect();
    Failure { status: StatusCode::NOT_FOUND, errors }
}

async fn learn(context: &Context, pods: Vec<String>) -> Result<(), Failure> {
    let (done, tried) = oneshot::channel();
    let stopping = |_| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "Torch is stopping");
    context.asks.send(Ask { pods, done }).await.map_err(|_| stopping(()))?;
    match tokio::time::timeout(LEARN, tried).await {
        Ok(Ok(Err(_))) => Err(Failure::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many nodes are being asked at once: ask again",
        )),
        Ok(Err(_)) => Err(stopping(())),
        Ok(Ok(Ok(()))) | Err(_) => Ok(()),
    }
}
