//! The calls: pods created through the API server (by dry run, which calls the webhook all the same), and
//! reviews sent directly by TLS, by clients that trust what nodes trust.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

use crate::node::bare_pod;
use crate::trust::Trust;
use crate::{Extent, kubectl};

/// The node that is created again and again; the configuration gives it a peer.
pub const ASKED: &str = "asked";

/// Creations side by side: more than an API server keeps idle connections, so that it opens new ones, too.
const CREATORS: usize = 32;

/// Clients that send reviews side by side: two for each version of TLS.
const CALLERS: usize = 4;

/// How many reviews a client sends by one connection: every other client keeps it for long.
const BY_ONE: [usize; 2] = [5, 100];

/// What was seen.
#[derive(Default)]
pub struct Seen {
    /// Calls through the API server.
    pub through: usize,
    /// Direct ones.
    pub direct: usize,
    /// TLS handshakes for these.
    pub handshakes: usize,
    /// The certificates shown in them.
    pub leaves: BTreeSet<Vec<u8>>,
    /// Their CAs, by their keys.
    pub cas: BTreeSet<Vec<u8>>,
    /// What calls failed of.
    pub failed: Vec<String>,
    /// Pods that were admitted without the variable.
    pub bare: usize,
}

/// Calls that go on.
pub struct Load {
    shared: Arc<Shared>,
    thread: thread::JoinHandle<()>,
}

struct Shared {
    extent: Extent,
    seen: Mutex<Seen>,
    ended: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while it is held")
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Load {
    pub fn begin(namespace: &str, extent: Extent) -> Self {
        let shared = Arc::new(Shared { extent, seen: Mutex::default(), ended: false.into() });
        let (namespace, of_thread) = (namespace.to_owned(), Arc::clone(&shared));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(call_all(&namespace, &of_thread));
        });
        Self { shared, thread }
    }

    pub fn is_enough(&self) -> bool {
        let (seen, least) = (self.shared.seen(), self.shared.extent);
        let enough = seen.through >= least.through
            && seen.direct >= least.direct
            && seen.leaves.len() >= least.leaves
            && seen.cas.len() >= least.cas;
        enough || !seen.failed.is_empty()
    }

    pub fn so_far(&self) -> String {
        let seen = self.shared.seen();
        format!(
            "{} through, {} direct, {} certificates, {} CAs, failed: {:?}",
            seen.through,
            seen.direct,
            seen.leaves.len(),
            seen.cas.len(),
            seen.failed
        )
    }

    pub fn end(self) -> Seen {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("the calls have not panicked");
        std::mem::take(&mut *self.shared.seen())
    }
}

async fn call_all(namespace: &str, shared: &Arc<Shared>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default().await.expect("KUBECONFIG is set");
    let trust = Trust::begin(client.clone(), namespace).await;
    let mut all = JoinSet::new();
    for _ in 0..CREATORS {
        all.spawn(create(Api::namespaced(client.clone(), namespace), Arc::clone(shared)));
    }
    for n in 0..CALLERS {
        let caller = Caller {
            at: address(namespace),
            name: format!("torch.{namespace}.svc"),
            review: review(namespace),
            version: n / 2,
            by_one: BY_ONE[n % 2],
            trust: trust.clone(),
        };
        all.spawn(caller.call(Arc::clone(shared)));
    }
    all.join_all().await;
}

/// What is late is not made up for: a machine that is busy gets no more to do.
fn every(period: Duration) -> Interval {
    let mut clock = tokio::time::interval(period);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    clock
}

async fn create(pods: Api<Pod>, shared: Arc<Shared>) {
    let pod = serde_json::from_value(bare_pod(ASKED, "exit")).expect("it is a pod");
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let mut clock = every(shared.extent.create_every);
    while !shared.ended() {
        clock.tick().await;
        let created = pods.create(&params, &pod).await;
        let mut seen = shared.seen();
        seen.through += 1;
        match created {
            Ok(pod) if has_variable(&pod) => {}
            Ok(_) => seen.bare += 1,
            Err(error) => seen.failed.push(format!("{}: create: {error}", Timestamp::now())),
        }
    }
}

fn has_variable(pod: &Pod) -> bool {
    let env = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.env.as_ref());
    env.is_some_and(|env| env.iter().any(|variable| variable.name == "TRUSTED_PEERS"))
}

/// The Service's, which this machine reaches.
fn address(namespace: &str) -> String {
    let service = kubectl::get(namespace, "service/torch").expect("it is deployed");
    format!("{}:443", service["spec"]["clusterIP"].as_str().expect("it has an address"))
}

fn review(namespace: &str) -> Bytes {
    let mut pod = bare_pod(ASKED, "exit");
    pod["metadata"]["namespace"] = json!(namespace);
    let review = crate::review::of(pod);
    review.to_string().into()
}

struct Caller {
    at: String,
    name: String,
    review: Bytes,
    version: usize,
    by_one: usize,
    trust: Trust,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Caller {
    async fn call(self, shared: Arc<Shared>) {
        let mut clock = every(shared.extent.call_every);
        while !shared.ended() {
            let mut connection = match self.connect(&shared).await {
                Ok(connection) => connection,
                Err(error) => {
                    shared.seen().failed.push(format!("{}: connect: {error}", Timestamp::now()));
                    continue;
                }
            };
            for _ in 0..self.by_one {
                clock.tick().await;
                let asked = self.ask(&mut connection).await;
                let mut seen = shared.seen();
                seen.direct += 1;
                if let Err(error) = asked {
                    seen.failed.push(format!("{}: call: {error}", Timestamp::now()));
                    break;
                }
            }
        }
    }

    async fn connect(&self, shared: &Shared) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(&self.at).await?;
        let connector = TlsConnector::from(self.trust.client(self.version));
        let stream = connector.connect(ServerName::try_from(self.name.clone())?, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let leaf = shown.ok_or("it shows no certificate")?.to_vec();
        let ca = authority(&leaf).ok_or("the certificate does not name its CA's key")?;
        {
            let mut seen = shared.seen();
            seen.handshakes += 1;
            seen.leaves.insert(leaf);
            seen.cas.insert(ca);
        }
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn ask(&self, connection: &mut SendRequest<Full<Bytes>>) -> Result<(), Failure> {
        let request = Request::post("/mutate")
            .header("host", &self.name)
            .header("content-type", "application/json")
            .body(Full::new(self.review.clone()))?;
        connection.ready().await?;
        let answer = connection.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        let patched = text.contains(r#""allowed":true"#) && text.contains(r#""patch":""#);
        if status == 200 && patched { Ok(()) } else { Err(format!("{status}: {text}").into()) }
    }
}

/// What a certificate says of the key that signed it.
fn authority(leaf: &[u8]) -> Option<Vec<u8>> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    leaf.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => Some(id.key_identifier.as_ref()?.0.to_vec()),
        _ => None,
    })
}
