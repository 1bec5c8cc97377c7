//! The plan: what to probe, look at, write and restart next, and why each node waits. Pure: everything
//! that is known goes in, the next acts come out.
//!
//! It is level-triggered: it looks at how things are and never at how they came to be so, and nothing
//! it rests on is lost in a crash but [`Memory`], which may be. A crash at any point is therefore only
//! a later call.

/// Whether a deliberate fault is turned on: never, but where `tests/model` shows that it would be found.
#[cfg(feature = "mutations")]
macro_rules! mutated {
    ($fault:ident) => {
        crate::mutations::is_on(crate::mutations::Mutation::$fault)
    };
}
#[cfg(not(feature = "mutations"))]
macro_rules! mutated {
    ($fault:ident) => {
        false
    };
}

mod memory;
mod merge;
mod restart;
mod wait;

use std::cell::LazyCell;
use std::collections::{BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::config::{Config, Missing, Peer, Probe, Roster, Settings};
use crate::peers::{Address, Book, Container, Known, PeerId, Pod, Pods, Who, join};

pub use memory::{Attempt, Delivered, Delivery, Look, Memory, Pace, Print, Process, Reach, Reached, Trace};
pub use merge::{Books, merge};
pub use restart::{MAX_ATTEMPTS, Reason, note};
pub use wait::Wait;

/// How long a container runs before its process is looked at: start scripts need a moment.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(1);

/// All that a plan is made from.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The address book as it is to be; its restarts may not all be saved yet.
    pub book: &'a Book,
    /// The UIDs of the pods whose restart is noted where no crash can lose it.
    pub noted: &'a HashSet<String>,
    /// All pods of the namespace, by name.
    pub pods: &'a Pods,
    /// The names of the namespace's Services.
    pub services: &'a BTreeSet<String>,
    /// What was seen and tried since this process began.
    pub memory: &'a Memory,
    /// Why the book cannot be saved, if it cannot.
    pub unsaved: Option<&'a str>,
    /// The present.
    pub now: Timestamp,
}

/// Something to do for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Learn its peer id.
    Probe {
        /// The pod.
        pod: String,
        /// It runs for moments only, so it must be waited for.
        lurk: bool,
    },
    /// See whether the process in its container has the variable.
    Look {
        /// The pod.
        pod: String,
    },
    /// Write the file into its container.
    Deliver {
        /// The pod.
        pod: String,
    },
    /// Dial its address as its peers would.
    Check {
        /// The pod.
        pod: String,
    },
    /// Note that it is to be restarted, where no crash can lose it.
    Note {
        /// The pod.
        pod: String,
        /// Why.
        reason: Reason,
    },
    /// Evict it: its restart is noted.
    Evict {
        /// The pod.
        pod: String,
        /// Why.
        reason: Reason,
    },
}

/// Where a node has its variable from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum VariableFrom {
    /// The pod's spec sets it.
    Spec,
    /// The process has it: it read the file or asked `/gen`.
    Process,
}

/// How one node stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeState {
    /// The pod's name; the `nodeName` where there is no pod.
    pub pod: String,
    /// The `nodeName` of the configuration.
    pub node: String,
    /// The workload that the pod belongs to.
    #[serde(skip)]
    pub workload: Option<String>,
    /// The names of its groups.
    pub groups: Vec<String>,
    /// The pod's phase; `NotFound` where there is no pod.
    pub phase: String,
    /// Its address, if known.
    pub address: Option<Address>,
    /// Whether it has the variable, and from where.
    pub variable: Option<VariableFrom>,
    /// How often Torch restarted it; pods that get new names, as a Deployment's do, are counted together.
    pub restarts: u32,
    /// What keeps it, or its peers, from being complete.
    pub waits_for: Option<Wait>,
    /// Since when it does, as far as this replica has seen by the configuration in force: the plan does not
    /// know, the view does.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub since: Option<Timestamp>,
    /// What became of the file in its container.
    pub file: Option<Delivery>,
    /// What dialling its address showed last.
    pub reach: Option<Reach>,
    /// The addresses of peers that are known by now and that its variable, where it has one, is without.
    pub lacks: Vec<Address>,
}

