//! What is explored, within which bounds.

use crate::faults::Fault;
use crate::state::Each;

/// Nodes, replicas, and how much may go wrong.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// In words.
    pub name: &'static str,
    /// What is mounted first, and after it was changed.
    pub configs: [&'static str; 2],
    pub nodes: usize,
    /// Whether the nodes run before Torch does.
    pub nodes_first: bool,
    /// Which nodes cannot start without their peers.
    pub needs_peers: Each<bool>,
    pub replicas: usize,
    /// What may go wrong, and how much of it in all, the same more than once included.
    pub may: &'static [Fault],
    pub faults: u8,
    /// Whether all courses of events, and not only one, are followed to their end from every state.
    pub every_course: bool,
}

const PAIR: &str = "mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}]}]";
const TURNED: &str = "mutualPeers: [{peers: [{nodeName: b}, {nodeName: a}]}]";
const THREE: &str = "mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}, {nodeName: c}]}]";
const CHAIN: &str =
    "mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}]}, {peers: [{nodeName: b}, {nodeName: c}]}]";

const FROM_NOTHING: Scenario = Scenario {
    name: "a pair, from nothing on",
    configs: [PAIR, TURNED],
    nodes: 2,
    nodes_first: false,
    needs_peers: [false; 3],
    replicas: 1,
    may: Fault::ALL,
    faults: 1,
    every_course: true,
};

const RUNNING: Scenario =
    Scenario { name: "a pair that runs already", nodes_first: true, every_course: false, ..FROM_NOTHING };

const ONE_NEEDS: Scenario = Scenario {
    name: "a pair of which one cannot start without the other",
    needs_peers: [false, true, false],
    ..FROM_NOTHING
};

const BOTH_NEED: Scenario =
    Scenario { name: "a pair of which neither can", needs_peers: [true; 3], ..ONE_NEEDS };

const ASKING: Scenario = Scenario {
    name: "a pair that asks for its peers",
    may: &[Fault::Ask, Fault::Linger],
    faults: 2,
    ..RUNNING
};

const REFUSED: Scenario = Scenario {
    name: "a pair with a budget, and Torch killed",
    may: &[Fault::Refuse, Fault::Kill],
    faults: 3,
    ..RUNNING
};

const MISSED: Scenario = Scenario {
    name: "a pair whose webhook is away again and again",
    may: &[Fault::WebhookAway],
    faults: 5,
    ..RUNNING
};

const THREE_RUNNING: Scenario =
    Scenario { name: "three in a group, running", configs: [THREE, CHAIN], nodes: 3, ..RUNNING };

const CHAIN_CHANGED: Scenario = Scenario {
    name: "three in two overlapping groups, running",
    configs: [CHAIN, THREE],
    may: &[Fault::Reconfigure, Fault::Refuse],
    ..THREE_RUNNING
};

const TWO_REPLICAS: Scenario = Scenario {
    name: "a pair and two replicas of Torch",
    replicas: 2,
    may: &[Fault::LeaseExpires, Fault::Kill, Fault::Refuse, Fault::Lose],
    ..RUNNING
};

/// All scenarios.
pub const ALL: &[Scenario] = &[
    FROM_NOTHING,
    ONE_NEEDS,
    BOTH_NEED,
    ASKING,
    REFUSED,
    MISSED,
    THREE_RUNNING,
    CHAIN_CHANGED,
    TWO_REPLICAS,
];
