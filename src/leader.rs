//! The work that one replica does for all: keeps the world in view, makes the plan again after every
//! change, and, while it leads, carries it out.
//!
//! One task owns everything that changes. Acts run beside it and come back as [`Outcome`]s; readers see
//! a [`View`] that is exchanged mesh by mesh. A replica that does not lead keeps the same view, and
//! learns only what it is asked for.

mod acts;
mod asks;
mod checks;
mod delivery;
pub mod discovery;
mod ledger;
mod meshes;
mod outcomes;
pub mod restart;
mod retries;
mod turns;

use std::collections::BTreeSet;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::cluster::events::Reason as EventReason;
use crate::cluster::{self, Change, Cluster, ExecError, Listing, Written};
use crate::config::{Config, Roster};
use crate::election::Leadership;
use crate::peers::{Book, Pod};
use crate::plan::{self, Delivery, Memory, Process, Reach, Reason, World};
use crate::telemetry::{Health, Metrics};
use crate::view::{self, Snapshot, View};

use asks::Waiter;
use checks::Checks;
use discovery::{Discovery, Learned};
use ledger::{Ledger, Shards};
use meshes::Meshes;
use restart::{Restarted, Restarter};
use retries::Retries;
use turns::Turns;

/// How long changes are gathered before the plan is made again.
const GATHER: Duration = Duration::from_millis(20);

/// For how long a pod is new: of one that a Torch sees only later, another has told.
const NEW: SignedDuration = SignedDuration::from_secs(60);

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
    /// The configuration, as it changes.
    pub config: watch::Receiver<Arc<Config>>,
    /// Who leads, as it changes.
    pub leadership: watch::Receiver<Leadership>,
    /// What evicts.
    pub restarter: Restarter,
    /// What readers see.
    pub view: View,
    /// Told whenever that has changed.
    pub published: watch::Sender<()>,
    /// Requests to learn.
    pub asks: mpsc::Receiver<Ask>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Told when the book and the pods are there.
    pub health: Arc<Health>,
    /// Told which pod leads, where that is another replica's.
    pub leader_ip: watch::Sender<Option<IpAddr>>,
}

/// What came of an act.
enum Outcome {
    Probed(Subject, Result<Learned, String>),
    Looked(Subject, Result<Process, ExecError>),
    Delivered(Subject, String, Result<Delivery, ExecError>),
    Checked(Subject, Reach),
    Evicted(Subject, Reason, Restarted),
    Saved(usize, Result<Written, cluster::Error>),
}

/// The very pod and container that an act was for.
#[derive(Clone)]
struct Subject {
    pod: String,
    uid: String,
    container: String,
}

/// Works until it is dropped.
pub async fn run(parts: Parts) {
    let Parts {
        cluster,
        config: configs,
        leadership,
        restarter,
        view,
        published,
        asks,
        metrics,
        health,
        leader_ip,
    } = parts;
    let config = Arc::clone(&configs.borrow());
    let mut leader = Leader {
        tools: Arc::new(Tools { discovery: Discovery::new(cluster.clone()), cluster, restarter, metrics }),
        health,
        leadership,
        leads: false,
        acts_on_plan: false,
        has_begun: false,
        config: Arc::default(),
        meshes: Meshes::default(),
        services: Listing::default(),
        names: BTreeSet::new(),
        ledger: Ledger::default(),
        memory: Memory::default(),
        retries: Retries::default(),
        acts: JoinSet::new(),
        checks: Checks::default(),
        dirty: BTreeSet::new(),
        starved: Turns::default(),
        wakes: BTreeSet::new(),
        counts: (0, 0),
        waiters: Vec::new(),
        view,
        published,
        is_news: false,
        leader_ip,
    };
    leader.reconfigure(config);
    leader.run(configs, asks).await;
}

struct Tools {
    cluster: Cluster,
    discovery: Discovery,
    restarter: Restarter,
    metrics: Arc<Metrics>,
}

struct Leader {
    tools: Arc<Tools>,
    health: Arc<Health>,
    leadership: watch::Receiver<Leadership>,
    leads: bool,
    /// It leads, and has seen everything since it does.
    acts_on_plan: bool,
    /// Everything has been seen once.
    has_begun: bool,
    config: Arc<Config>,
    meshes: Meshes,
    services: Listing<String>,
    /// The names of the Services.
    names: BTreeSet<String>,
    ledger: Ledger,
    memory: Memory,
    retries: Retries,
    acts: JoinSet<Outcome>,
    /// Those that dial known addresses, and those to come.
    checks: Checks,
    /// The meshes to be planned anew.
    dirty: BTreeSet<usize>,
    /// The meshes of which not all acts could begin.
    starved: Turns<usize>,
    /// When which mesh has something due.
    wakes: BTreeSet<(Timestamp, usize)>,
    /// How many nodes are known, and how many are not.
    counts: (usize, usize),
    waiters: Vec<Waiter>,
    view: View,
    published: watch::Sender<()>,
    /// Whether readers would see something else than when they were told last.
    is_news: bool,
    leader_ip: watch::Sender<Option<IpAddr>>,
}