/// What to do now, and when to plan again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do now.
    pub acts: Vec<Act>,
    /// How each configured node stands, in the order of the configuration.
    pub nodes: Vec<NodeState>,
    /// Who of each group is known.
    pub roster: Roster,
    /// When something becomes due.
    pub wake: Option<Timestamp>,
}

/// Makes the plan.
pub fn plan(world: World<'_>) -> Plan {
    let mut agenda = Agenda::new(world.now);
    let scene = Scene::of(world);
    let nodes = scene.nodes();
    let restarts = restart::decide(world, &nodes, &mut agenda);
    let mut states: Vec<NodeState> = nodes
        .iter()
        .zip(restarts)
        .map(|(node, waits)| {
            node.acts(&mut agenda);
            node.state(world, waits)
        })
        .collect();
    states.extend(absent(world));
    let places = world.config.group_places();
    states.sort_by_key(|state| state.groups.first().and_then(|group| places.get(group.as_str())));
    Plan { acts: agenda.acts, nodes: states, roster: scene.roster, wake: agenda.wake }
}

/// Brings the book into line with what there is: forgets who is no longer meant, rewrites addresses
/// whose host changed, enters fixed ones, and ends the count of restarts that helped. Says whether
/// anything changed.
pub fn tidy(book: &mut Book, world: World<'_>) -> bool {
    let before = book.clone();
    book.nodes.retain(|pod, known| is_kept(pod, known, world));
    for (pod, known) in &mut book.nodes {
        readdress(pod, known, world);
        // What a clock that was ahead has written must not be waited for.
        known.learned = known.learned.min(world.now);
    }
    enter_fixed(book, world);
    restart::tidy(book, world);
    *book != before
}

/// The host by which a pod's peers reach it, and whether anything resolves it.
pub fn host(pod: &Pod, settings: &Settings, services: &BTreeSet<String>) -> (String, bool) {
    if let Some(host) = &settings.host {
        return (host.replace("{pod}", &pod.name), true);
    }
    if services.contains(&pod.name) {
        return (pod.name.clone(), true);
    }
    if let Some(subdomain) = &pod.subdomain {
        return (format!("{}.{subdomain}", pod.name), services.contains(subdomain));
    }
    match &pod.workload {
        Some(workload) if services.contains(workload) => (workload.clone(), true),
        _ => (pod.name.clone(), false),
    }
}

/// The address of a pod whose peer id was learned.
pub fn address(pod: &Pod, settings: &Settings, services: &BTreeSet<String>, peer: &PeerId) -> Address {
    Address::of(&host(pod, settings, services).0, settings.port, peer)
}

fn is_kept(pod: &str, known: &Known, world: World<'_>) -> bool {
    let who = known.who(pod);
    let comes_back = |workload: &str| {
        let ordinal = pod.strip_prefix(workload).and_then(|rest| rest.strip_prefix('-'));
        ordinal.is_some_and(|o| o.parse::<u32>().is_ok())
    };
    world.config.settings(who).is_some()
        && (world.pods.contains_key(pod) || known.workload.as_deref().is_none_or(comes_back))
}

fn readdress(name: &str, known: &mut Known, world: World<'_>) {
    let Some(pod) = world.pods.get(name) else { return };
    let Some(settings) = world.config.settings(pod.who()) else {
        return;
    };
    if fixed(settings).is_none() {
        known.address = address(pod, settings, world.services, &known.address.peer());
    }
    known.workload.clone_from(&pod.workload);
}

/// The address that the configuration gives, where no probe before it could say another.
pub fn fixed(settings: &Settings) -> Option<&Address> {
    match settings.probe.first() {
        Some(Probe::Address(address)) => Some(address),
        _ => None,
    }
}

