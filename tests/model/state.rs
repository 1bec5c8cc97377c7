//! What the model remembers: as little of the cluster and of each replica of Torch as decides what may
//! happen next. Times are ages in seconds, cut off where nothing depends on them any more.

/// Seconds since something happened, or until it may.
pub type Secs = u16;

/// How many nodes there may be.
pub const NODES: usize = 3;

/// Something of each node.
pub type Each<T> = [T; NODES];

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The configured nodes, each a StatefulSet with one pod.
    pub nodes: Vec<Node>,
    /// Whether the API server reaches the webhook.
    pub webhook: bool,
    /// Which of the scenario's configurations is mounted.
    pub config: u8,
    /// The book in the cluster.
    pub stored: Book,
    /// Torch.
    pub replicas: Vec<Replica>,
    /// Who holds the lease.
    pub lease: Option<u8>,
    /// Evictions under way, sorted.
    pub calls: Vec<Call>,
    /// How much may still go wrong.
    pub faults: u8,
    /// The first rule that was broken.
    pub broken: Option<Rule>,
}

/// A node as it really is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its pod.
    pub pod: Option<Pod>,
    /// How many pods it has had.
    pub made: u8,
    /// Which of its keys it has.
    pub key: u8,
    /// What Torch did to it.
    pub history: History,
}

/// What Torch did to a node, kept to judge it by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// Restarts in a row that brought no variable.
    pub row: u8,
    /// Since the last restart.
    pub since: Secs,
    /// Restarted, and the successor neither ready nor known not to be.
    pub out: bool,
    /// Restarted since a pod of it last came without the variable.
    pub restarted: bool,
}

/// A pod, really or as a replica sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Counted from 1.
    pub uid: u8,
    /// Since its creation.
    pub age: Secs,
    /// In its spec.
    pub variable: bool,
    /// Counts what a watch shows of it: its `resourceVersion`.
    pub version: u8,
    /// About to go.
    pub deleting: bool,
    /// Its file was written (never seen from outside).
    pub file: bool,
    /// Its container.
    pub container: Container,
}

/// A pod's container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// How it stands.
    pub phase: Phase,
    /// Counted from 1; 0 before the first.
    pub instance: u8,
    /// Whether its process has the variable (never seen from outside but by a look).
    pub has: Has,
}

/// Whether a process has the variable that its pod's spec lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Has {
    No,
    /// It found the file when it started.
    FromFile,
    /// It asked, and was told so long ago.
    ForItAsked(Secs),
}

/// How a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not started yet.
    Waiting,
    /// Runs, and is ready.
    Running,
    /// Exits soon after each start, or has just done so.
    Down,
}

/// The address book.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Book {
    /// Of each node.
    pub known: Each<Option<Known>>,
    /// The last restart of each node.
    pub notes: Each<Option<Note>>,
}

/// A known address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Known {
    /// The pod and the container that it was learned from.
    pub container: (u8, u8),
    /// Which key.
    pub key: u8,
    /// Since it was learned.
    pub age: Secs,
}

/// A restart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// Of which pod; 0 where it was withdrawn.
    pub uid: u8,
    /// In a row.
    pub attempts: u8,
    /// Since it was decided.
    pub age: Secs,
    /// Since the pod was seen to leave.
    pub left: Option<Secs>,
}

/// A replica of Torch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    /// Which configuration it has taken up.
    pub config: u8,
    /// The book as its watch showed it last.
    pub seen: Book,
    /// Whether that is the newest.
    pub current: bool,
    /// The book as it is to be.
    pub book: Book,
    /// The restarts that it sent to be stored, until they come back.
    pub sent: Each<Option<Note>>,
    /// What it has in mind, where it believes that it leads.
    pub reign: Option<Reign>,
}

/// What a leader remembers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reign {
    /// The pods as its watch showed them last.
    pub view: Each<Option<Pod>>,
    /// What it saw of these and tried with them.
    pub traces: Each<Trace>,
    /// The pods that it surely did not evict.
    pub not_evicted: Each<Option<u8>>,
}

/// What a leader saw of a pod and tried with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trace {
    /// The last look at its process.
    pub look: Option<Look>,
    /// Its eviction.
    pub evict: Evict,
}

/// A look at a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    /// The container that was meant.
    pub instance: u8,
    /// What was seen.
    pub has: bool,
    /// Since then.
    pub age: Secs,
}

/// Trying to evict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Evict {
    /// It is under way.
    pub busy: bool,
    /// Until the next try.
    pub wait: Secs,
    /// The last try was held back, refused, or nobody can tell.
    pub failed: bool,
    /// Refused by a budget.
    pub budget: bool,
}

/// An eviction under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// Whose.
    pub node: u8,
    /// Of which pod.
    pub uid: u8,
    /// As it was seen.
    pub version: u8,
    /// Who asks; nobody where that one forgot it.
    pub from: Option<u8>,
    /// The configuration that it was decided under.
    pub config: u8,
    /// What the API server said.
    pub answer: Option<Answer>,
}

/// What the API server says to an eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// The pod is on its way.
    Done,
    /// That pod is not there any more, or not as it was.
    Gone,
    /// A budget forbids it.
    Refused,
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A restart of a node that has the variable.
    HasVariable,
    /// A restart while another of the group is not over.
    TwoAtATime,
    /// A restart of a pod that was not noted before.
    NotNoted,
    /// A second restart without a pod that came without the variable in between.
    TwiceForNothing,
    /// One more restart before the backoff of the last is over.
    TooSoon,
    /// One more than Torch may try in a row.
    TooOften,
}
