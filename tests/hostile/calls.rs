//! Those who call meanwhile: the API server, for pods that are created, and a client of the webhook.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::{interval, timeout};

use crate::bodies;
use crate::node::bare_pod;
use crate::target::Target;

/// How often the webhook is called directly, and pods are created.
const EVERY: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(50)];

/// The time limit of the webhook, past which a call has failed.
const LIMIT: Duration = Duration::from_secs(2);

/// What calls took, and what they failed of.
#[derive(Default)]
pub struct Seen {
    took: Vec<Duration>,
    failed: Vec<String>,
}

/// The middle, and what one in a hundred exceeds.
pub struct Times {
    pub p50: Duration,
    pub p99: Duration,
}

/// Calls of both kinds.
#[derive(Default)]
pub struct Calls {
    pub direct: Seen,
    pub api: Seen,
}

impl Seen {
    pub fn count(&self) -> usize {
        self.took.len()
    }

    pub fn times(&self) -> Times {
        let mut all = self.took.clone();
        all.sort();
        let at = |share: f64| all.get((all.len() as f64 * share) as usize).copied().unwrap_or_default();
        Times { p50: at(0.5), p99: at(0.99) }
    }

    fn take(&mut self, begun: Instant, outcome: Result<(), String>) {
        self.took.push(begun.elapsed());
        self.failed.extend(outcome.err());
    }

    fn add(&mut self, other: Self) {
        self.took.extend(other.took);
        self.failed.extend(other.failed);
    }
}

impl Calls {
    pub fn add(&mut self, other: Self) {
        self.direct.add(other.direct);
        self.api.add(other.api);
    }

    pub fn failed(&self) -> usize {
        self.direct.failed.len() + self.api.failed.len()
    }

    pub fn why(&self) -> Vec<&String> {
        self.direct.failed.iter().chain(&self.api.failed).collect()
    }
}

/// Calls Torch for so long.
pub async fn during(target: &Target, within: Duration) -> Calls {
    let (direct, api) =
        futures::join!(call_directly(target, within), create_pods(target.namespace.clone(), within));
    Calls { direct, api }
}

/// By one connection, as an API server does; by a new one after a failure.
async fn call_directly(target: &Target, within: Duration) -> Seen {
    let (mut seen, mut kept) = (Seen::default(), None);
    let (mut clock, end) = (interval(EVERY[0]), Instant::now() + within);
    while Instant::now() < end {
        clock.tick().await;
        let begun = Instant::now();
        let called = timeout(LIMIT, call(target, kept.take(), &format!("u-{}", seen.count()))).await;
        let outcome = match called.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}"))) {
            Ok(connection) => {
                kept = Some(connection);
                Ok(())
            }
            Err(why) => Err(why),
        };
        seen.take(begun, outcome);
    }
    seen
}

/// A connection, and the task that drives it.
struct Connection(SendRequest<Full<Bytes>>, AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.1.abort();
    }
}

async fn call(target: &Target, kept: Option<Connection>, uid: &str) -> Result<Connection, String> {
    let mut connection = match kept {
        Some(connection) if !connection.0.is_closed() => connection,
        _ => open(target).await?,
    };
    let body = Full::new(Bytes::from(bodies::review(&target.namespace, uid)));
    let request = http::Request::post("/mutate").header("host", "torch").body(body).expect("a request");
    let answer = connection.0.send_request(request).await.map_err(|e| format!("cannot send: {e}"))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|e| format!("cannot read: {e}"))?.to_bytes();
    let review: Value = serde_json::from_slice(&body).map_err(|e| format!("{status}: {e}"))?;
    let is_right = review["response"]["uid"] == uid && review["response"]["patch"].is_string();
    if is_right { Ok(connection) } else { Err(format!("{status}: {review}")) }
}

async fn open(target: &Target) -> Result<Connection, String> {
    let stream = target.connect_tls(None).await.map_err(|e| format!("cannot connect: {e}"))?;
    let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let driver = tokio::spawn(async move { drop(driver.await) });
    Ok(Connection(sender, driver.abort_handle()))
}

/// Pods that are stored nowhere, so that they cost nothing but the calls.
async fn create_pods(namespace: String, within: Duration) -> Seen {
    let client = Client::try_default().await.expect("KUBECONFIG is set");
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let pod: Pod = serde_json::from_value(bare_pod("da-full-1", "exit")).expect("it is a pod");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let (mut seen, mut clock, end) = (Seen::default(), interval(EVERY[1]), Instant::now() + within);
    while Instant::now() < end {
        clock.tick().await;
        let begun = Instant::now();
        let outcome = match pods.create(&dry, &pod).await {
            Ok(created) if has_variable(&created) => Ok(()),
            Ok(_) => Err("a pod was created without the variable".into()),
            Err(error) => Err(error.to_string()),
        };
        seen.take(begun, outcome);
    }
    seen
}

fn has_variable(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.flat_map(|c| c.env.iter().flatten()).any(|v| v.name == "TRUSTED_PEERS")
}