/// A fixed address is known without a pod: its node may even be outside of the cluster.
fn enter_fixed(book: &mut Book, world: World<'_>) {
    let mut enter = |name: &str, workload: Option<&String>, address: &Address| {
        if book.nodes.get(name).is_none_or(|known| known.address != *address) {
            let known = Known {
                address: address.clone(),
                workload: workload.cloned(),
                container: String::new(),
                learned: world.now,
            };
            book.nodes.insert(name.to_owned(), known);
        }
    };
    for pod in world.pods.values() {
        if let Some(address) = world.config.settings(pod.who()).and_then(fixed) {
            enter(&pod.name, pod.workload.as_ref(), address);
        }
    }
    for peer in without_pods(world) {
        if let Some(address) = fixed(&peer.settings) {
            enter(&peer.node_name, None, address);
        }
    }
}

/// The members that no pod answers to, each once.
fn without_pods(world: World<'_>) -> impl Iterator<Item = &Peer> {
    let pods = world.pods.values().flat_map(|pod| [Some(&*pod.name), pod.workload.as_deref()]);
    let mut seen: HashSet<&str> = pods.flatten().collect();
    let peers = world.config.groups.iter().flat_map(|group| &group.peers);
    peers.filter(move |peer| seen.insert(&peer.node_name))
}

/// A world, and what is made of it once for all of its nodes.
struct Scene<'a> {
    world: World<'a>,
    roster: Roster,
    missing: Missing<'a>,
}

impl<'a> Scene<'a> {
    fn of(world: World<'a>) -> Self {
        let roster = Roster::of(world.config, world.book);
        let missing = roster.missing(world.config, world.book, world.pods);
        Self { world, roster, missing }
    }

    /// The configured pods in the order of the configuration.
    fn nodes(&self) -> Vec<Node<'_>> {
        let World { config, pods, .. } = self.world;
        let mut nodes: Vec<Node<'_>> = pods.values().filter_map(|pod| Node::of(pod, self)).collect();
        nodes.sort_by_cached_key(|n| (config.place(n.pod.who()), crate::peers::ordinal_order(&n.pod.name)));
        nodes
    }
}

/// A pod that the configuration names.
struct Node<'a> {
    scene: &'a Scene<'a>,
    pod: &'a Pod,
    settings: &'a Settings,
    groups: Vec<usize>,
    container: Option<&'a Container>,
    trace: &'a Trace,
    known: Option<&'a Known>,
    /// What it is given as of now.
    peers: Vec<&'a Address>,
}

impl<'a> Node<'a> {
    fn of(pod: &'a Pod, scene: &'a Scene<'a>) -> Option<Self> {
        let Scene { world, roster, .. } = scene;
        let settings = world.config.settings(pod.who())?;
        Some(Self {
            scene,
            pod,
            settings,
            groups: world.config.groups_of(pod.who()),
            container: pod.container(&settings.container_name),
            trace: world.memory.trace(&pod.uid),
            known: world.book.nodes.get(&pod.name),
            peers: roster.trusted_peers(world.config, world.book, pod.who()),
        })
    }

