//! The stream of creations: real pods that no scheduler takes, so that they cost nothing but the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinSet;

use crate::node::bare_pod;

/// How many pods are created side by side; every other one is of a configured node.
const WIDTH: usize = 8;

/// How often each is created anew.
const EVERY: Duration = Duration::from_millis(150);

/// Pods that are created all the time.
pub struct Stream {
    shared: Arc<Shared>,
    thread: thread::JoinHandle<Seen>,
}

#[derive(Default)]
struct Shared {
    created: AtomicUsize,
    ended: AtomicBool,
}

/// What was seen.
#[derive(Default)]
pub struct Seen {
    /// How many pods of configured nodes were created.
    pub configured: usize,
    /// How many others.
    pub strangers: usize,
    /// How many of the configured did not get the variable.
    pub bare: usize,
    /// How many of the others got it.
    pub strangers_changed: usize,
    /// What calls failed of.
    pub failed: Vec<String>,
    /// The longest that a creation took.
    pub slowest: Duration,
}

impl Seen {
    /// How many pods were created.
    pub fn created(&self) -> usize {
        self.configured + self.strangers
    }

    fn add(&mut self, other: Self) {
        self.configured += other.configured;
        self.strangers += other.strangers;
        self.bare += other.bare;
        self.strangers_changed += other.strangers_changed;
        self.failed.extend(other.failed);
        self.slowest = self.slowest.max(other.slowest);
    }
}

/// The names of the configured nodes.
pub fn configured() -> impl Iterator<Item = String> {
    (0..WIDTH).filter(|&place| is_configured(place)).map(name)
}

fn is_configured(place: usize) -> bool {
    place.is_multiple_of(2)
}

fn name(place: usize) -> String {
    format!("stream-{place}")
}

impl Stream {
    /// Begins; each configured pod must be given `value`.
    pub fn begin(namespace: &str, value: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let (namespace, value, of_thread) = (namespace.to_owned(), value.to_owned(), Arc::clone(&shared));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(create_all(&namespace, &value, &of_thread))
        });
        Self { shared, thread }
    }

    /// How many pods were created until now.
    pub fn created(&self) -> usize {
        self.shared.created.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub fn end(self) -> Seen {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("the stream has not panicked")
    }
}

async fn create_all(namespace: &str, value: &str, shared: &Arc<Shared>) -> Seen {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default().await.expect("KUBECONFIG is set");
    let mut places = JoinSet::new();
    for place in 0..WIDTH {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        places.spawn(create_again_and_again(pods, place, value.to_owned(), Arc::clone(shared)));
    }
    let mut all = Seen::default();
    places.join_all().await.into_iter().for_each(|seen| all.add(seen));
    all
}

async fn create_again_and_again(pods: Api<Pod>, place: usize, value: String, shared: Arc<Shared>) -> Seen {
    let (name, mut seen) = (name(place), Seen::default());
    let mut pod = bare_pod(&name, "exit");
    pod["spec"]["schedulerName"] = json!("nobody");
    let pod = serde_json::from_value(pod).expect("it is a pod");
    let mut clock = tokio::time::interval(EVERY);
    while !shared.ended.load(Ordering::Relaxed) {
        clock.tick().await;
        let begun = Instant::now();
        match pods.create(&PostParams::default(), &pod).await {
            Ok(created) => seen.take(place, &created, &value, begun.elapsed()),
            Err(error) => seen.failed.push(format!("create {name}: {error}")),
        }
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        match pods.delete(&name, &now).await {
            Ok(_) => {}
            // It is gone, which is all that is wanted.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => seen.failed.push(format!("delete {name}: {error}")),
        }
        shared.created.fetch_add(1, Ordering::Relaxed);
    }
    seen
}

impl Seen {
    fn take(&mut self, place: usize, pod: &Pod, value: &str, took: Duration) {
        self.slowest = self.slowest.max(took);
        let found = variable(pod);
        if is_configured(place) {
            self.configured += 1;
            self.bare += usize::from(found != Some(value));
        } else {
            self.strangers += 1;
            self.strangers_changed += usize::from(found.is_some());
        }
    }
}

/// The variable as the pod has it that was stored.
fn variable(pod: &Pod) -> Option<&str> {
    let env = pod.spec.as_ref()?.containers.first()?.env.as_ref()?;
    env.iter().find(|v| v.name == "TRUSTED_PEERS")?.value.as_deref()
}
