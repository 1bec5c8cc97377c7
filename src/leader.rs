//! The leader's work: keeps the world in view, makes the plan again after every change, and carries it
//! out.
//!
//! One task owns everything that changes. Acts run beside it and come back as [`Outcome`]s; readers see
//! a [`Snapshot`] that is exchanged as a whole.

mod acts;
mod asks;
mod delivery;
pub mod discovery;
mod outcomes;
pub mod restart;
mod saving;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::cluster::{self, BookStore, Cluster, ExecError, Listing};
use crate::config::Config;
use crate::peers::{Book, Pod};
use crate::plan::{self, Delivery, Memory, NodeState, Process, Reach, Reason, World};
use crate::telemetry::{Health, Metrics};

use asks::Waiter;
use discovery::{Discovery, Learned};
use restart::{Restarted, Restarter};
use saving::{Save, noted};

/// How long changes are gathered before the plan is made again.
const GATHER: Duration = Duration::from_millis(20);

/// What readers see, all of it of one moment.
#[derive(Default)]
pub struct Snapshot {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The address book.
    pub book: Arc<Book>,
    /// How each configured node stands.
    pub nodes: Vec<NodeState>,
}

/// The snapshot, for any number of readers.
pub type View = Arc<ArcSwap<Snapshot>>;

/// A request to learn what is not known of some pods, now.
pub struct Ask {
    /// The pods.
    pub pods: Vec<String>,
    /// Told once each of them was tried.
    pub done: oneshot::Sender<Result<(), TooMany>>,
}

/// As many probes are under way as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// The parts that the leader works with.
pub struct Parts {
    /// The cluster.
    pub cluster: Cluster,
    /// Where the book is kept.
    pub store: BookStore,
    /// The configuration, as it changes.
    pub config: watch::Receiver<Arc<Config>>,
    /// What evicts.
    pub restarter: Restarter,
    /// What readers see.
    pub view: View,
    /// Requests to learn.
    pub asks: mpsc::Receiver<Ask>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Told when the book and the pods are there.
    pub health: Arc<Health>,
}

/// What came of an act.
enum Outcome {
    Probed(Subject, Result<Learned, String>),
    Looked(Subject, Result<Process, ExecError>),
    Delivered(Subject, String, Result<Delivery, ExecError>),
    Checked(Subject, Reach),
    Evicted(Subject, Reason, Restarted),
    Saved(Book, Result<Book, cluster::Error>),
}

/// The very pod and container that an act was for.
#[derive(Clone)]
struct Subject {
    pod: String,
    uid: String,
    container: String,
}

/// Works until it is dropped.
///
/// # Errors
/// Where the book cannot be loaded.
pub async fn run(parts: Parts) -> Result<(), cluster::Error> {
    let book = parts.store.load().await?;
    parts.health.well("book", format!("{} nodes", book.nodes.len()));
    let Parts { cluster, store, config, restarter, view, asks, metrics, health } = parts;
    let noted = noted(&book);
    let leader = Leader {
        tools: Arc::new(Tools {
            discovery: Discovery::new(cluster.clone()),
            cluster,
            store,
            restarter,
            metrics,
        }),
        health,
        config: Arc::clone(&config.borrow()),
        saved: book.clone(),
        book: Arc::new(book),
        noted,
        pods: Listing::default(),
        services: Listing::default(),
        stored: Listing::default(),
        memory: Memory::default(),
        acts: JoinSet::new(),
        waiters: Vec::new(),
        view,
        save: Save::default(),
    };
    leader.run(config, asks).await;
    Ok(())
}

struct Tools {
    cluster: Cluster,
    store: BookStore,
    discovery: Discovery,
    restarter: Restarter,
    metrics: Arc<Metrics>,
}

struct Leader {
    tools: Arc<Tools>,
    health: Arc<Health>,
    config: Arc<Config>,
    book: Arc<Book>,
    /// The book as it was last saved.
    saved: Book,
    noted: HashSet<String>,
    pods: Listing<Pod>,
    services: Listing<String>,
    /// The book's object, if it is there.
    stored: Listing<()>,
    memory: Memory,
    acts: JoinSet<Outcome>,
    waiters: Vec<Waiter>,
    view: View,
    save: Save,
}

impl Leader {
    async fn run(mut self, mut config: watch::Receiver<Arc<Config>>, mut asks: mpsc::Receiver<Ask>) {
        let mut pods = std::pin::pin!(self.tools.cluster.pods());
        let mut services = std::pin::pin!(self.tools.cluster.services());
        let mut stored = std::pin::pin!(self.tools.cluster.book_object());
        let mut next = Instant::now();
        loop {
            let due = tokio::select! {
                Some(change) = pods.next() => { self.pods.apply(change, |p| &p.name); true }
                Some(change) = services.next() => { self.services.apply(change, |s| s); true }
                Some(change) = stored.next() => { self.stored.apply(change, |()| ""); true }
                Some(done) = self.acts.join_next() => { self.outcome(finished(done)); true }
                Some(ask) = asks.recv() => { self.ask(ask); true }
                Ok(()) = config.changed() => { self.config = Arc::clone(&config.borrow_and_update()); true }
                () = tokio::time::sleep_until(next) => false,
            };
            next = if due { next.min(Instant::now() + GATHER) } else { self.step() };
        }
    }

    /// Plans and begins what is due; says when to plan again.
    fn step(&mut self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        if !(self.pods.is_complete() && self.services.is_complete()) {
            return far;
        }
        self.memory.retain(|uid| self.pods.all().values().any(|p| p.uid == uid));
        self.memory.not_evicted.retain(|uid| self.book.restarts.values().any(|r| r.uid == *uid));
        let services = self.service_names();
        self.tidy(&services);
        let plan = plan::plan(self.world(&services, Timestamp::now()));
        for act in plan.acts {
            self.begin(act);
        }
        self.publish(plan.nodes);
        self.answer_waiters();
        self.health.well("pods", "");
        let saving = self.save_if_due();
        let wake =
            plan.wake.map(|at| at.duration_since(Timestamp::now()).try_into().unwrap_or(Duration::ZERO));
        let wake = wake.map_or(far, |wait| Instant::now() + wait + Duration::from_millis(1));
        [Some(wake), saving].into_iter().flatten().min().unwrap_or(far).min(far)
    }

    fn world<'a>(&'a self, services: &'a BTreeSet<String>, now: Timestamp) -> World<'a> {
        World {
            config: &self.config,
            book: &self.book,
            noted: &self.noted,
            pods: self.pods.all(),
            services,
            memory: &self.memory,
            now,
        }
    }

    fn service_names(&self) -> BTreeSet<String> {
        self.services.all().keys().cloned().collect()
    }

    fn tidy(&mut self, services: &BTreeSet<String>) {
        let mut book = Book::clone(&self.book);
        if plan::tidy(&mut book, self.world(services, Timestamp::now())) {
            self.book = Arc::new(book);
        }
    }

    fn publish(&self, nodes: Vec<NodeState>) {
        let known = nodes.iter().filter(|n| n.address.is_some()).count();
        self.tools.metrics.nodes(known, nodes.len() - known);
        let snapshot = Snapshot { config: Arc::clone(&self.config), book: Arc::clone(&self.book), nodes };
        self.view.store(Arc::new(snapshot));
    }
}

/// An act that panicked would be under way for ever: a new start is better.
fn finished(done: Result<Outcome, JoinError>) -> Outcome {
    done.unwrap_or_else(|crashed| std::panic::resume_unwind(crashed.into_panic()))
}