    /// What the process in the present container was last seen to have.
    fn looked(&self) -> Option<&'a Look> {
        let id = self.container?.id.as_deref()?;
        self.trace.looked.as_ref().filter(|look| look.container == id.into())
    }

    /// What became of the file in the present container.
    fn delivered(&self) -> Option<&'a Delivered> {
        let id = self.container?.id.as_deref()?;
        self.trace.delivered.as_ref().filter(|done| done.container == id.into())
    }

    /// What dialling its present address showed.
    fn reach(&self) -> Option<&'a Reach> {
        let known = self.known?;
        let reached = self.trace.reached.as_ref().filter(|reached| reached.known == known.into())?;
        Some(&reached.reach)
    }

    fn variable(&self) -> Option<VariableFrom> {
        if self.container?.variable.is_some() {
            return Some(VariableFrom::Spec);
        }
        let look = self.looked()?;
        matches!(look.process, Process::Has(_)).then_some(VariableFrom::Process)
    }

    /// When the last address of its groups was learned.
    fn last_learned(&self) -> Option<Timestamp> {
        self.scene.roster.last_learned(&self.groups)
    }

    /// Who keeps its groups from being complete.
    fn missing(&self) -> impl Iterator<Item = &'a str> {
        let of = |&group: &usize| self.scene.missing.range((group, 0)..(group + 1, 0));
        self.groups.iter().flat_map(of).flat_map(|(_, names)| names).copied()
    }

    /// Whether a value is what it is given as of now.
    fn is_given(&self, value: &str) -> bool {
        match &self.peers[..] {
            [] => value.is_empty(),
            peers => value.split(',').eq(peers.iter().map(|address| address.as_str())),
        }
    }

    /// Whether it is given all that stands in a value.
    fn is_given_all_of(&self, value: &str) -> bool {
        let given: HashSet<&str> = self.peers.iter().map(|address| address.as_str()).collect();
        value.split(',').all(|address| given.contains(address))
    }

    fn acts(&self, agenda: &mut Agenda) {
        self.check(agenda);
        let Some(container) = self.container.filter(|_| !self.pod.deleting) else {
            return;
        };
        self.probe(container, agenda);
        self.look(container, agenda);
        self.deliver(container, agenda);
    }

    fn probe(&self, container: &Container, agenda: &mut Agenda) {
        let Some(id) = container.id.as_deref() else { return };
        let up_to_date = self.known.is_some_and(|k| k.container == id);
        let lurk = self.known.is_none() && container.keeps_exiting();
        if up_to_date || fixed(self.settings).is_some() || !(container.running.is_some() || lurk) {
            return;
        }
        if agenda.is_due(&self.trace.probe, id) {
            agenda.acts.push(Act::Probe { pod: self.pod.name.clone(), lurk });
        }
    }

    /// Looks once at every process, and once more after something was learned that it may have asked
    /// for since.
    fn look(&self, container: &Container, agenda: &mut Agenda) {
        let (Some(id), Some(since)) = (container.id.as_deref(), container.running) else {
            return;
        };
        if self.variable().is_some() {
            return;
        }
        let wanted = match (self.looked(), self.last_learned()) {
            (None, _) => restart::after(since, FIRST_LOOK),
            (Some(look), Some(learned)) if look.at < restart::after(learned, FIRST_LOOK) => {
                restart::after(learned, FIRST_LOOK)
            }
            _ => return,
        };
        if agenda.is_past(wanted) && agenda.is_due(&self.trace.look, id) {
            agenda.look(self.pod);
        }
    }

    fn deliver(&self, container: &Container, agenda: &mut Agenda) {
        let (Some(id), Some(_)) = (container.id.as_deref(), container.running) else {
            return;
        };
        let is_of_this = |done: &Delivered| done.value == (*join(&self.peers)).into();
        if self.peers.is_empty() || self.delivered().is_some_and(is_of_this) {
            return;
        }
        if agenda.is_due(&self.trace.deliver, id) {
            agenda.acts.push(Act::Deliver { pod: self.pod.name.clone() });
        }
    }

    /// Has an address dialled that was not yet, or not in time: no plan is made for that time to come.
    fn check(&self, agenda: &mut Agenda) {
        let (Some(known), check) = (self.known, &self.trace.check) else { return };
        let is_overdue = check.next.is_some_and(|next| next <= agenda.now);
        let is_wanted = !check.busy && (check.subject != known.into() || is_overdue);
        if is_wanted && known.address.host_and_port().is_some() {
            agenda.acts.push(Act::Check { pod: self.pod.name.clone() });
        }
    }

    fn state(&self, world: World<'_>, waits_for: Option<Wait>) -> NodeState {
        let groups = &world.config.groups;
        let node =
            world.config.place(self.pod.who()).map(|(group, place)| &groups[group].peers[place].node_name);
        NodeState {
            pod: self.pod.name.clone(),
            node: node.cloned().unwrap_or_default(),
            workload: self.pod.workload.clone(),
            groups: self.groups.iter().map(|&g| groups[g].name.clone()).collect(),
            phase: self.pod.phase.clone(),
            address: self.known.map(|k| k.address.clone()),
            variable: self.variable(),
            restarts: restart::done(world.book, self.pod),
            waits_for: self.foremost(waits_for),
            since: None,
            file: self.delivered().map(|done| done.outcome.clone()),
            reach: self.reach().cloned(),
            lacks: self.lacks(),
        }
    }

    fn lacks(&self) -> Vec<Address> {
        let Some(have) = restart::value_in_force(self).filter(|have| !self.is_given(have)) else {
            return Vec::new();
        };
        let have: HashSet<&str> = have.split(',').collect();
        let lacked = self.peers.iter().filter(|address| !have.contains(address.as_str()));
        lacked.map(|&address| address.clone()).collect()
    }

    /// Of two things that a node waits for, the one to look at first: as long as a running node's own
    /// address is not known, nothing else comes to it but a restart that is decided on.
    fn foremost(&self, restart: Option<Wait>) -> Option<Wait> {
        use Wait::{Address, Group, Look, OptedOut, Owner, Peers, RestartOff};
        match (restart, self.waits_to_be_known()) {
            (
                Some(Peers | Group { .. } | Look { .. } | Owner | OptedOut | RestartOff),
                Some(own @ Address { .. }),
            ) => Some(own),
            (restart, own) => restart.or(own),
        }
    }

    fn waits_to_be_known(&self) -> Option<Wait> {
        let Some(container) = self.container else {
            return Some(Wait::Container { name: self.settings.container_name.clone() });
        };
        if self.known.is_some() {
            return None;
        }
        Some(match container.running {
            None => Wait::Start,
            Some(_) => Wait::Address { why: self.trace.probe.error.clone() },
        })
    }
}