/// What is watched. Begun anew, it shows everything as it is then.
struct Watches {
    pods: BoxStream<'static, Change<Pod>>,
    services: BoxStream<'static, Change<String>>,
    shards: Shards,
}

impl Leader {
    async fn run(mut self, mut configs: watch::Receiver<Arc<Config>>, mut asks: mpsc::Receiver<Ask>) {
        let mut watches = self.watch();
        let mut next = Instant::now();
        loop {
            let end = self.leadership.borrow().until().filter(|_| self.leads).unwrap_or_else(far);
            let due = tokio::select! {
                Some(change) = watches.pods.next() => { self.pod(change); true }
                Some(change) = watches.services.next() => { self.service(change); true }
                Some((shard, change)) = watches.shards.next() => { self.shard(shard, change); true }
                Some(done) = self.acts.join_next() => { self.outcome(finished(done)); true }
                Some(ask) = asks.recv() => { self.ask(ask); true }
                Ok(()) = configs.changed() => {
                    self.reconfigure(Arc::clone(&configs.borrow_and_update()));
                    watches.shards = self.ledger.begin(&self.tools.cluster, &self.config);
                    true
                }
                Ok(()) = self.leadership.changed() => true,
                () = tokio::time::sleep_until(next.min(end)) => false,
            };
            if self.is_made_leader() {
                watches = self.watch();
            }
            next = if due { next.min(Instant::now() + GATHER) } else { self.step() };
        }
    }

    fn watch(&mut self) -> Watches {
        let cluster = &self.tools.cluster;
        Watches {
            pods: cluster.pods().boxed(),
            services: cluster.services().boxed(),
            shards: self.ledger.begin(cluster, &self.config),
        }
    }

    /// Follows the leadership. Who is made leader begins with what the book says and a fresh look at the
    /// cluster: what it saw before may be old.
    fn is_made_leader(&mut self) -> bool {
        let leads = self.leadership.borrow_and_update().is_ours();
        let before = mem::replace(&mut self.leads, leads);
        self.tools.metrics.leader(leads);
        if leads && !before {
            self.memory = Memory::default();
            self.checks.forget();
            self.meshes.look_anew();
            self.services = Listing::default();
        }
        if before && !leads {
            self.meshes.all.iter_mut().for_each(meshes::Mesh::forget_intentions);
        }
        if leads != before {
            self.all_are_dirty();
        }
        leads && !before
    }

    fn reconfigure(&mut self, config: Arc<Config>) {
        self.meshes.split_anew(&config);
        self.config = config;
        self.wakes.clear();
        self.starved = Turns::default();
        self.counts = (0, 0);
        self.all_are_dirty();
        let meshes = self.meshes.all.iter();
        let meshes = meshes.map(|mesh| view::Mesh::new(Arc::clone(&mesh.config), Arc::clone(&mesh.book)));
        let snapshot = Snapshot::new(Arc::clone(&self.config), self.meshes.split.clone(), meshes);
        self.view.store(Arc::new(snapshot));
        self.is_news = true;
    }

    fn pod(&mut self, change: Change<Pod>) {
        if let Change::Put(pod) = &change
            && self.leads
        {
            self.tell_if_injected(pod);
        }
        self.dirty.extend(self.meshes.apply(change));
    }

    /// Tells of a pod that is new what the webhook gave it: at admission it has no UID to tell it by.
    fn tell_if_injected(&self, pod: &Pod) {
        let is_known = self.meshes.pod(&pod.name).is_some_and(|(_, before)| before.uid == pod.uid);
        let is_new = Timestamp::now().duration_since(pod.created) < NEW;
        let settings = self.meshes.settings(pod);
        let Some(settings) = settings.filter(|_| pod.injected && is_new && !is_known) else { return };
        let container = pod.container(&settings.container_name);
        if let Some(value) = container.and_then(|container| container.variable.as_ref()) {
            let note = format!("created with TRUSTED_PEERS of {} peer(s)", value.split(',').count());
            self.tools.cluster.events().about_node(&pod.name, &pod.uid, EventReason::Injected, note);
        }
    }

    fn service(&mut self, change: Change<String>) {
        let is_single = self.services.is_current();
        match &change {
            Change::Put(name) if is_single && self.names.insert(name.clone()) => {
                self.dirty.extend(self.meshes.using(name));
            }
            Change::Gone(name) if self.names.remove(name) => self.dirty.extend(self.meshes.using(name)),
            _ => {}
        }
        let is_complete = change == Change::Complete;
        self.services.apply(change, |name| name);
        if is_complete {
            self.names = self.services.all().keys().cloned().collect();
            self.all_are_dirty();
        }
    }

    fn shard(&mut self, shard: usize, change: Change<cluster::Shard>) {
        let concerned = self.ledger.apply(shard, change, &mut self.meshes, self.leads);
        self.dirty.extend(concerned);
    }

    fn all_are_dirty(&mut self) {
        self.dirty = (0..self.meshes.all.len()).collect();
    }

