//! The leader's work: keeps the world in view, makes the plan again after every change, and carries it
//! out.
//!
//! One task owns everything that changes. Acts run beside it and come back as [`Outcome`]s; readers see
//! a [`Snapshot`] that is exchanged as a whole.

mod delivery;
pub mod discovery;
pub mod restart;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::cluster::{self, BookStore, Cluster, ExecError, Listing};
use crate::config::Config;
use crate::peers::{Book, Known, Pod, Restart};
use crate::plan::{
    self, Act, Attempt, Delivered, Delivery, Look, Memory, NodeState, Pace, Process, Reach, Reason, Trace,
    World,
};
use crate::telemetry::{Health, Metrics};

use discovery::{Discovery, Learned};
use restart::{Restarted, Restarter};

/// How long changes are gathered before the plan is made again.
const GATHER: Duration = Duration::from_millis(20);

/// How long changes of the book are gathered before it is saved, unless a restart waits for it.
const SAVE_AFTER: Duration = Duration::from_millis(250);

/// How many acts may be under way at once.
const MOST_ACTS: usize = 64;

/// How many of them may be probes that a request asked for.
const MOST_ASKED: usize = 32;

/// How often a known address is dialled again.
const CHECK_EVERY: SignedDuration = SignedDuration::from_secs(60);

const PROBE_PACE: Pace =
    Pace { first: SignedDuration::from_millis(400), most: SignedDuration::from_secs(30) };
const EXEC_PACE: Pace = Pace { first: SignedDuration::from_secs(1), most: SignedDuration::from_secs(60) };
const CHECK_PACE: Pace = Pace { first: SignedDuration::from_secs(2), most: CHECK_EVERY };
const EVICT_PACE: Pace = Pace { first: SignedDuration::from_secs(1), most: SignedDuration::from_secs(30) };

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
    memory: Memory,
    acts: JoinSet<Outcome>,
    waiters: Vec<Waiter>,
    view: View,
    save: Save,
}

/// Who waits for the probes of some pods.
struct Waiter {
    pods: HashSet<String>,
    done: Option<oneshot::Sender<Result<(), TooMany>>>,
}

#[derive(Default)]
struct Save {
    busy: bool,
    attempt: Attempt,
    since: Option<Instant>,
}