/// The configured names that no pod answers to.
fn absent(world: World<'_>) -> impl Iterator<Item = NodeState> {
    let known = LazyCell::new(|| world.book.by_name());
    without_pods(world).map(move |peer| {
        let who = Who { pod: &peer.node_name, workload: None };
        let pods = known.get(&*peer.node_name).map_or(&[][..], Vec::as_slice);
        let known = pods.first().map(|(_, known)| known.address.clone());
        let waits_for =
            if known.is_some() && fixed(&peer.settings).is_some() { None } else { Some(Wait::Pod) };
        NodeState {
            pod: peer.node_name.clone(),
            node: peer.node_name.clone(),
            workload: None,
            groups: world
                .config
                .groups_of(who)
                .iter()
                .map(|&g| world.config.groups[g].name.clone())
                .collect(),
            phase: "NotFound".into(),
            address: known,
            variable: None,
            restarts: world.book.restarts.get(&peer.node_name).map_or(0, |r| r.total),
            waits_for,
            since: None,
            file: None,
            reach: None,
            lacks: Vec::new(),
        }
    })
}

/// Collects the acts, and when the next becomes due.
struct Agenda {
    now: Timestamp,
    wake: Option<Timestamp>,
    acts: Vec<Act>,
    /// Whose processes are looked at.
    looks: HashSet<String>,
}

impl Agenda {
    fn new(now: Timestamp) -> Self {
        Self { now, wake: None, acts: Vec::new(), looks: HashSet::new() }
    }

    /// Whether `at` has come; if not, the plan is made again then.
    fn is_past(&mut self, at: Timestamp) -> bool {
        if at > self.now {
            self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        }
        at <= self.now
    }

    /// Whether an act on `subject` may be tried now.
    fn is_due(&mut self, attempt: &Attempt, subject: impl Into<Print>) -> bool {
        if attempt.busy {
            return false;
        }
        attempt.subject != subject.into() || attempt.next.is_none_or(|next| self.is_past(next))
    }

    fn look(&mut self, pod: &Pod) {
        if self.looks.insert(pod.name.clone()) {
            self.acts.push(Act::Look { pod: pod.name.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
