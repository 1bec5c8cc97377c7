//! Between what the model remembers and Torch's own types.

use std::array;
use std::collections::{BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};
use libp2p_identity::Keypair;

use crate::config::Config;
use crate::peers::{self, Address, Known as RealKnown, Owner, PeerId, Restart};
use crate::plan::{self, Attempt, Memory, Process, World};
use crate::state::{Book, Each, Known, Note, Phase, Pod, Replica, Secs};

/// When it always is: all else is told by its age.
const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// A process is looked at a moment after its start and after something was learned; that moment is always over.
const STARTING: Secs = 2;

/// The names of the nodes' StatefulSets, in the order of the configuration.
pub const SETS: Each<&str> = ["a", "b", "c"];

/// How many keys a node may have in turn.
const KEYS: usize = 2;

/// The pods and addresses that there can be.
pub struct Names {
    addresses: Vec<Vec<Address>>,
    pub services: BTreeSet<String>,
}

impl Names {
    pub fn new() -> Self {
        let peer = |node: usize, key: usize| {
            let secret = [u8::try_from(node * KEYS + key + 1).expect("few"); 32];
            Keypair::ed25519_from_bytes(secret).expect("any 32 bytes").public().to_peer_id()
        };
        let peers: Vec<Vec<PeerId>> =
            (0..SETS.len()).map(|n| (0..KEYS).map(|k| peer(n, k)).collect()).collect();
        let address = |node: usize, peer: &PeerId| {
            Address::of(&format!("{}.{}", pod_name(node), SETS[node]), crate::config::P2P_PORT, peer)
        };
        let addresses =
            peers.iter().enumerate().map(|(n, p)| p.iter().map(|p| address(n, p)).collect()).collect();
        Self { addresses, services: SETS.iter().map(|s| (*s).to_owned()).collect() }
    }

    pub fn book(&self, book: &Book) -> peers::Book {
        let nodes = book
            .known
            .iter()
            .enumerate()
            .filter_map(|(n, k)| Some((pod_name(n), self.known(n, k.as_ref()?))));
        let restarts = book
            .notes
            .iter()
            .enumerate()
            .filter_map(|(n, note)| Some((pod_name(n), restart(n, note.as_ref()?))));
        peers::Book { nodes: nodes.collect(), restarts: restarts.collect() }
    }

    fn known(&self, node: usize, known: &Known) -> RealKnown {
        RealKnown {
            address: self.addresses[node][usize::from(known.key)].clone(),
            workload: Some(SETS[node].into()),
            container: container_id(node, known.container),
            learned: ago(known.age + STARTING),
        }
    }

    pub fn abstract_book(&self, book: &peers::Book) -> Book {
        let known = |n: usize| {
            let known = book.nodes.get(&pod_name(n))?;
            let key =
                self.addresses[n].iter().position(|a| *a == known.address).expect("an address of the model");
            Some(Known {
                container: of_container_id(&known.container),
                key: u8::try_from(key).expect("few"),
                age: age(known.learned) - STARTING,
            })
        };
        let note = |n: usize| {
            let restart = book.restarts.get(&pod_name(n))?;
            Some(Note {
                uid: restart.uid.get(1..).map_or(0, |uid| uid.parse().expect("a uid of the model")),
                attempts: u8::try_from(restart.attempts).expect("few"),
                age: age(restart.at),
                left: restart.left.map(age),
            })
        };
        Book { known: array::from_fn(known), notes: array::from_fn(note) }
    }
}

/// What a replica plans from.
pub struct Real<'a> {
    pub config: &'a Config,
    pub names: &'a Names,
    pub book: peers::Book,
    pub noted: HashSet<String>,
    pub pods: peers::Pods,
    pub memory: Memory,
}

impl<'a> Real<'a> {
    pub fn new(config: &'a Config, names: &'a Names, replica: &Replica) -> Self {
        let reign = replica.reign.as_ref().expect("only a leader plans");
        let mut memory = Memory::default();
        let mut pods = peers::Pods::new();
        for (n, seen) in reign.view.iter().enumerate() {
            if let Some(uid) = reign.not_evicted[n] {
                memory.not_evicted.insert(self::uid(n, uid));
            }
            if let Some(seen) = seen {
                pods.insert(pod_name(n), Box::new(pod(n, seen)));
                remember(&mut memory, n, seen, &reign.traces[n]);
            }
        }
        let notes = replica.seen.notes.iter().enumerate();
        let noted = notes.filter_map(|(n, note)| Some(uid(n, note.as_ref()?.uid))).collect();
        Self { config, names, book: names.book(&replica.book), noted, pods, memory }
    }