impl Leader {
    async fn run(mut self, mut config: watch::Receiver<Arc<Config>>, mut asks: mpsc::Receiver<Ask>) {
        let mut pods = std::pin::pin!(self.tools.cluster.pods());
        let mut services = std::pin::pin!(self.tools.cluster.services());
        let mut next = Instant::now();
        loop {
            let due = tokio::select! {
                Some(change) = pods.next() => { self.pods.apply(change, |p| &p.name); true }
                Some(change) = services.next() => { self.services.apply(change, |s| s); true }
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
        self.tidy();
        let services: BTreeSet<String> = self.services.all().keys().cloned().collect();
        let plan = plan::plan(self.world(&services, Timestamp::now()));
        for act in plan.acts {
            self.begin(act);
        }
        self.publish(plan.nodes);
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

    fn tidy(&mut self) {
        let services: BTreeSet<String> = self.services.all().keys().cloned().collect();
        let mut book = Book::clone(&self.book);
        if plan::tidy(&mut book, self.world(&services, Timestamp::now())) {
            self.book = Arc::new(book);
        }
    }

    fn publish(&self, nodes: Vec<NodeState>) {
        let known = nodes.iter().filter(|n| n.address.is_some()).count();
        self.tools.metrics.nodes(known, nodes.len() - known);
        let snapshot = Snapshot { config: Arc::clone(&self.config), book: Arc::clone(&self.book), nodes };
        self.view.store(Arc::new(snapshot));
    }

    fn begin(&mut self, act: Act) {
        match act {
            Act::Note { pod, reason } => self.note(&pod, reason),
            _ if self.acts.len() >= MOST_ACTS => {}
            Act::Probe { pod, lurk } => self.probe(&pod, lurk),
            Act::Look { pod } => self.look(&pod),
            Act::Deliver { pod, value } => self.deliver(&pod, value),
            Act::Check { pod, address } => self.check(&pod, address),
            Act::Evict { pod, reason } => self.evict(&pod, reason),
        }
    }

    fn note(&mut self, name: &str, reason: Reason) {
        let Some(pod) = self.pods.all().get(name) else {
            return;
        };
        let mut book = Book::clone(&self.book);
        let restart = Restart::of(pod, &book, Timestamp::now());
        tracing::info!(
            pod = name,
            uid = pod.uid,
            reason = reason.label(),
            attempt = restart.attempts,
            "to be restarted"
        );
        book.restarts.insert(pod.restart_key().to_owned(), restart);
        self.book = Arc::new(book);
        self.save.attempt.next = None;
    }

    fn probe(&mut self, name: &str, lurk: bool) {
        let Some((pod, subject)) = self.subject(name) else {
            return;
        };
        let Some(settings) = self.config.settings(pod.who()).cloned() else {
            return;
        };
        let (pod, tools) = (pod.clone(), Arc::clone(&self.tools));
        self.memory.trace_mut(&subject.uid).probe.begin(&subject.container);
        self.acts.spawn(async move {
            let learned = tools.discovery.learn(&pod, &settings, lurk, &tools.metrics).await;
            Outcome::Probed(subject, learned)
        });
    }

    fn look(&mut self, name: &str) {
        let Some((pod, subject)) = self.subject(name) else {
            return;
        };
        let Some(settings) = self.config.settings(pod.who()) else {
            return;
        };
        let (container, tools) = (settings.container_name.clone(), Arc::clone(&self.tools));
        self.memory.trace_mut(&subject.uid).look.begin(&subject.container);
        self.acts.spawn(async move {
            let looked = delivery::look(&tools.cluster, &subject.pod, &container).await;
            Outcome::Looked(subject, looked)
        });
    }

    fn deliver(&mut self, name: &str, value: String) {
        let Some((pod, subject)) = self.subject(name) else {
            return;
        };
        let Some(settings) = self.config.settings(pod.who()).cloned() else {
            return;
        };
        let tools = Arc::clone(&self.tools);
        self.memory.trace_mut(&subject.uid).deliver.begin(&subject.container);
        self.acts.spawn(async move {
            let (container, path) = (&settings.container_name, &settings.trusted_peers_path);
            let done = delivery::deliver(&tools.cluster, &subject.pod, container, path, &value).await;
            Outcome::Delivered(subject, value, done)
        });
    }

    fn check(&mut self, name: &str, address: crate::peers::Address) {
        let Some((_, subject)) = self.subject(name) else {
            return;
        };
        let tools = Arc::clone(&self.tools);
        self.memory.trace_mut(&subject.uid).check.begin(address.as_str());
        self.acts.spawn(async move {
            let reach = tools.discovery.check(&address).await;
            Outcome::Checked(subject, reach)
        });
    }

    fn evict(&mut self, name: &str, reason: Reason) {
        let Some((_, subject)) = self.subject(name) else {
            return;
        };
        let tools = Arc::clone(&self.tools);
        self.memory.trace_mut(&subject.uid).evict.begin(&subject.uid);
        self.acts.spawn(async move {
            let restarted = tools.restarter.restart(&subject.pod, &subject.uid).await;
            Outcome::Evicted(subject, reason, restarted)
        });
    }

    /// The pod of that name as it is now.
    fn subject(&self, name: &str) -> Option<(&Pod, Subject)> {
        let pod = self.pods.all().get(name)?;
        let settings = self.config.settings(pod.who())?;
        let container =
            pod.container(&settings.container_name).and_then(|c| c.id.clone()).unwrap_or_default();
        Some((pod, Subject { pod: name.to_owned(), uid: pod.uid.clone(), container }))
    }

    fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Probed(of, learned) => self.probed(&of, learned),
            Outcome::Looked(of, looked) => self.looked(&of, looked),
            Outcome::Delivered(of, value, done) => self.delivered(&of, value, done),
            Outcome::Checked(of, reach) => self.checked(&of, reach),
            Outcome::Evicted(of, reason, done) => self.evicted(&of, reason, done),
            Outcome::Saved(book, saved) => self.saved(book, saved),
        }
    }

    fn probed(&mut self, of: &Subject, learned: Result<Learned, String>) {
        for waiter in &mut self.waiters {
            waiter.pods.remove(&of.pod);
        }
        self.answer_waiters();
        match learned {
            Err(why) => {
                let probe = &mut self.memory.trace_mut(&of.uid).probe;
                if probe.failures == 3 {
                    tracing::warn!(pod = of.pod, why, "cannot learn its address; trying on");
                }
                probe.fail(why, Timestamp::now(), PROBE_PACE, fastrand::f64());
            }
            Ok(learned) => {
                self.memory.trace_mut(&of.uid).probe.succeed(None);
                self.learn(of, learned);
            }
        }
    }

    /// Enters what was learned in the book, if it was learned of the pod that is there now.
    fn learn(&mut self, of: &Subject, learned: Learned) {
        let Some(pod) = self.pods.all().get(&of.pod).filter(|p| p.uid == of.uid) else {
            return;
        };
        let Some(settings) = self.config.settings(pod.who()) else {
            return;
        };
        let services: BTreeSet<String> = self.services.all().keys().cloned().collect();
        let (address, resolves) = match learned {
            Learned::Address(address) => (address, true),
            Learned::Peer(peer) => {
                let (_, resolves) = plan::host(pod, settings, &services);
                (plan::address(pod, settings, &services, &peer), resolves)
            }
        };
        let before = self.book.nodes.get(&of.pod);
        let same = before.is_some_and(|known| known.address == address);
        if !same {
            let (old, new) = (before.map(|k| k.address.to_string()), address.as_str());
            tracing::info!(pod = of.pod, address = new, old, "learned its address");
        }
        if !resolves && !same {
            tracing::warn!(
                pod = of.pod,
                "no Service makes its host resolve: give the pod a headless Service, or set host"
            );
        }
        let learned = before.filter(|_| same).map_or_else(Timestamp::now, |known| known.learned);
        let known =
            Known { address, workload: pod.workload.clone(), container: of.container.clone(), learned };
        let mut book = Book::clone(&self.book);
        book.nodes.insert(of.pod.clone(), known);
        self.book = Arc::new(book);
    }

    fn looked(&mut self, of: &Subject, looked: Result<Process, ExecError>) {
        let trace = self.memory.trace_mut(&of.uid);
        match looked {
            Ok(process) => {
                trace.look.succeed(None);
                trace.looked = Some(Look { container: of.container.clone(), at: Timestamp::now(), process });
            }
            Err(error) => fail(&mut trace.look, of, "look at its process", &error),
        }
    }

    fn delivered(&mut self, of: &Subject, value: String, done: Result<Delivery, ExecError>) {
        let trace = self.memory.trace_mut(&of.uid);
        match done {
            Ok(outcome) => {
                self.tools.metrics.delivery(label(&outcome));
                match &outcome {
                    Delivery::Written => tracing::info!(pod = of.pod, "wrote its file"),
                    Delivery::NotWritable(why) => tracing::warn!(pod = of.pod, why, "cannot write its file"),
                    Delivery::UpToDate | Delivery::Absent | Delivery::NoShell => {}
                }
                trace.deliver.succeed(None);
                trace.delivered = Some(Delivered { container: of.container.clone(), value, outcome });
            }
            Err(error) => {
                self.tools.metrics.delivery("failure");
                fail(&mut trace.deliver, of, "write its file", &error);
            }
        }
    }

    fn checked(&mut self, of: &Subject, reach: Reach) {
        let trace = self.memory.trace_mut(&of.uid);
        if trace.reach.as_ref().is_some_and(|before| *before != reach) {
            tracing::info!(pod = of.pod, ?reach, "its address");
        }
        let now = Timestamp::now();
        match &reach {
            Reach::Reachable => {
                trace.check.succeed(Some(now + CHECK_EVERY.mul_f64(0.8 + 0.4 * fastrand::f64())))
            }
            Reach::Unresolved(why) | Reach::Unreachable(why) | Reach::OtherPeer(why) => {
                trace.check.fail(why.clone(), now, CHECK_PACE, fastrand::f64());
            }
        }
        trace.reach = Some(reach);
    }

    fn evicted(&mut self, of: &Subject, reason: Reason, done: Restarted) {
        let metrics = &self.tools.metrics;
        let trace = self.memory.trace_mut(&of.uid);
        match done {
            Restarted::Done => {
                metrics.eviction("done");
                metrics.restart(reason.label());
                tracing::info!(pod = of.pod, uid = of.uid, reason = reason.label(), "restarted");
                trace.evict.succeed(Some(Timestamp::now() + EVICT_PACE.first));
            }
            Restarted::Gone => {
                metrics.eviction("gone");
                trace.evict.succeed(Some(Timestamp::now() + EVICT_PACE.first));
            }
            Restarted::Refused(why) => {
                metrics.eviction("refused");
                hold_back(trace, of, why, true);
            }
            Restarted::HeldBack(why) => {
                metrics.eviction("held_back");
                hold_back(trace, of, why, false);
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        let asked: usize = self.waiters.iter().map(|w| w.pods.len()).sum();
        if asked + ask.pods.len() > MOST_ASKED {
            let _ = ask.done.send(Err(TooMany));
            return;
        }
        let mut waiter = Waiter { pods: HashSet::new(), done: Some(ask.done) };
        for name in ask.pods {
            let Some((_, subject)) = self.subject(&name).filter(|(_, s)| !s.container.is_empty()) else {
                continue;
            };
            if !self.memory.trace(&subject.uid).probe.busy {
                self.probe(&name, false);
            }
            waiter.pods.insert(name);
        }
        self.waiters.push(waiter);
        self.answer_waiters();
    }

    /// Tells those whose pods were all tried; the answer is in the next snapshot.
    fn answer_waiters(&mut self) {
        self.waiters.retain_mut(|waiter| {
            if waiter.pods.is_empty() {
                waiter.done.take().map(|done| done.send(Ok(())));
            }
            waiter.done.as_ref().is_some_and(|done| !done.is_closed())
        });
    }

    /// Saves the book if it changed and it is time to; says when it will be.
    fn save_if_due(&mut self) -> Option<Instant> {
        if *self.book == self.saved || self.save.busy {
            self.save.since = None;
            return None;
        }
        let urgent = self.book.restarts != self.saved.restarts;
        let since = *self.save.since.get_or_insert_with(Instant::now);
        let failed = self.save.attempt.next.map(|at| at.duration_since(Timestamp::now()));
        let wait = match failed {
            Some(wait) if wait.is_positive() => wait.try_into().unwrap_or_default(),
            _ if urgent => Duration::ZERO,
            _ => SAVE_AFTER.saturating_sub(since.elapsed()),
        };
        if !wait.is_zero() {
            return Some(Instant::now() + wait);
        }
        self.save.busy = true;
        let (book, tools) = (Book::clone(&self.book), Arc::clone(&self.tools));
        self.acts.spawn(async move {
            let saved = tools.store.save(&book).await;
            Outcome::Saved(book, saved)
        });
        None
    }

    fn saved(&mut self, sent: Book, saved: Result<Book, cluster::Error>) {
        self.save.busy = false;
        match saved {
            Ok(saved) => {
                self.save.attempt.succeed(None);
                if saved != sent {
                    let mut book = Book::clone(&self.book);
                    book.absorb(saved.clone());
                    self.book = Arc::new(book);
                }
                self.noted = noted(&saved);
                self.saved = saved;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot save the address book; trying again");
                self.save.attempt.fail(error.to_string(), Timestamp::now(), EXEC_PACE, fastrand::f64());
            }
        }
    }
}

/// An act that panicked would be under way for ever: a new start is better.
fn finished(done: Result<Outcome, JoinError>) -> Outcome {
    done.unwrap_or_else(|crashed| std::panic::resume_unwind(crashed.into_panic()))
}

fn noted(book: &Book) -> HashSet<String> {
    book.restarts.values().map(|restart| restart.uid.clone()).collect()
}

/// A failed act is logged when it begins to fail.
fn fail(attempt: &mut Attempt, of: &Subject, act: &str, error: &ExecError) {
    if attempt.failures == 0 {
        tracing::warn!(pod = of.pod, %error, "cannot {act}; trying again");
    }
    attempt.fail(error.to_string(), Timestamp::now(), EXEC_PACE, fastrand::f64());
}

fn hold_back(trace: &mut Trace, of: &Subject, why: String, budget: bool) {
    if trace.evict.error.as_ref() != Some(&why) {
        tracing::info!(pod = of.pod, why, "its restart waits");
    }
    trace.budget = budget;
    trace.evict.fail(why, Timestamp::now(), EVICT_PACE, fastrand::f64());
}

fn label(outcome: &Delivery) -> &'static str {
    match outcome {
        Delivery::Written => "written",
        Delivery::UpToDate => "up_to_date",
        Delivery::Absent => "absent",
        Delivery::NotWritable(_) => "not_writable",
        Delivery::NoShell => "no_shell",
    }
}