    /// Plans and begins what is due; says when to plan again.
    fn step(&mut self) -> Instant {
        let sees_all = self.meshes.are_current() && self.services.is_current() && self.ledger.is_current();
        self.has_begun |= sees_all;
        if !self.has_begun {
            return far();
        }
        if mem::replace(&mut self.acts_on_plan, self.leads && sees_all) != self.acts_on_plan {
            self.all_are_dirty();
        }
        for uid in self.meshes.gone.drain(..) {
            self.memory.forget(&uid);
        }
        self.plan_what_is_due();
        if mem::take(&mut self.is_news) {
            self.published.send_replace(());
        }
        self.answer_waiters();
        self.say_who_leads();
        self.health.well("book", "");
        self.health.well("pods", "");
        let saving = self.save_if_due();
        let check = self.checks.next().filter(|_| self.acts_on_plan);
        let wake = self.wakes.first().map(|(at, _)| *at).into_iter().chain(check).min().map(|at| {
            let wait = at.duration_since(Timestamp::now()).try_into().unwrap_or(Duration::ZERO);
            Instant::now() + wait + Duration::from_millis(1)
        });
        let again = (!self.dirty.is_empty()).then(|| Instant::now() + GATHER);
        [wake, saving, again].into_iter().flatten().fold(far(), Instant::min)
    }

    fn say_who_leads(&self) {
        let holder = self.leadership.borrow().holder.clone().filter(|_| !self.leads);
        let ip = holder.and_then(|holder| self.meshes.other(&holder)?.ip);
        self.leader_ip.send_if_modified(|before| mem::replace(before, ip) != ip);
    }

    fn plan_what_is_due(&mut self) {
        let now = Timestamp::now();
        while let Some(&(at, mesh)) = self.wakes.first().filter(|(at, _)| *at <= now) {
            self.wakes.remove(&(at, mesh));
            self.dirty.insert(mesh);
        }
        for mesh in mem::take(&mut self.dirty) {
            self.plan(mesh);
        }
        while self.has_room()
            && let Some(mesh) = self.starved.next()
        {
            self.plan(mesh);
        }
        if self.acts_on_plan {
            self.check_some(now);
        }
    }

    /// Plans one mesh and begins what is due in it.
    fn plan(&mut self, index: usize) {
        let now = Timestamp::now();
        if self.acts_on_plan {
            self.tidy(index, now);
        }
        let mesh = &self.meshes.all[index];
        let noted = mesh.noted();
        let plan = plan::plan(self.world(index, &mesh.book, &noted, now));
        if self.acts_on_plan {
            for act in plan.acts {
                if !self.begin(act, &plan.roster) {
                    self.starved.insert(index);
                }
            }
        }
        self.publish(index, plan.nodes, plan.roster, now);
        let mesh = &mut self.meshes.all[index];
        let before = mem::replace(&mut mesh.wake, plan.wake);
        before.map(|at| self.wakes.remove(&(at, index)));
        plan.wake.map(|at| self.wakes.insert((at, index)));
        self.ledger.mark(index, mesh.is_unsaved());
    }

    fn tidy(&mut self, index: usize, now: Timestamp) {
        let mesh = &self.meshes.all[index];
        let mut book = Book::clone(&mesh.book);
        if plan::tidy(&mut book, self.world(index, &mesh.book, &mesh.noted(), now)) {
            for (key, last) in &mesh.book.restarts {
                if book.restarts.get(key).is_none_or(|restart| restart.uid != last.uid) {
                    self.memory.not_evicted.remove(&last.uid);
                }
            }
            self.meshes.all[index].keep(book);
        }
    }

    fn world<'a>(
        &'a self,
        index: usize,
        book: &'a Book,
        noted: &'a std::collections::HashSet<String>,
        now: Timestamp,
    ) -> World<'a> {
        let mesh = &self.meshes.all[index];
        let (services, memory) = (&self.names, &self.memory);
        let unsaved = mesh.unsaved.as_deref();
        World { config: &mesh.config, book, noted, pods: &mesh.pods, services, memory, unsaved, now }
    }

    fn publish(&mut self, index: usize, nodes: Vec<plan::NodeState>, roster: Roster, now: Timestamp) {
        let mesh = &mut self.meshes.all[index];
        let known = nodes.iter().filter(|n| n.address.is_some()).count();
        let before = mem::replace(&mut mesh.counts, (known, nodes.len() - known));
        self.counts = (self.counts.0 + mesh.counts.0 - before.0, self.counts.1 + mesh.counts.1 - before.1);
        self.tools.metrics.nodes(self.counts.0, self.counts.1);
        let (config, book) = (Arc::clone(&mesh.config), Arc::clone(&mesh.book));
        self.is_news |= self.view.load().put(index, view::Mesh { config, book, roster, nodes }, now);
    }
}

/// A time at which nothing is due.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// An act that panicked would be under way for ever: a new start is better.
fn finished(done: Result<Outcome, JoinError>) -> Outcome {
    done.unwrap_or_else(|crashed| std::panic::resume_unwind(crashed.into_panic()))
}