    pub fn world(&self) -> World<'_> {
        World {
            config: self.config,
            book: &self.book,
            noted: &self.noted,
            pods: &self.pods,
            services: &self.names.services,
            memory: &self.memory,
            unsaved: None,
            now: NOW,
        }
    }

    pub fn tidy(&mut self) {
        let mut book = self.book.clone();
        plan::tidy(&mut book, self.world());
        self.book = book;
    }

    pub fn note(&mut self, node: usize, reason: plan::Reason) {
        let mut book = self.book.clone();
        plan::note(&mut book, &self.pods[&pod_name(node)], reason, self.world());
        self.book = book;
    }
}

/// How long to wait until a time.
pub fn until(at: Timestamp) -> Secs {
    Secs::try_from(at.duration_since(NOW).as_secs()).expect("the plan wakes within a day").max(1)
}

fn remember(memory: &mut Memory, node: usize, pod: &Pod, seen: &crate::state::Trace) {
    let uid = uid(node, pod.uid);
    let trace = memory.trace_mut(&uid);
    trace.check.busy = true;
    trace.looked = seen.look.as_ref().map(|look| plan::Look {
        container: (*container_id(node, (pod.uid, look.instance))).into(),
        at: ago(look.age),
        process: if look.has { Process::Has("/dns/some".into()) } else { Process::Lacks },
    });
    let evict = &seen.evict;
    trace.budget = evict.budget;
    trace.evict = Attempt {
        subject: (*uid).into(),
        busy: evict.busy,
        failures: evict.failed.into(),
        next: (evict.wait > 0).then(|| NOW + seconds(evict.wait)),
        error: evict.failed.then(|| "refused".into()),
    };
}

fn pod(node: usize, pod: &Pod) -> peers::Pod {
    let container = &pod.container;
    let container = peers::Container {
        name: "da".into(),
        variable: pod.variable.then(|| "/dns/some".into()),
        id: (container.phase != Phase::Waiting).then(|| container_id(node, (pod.uid, container.instance))),
        running: (container.phase == Phase::Running).then(|| ago(STARTING)),
        restarts: u32::from(container.instance)
            - u32::from(container.phase == Phase::Running && container.instance > 0),
        exited_after: (container.phase == Phase::Down).then(|| seconds(1)),
    };
    peers::Pod {
        name: pod_name(node),
        uid: uid(node, pod.uid),
        version: pod.version.to_string(),
        workload: Some(SETS[node].into()),
        owner: Some(Owner { kind: "StatefulSet".into(), name: SETS[node].into(), ..Owner::default() }),
        phase: String::new(),
        ip: None,
        subdomain: Some(SETS[node].into()),
        created: ago(pod.age),
        deleting: pod.deleting,
        ready: container.running.is_some(),
        opted_out: false,
        injected: pod.variable,
        containers: [container].into(),
    }
}

fn restart(node: usize, note: &Note) -> Restart {
    Restart {
        pod: pod_name(node),
        workload: Some(SETS[node].into()),
        uid: if note.uid == 0 { String::new() } else { uid(node, note.uid) },
        at: ago(note.age),
        left: note.left.map(ago),
        refresh: false,
        attempts: note.attempts.into(),
        total: note.attempts.into(),
    }
}

pub fn pod_name(node: usize) -> String {
    format!("{}-0", SETS[node])
}

/// The node of a pod's name.
pub fn node_of(pod: &str) -> usize {
    SETS.iter().position(|set| pod.starts_with(set)).expect("a pod of the model")
}

fn uid(node: usize, uid: u8) -> String {
    format!("{}{uid}", SETS[node])
}

fn container_id(node: usize, (pod, instance): (u8, u8)) -> String {
    format!("{}{pod}.{instance}", SETS[node])
}

fn of_container_id(id: &str) -> (u8, u8) {
    let (pod, instance) = id[1..].split_once('.').expect("an id of the model");
    (pod.parse().expect("a number"), instance.parse().expect("a number"))
}

fn ago(age: Secs) -> Timestamp {
    NOW - seconds(age)
}

fn age(at: Timestamp) -> Secs {
    Secs::try_from(NOW.duration_since(at).as_secs()).unwrap_or(Secs::MAX)
}

fn seconds(n: Secs) -> SignedDuration {
    SignedDuration::from_secs(n.into())
}
