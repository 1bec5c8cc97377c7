//! What a fault must leave as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bed::Bed;
use crate::kubectl;
use crate::node::Node;
use crate::pods::Pod;
use crate::report::{self, Seen};
use crate::torch::{PAIR, Torch};
use crate::wait::{SOON, check, eventually};

/// The nodes of [`PAIR`].
pub const NODES: [&str; 2] = ["da-bridge-1", "da-full-1"];

/// How long nothing may happen once all is right again: a restart that was decided on comes sooner.
const QUIET: Duration = Duration::from_secs(12);

/// How it stands with a pair before a fault.
pub struct Account {
    pods: BTreeSet<String>,
    addresses: BTreeMap<String, String>,
    restarts_of_torch: u64,
}

/// How a fault must end.
pub struct End {
    /// What went wrong.
    pub fault: String,
    /// What was seen of it.
    pub what: String,
    /// How many new pods each node got by the test's own hand.
    pub own: [usize; 2],
    /// How long it may take until all is right again.
    pub within: Duration,
    /// How often a container of Torch's was killed by the test.
    pub kills: u64,
}

/// A pair that was early and got its restart each.
pub fn settled<'a>(bed: &'a Bed, nodes: &[Node; 2]) -> (Torch<'a>, Account) {
    bed.start_ready(nodes);
    let torch = Torch::deploy(bed, PAIR);
    eventually("the pair is settled", SOON, || right(bed, &torch));
    bed.assert_restarts(NODES.map(|node| (node, 1)));
    let account = Account::open(bed, &torch);
    (torch, account)
}

/// Whether all is as it should be: both nodes have their variable, wait for nothing, are reachable by their
/// addresses and connected, and the book has them as they are now.
pub fn right(bed: &Bed, torch: &Torch) -> Result<(), String> {
    let history = bed.pods.now();
    let mut replicas = history.all_of_torch().filter(|pod| pod.stays());
    replicas.find(|pod| !pod.is_ready()).map_or(Ok(()), |pod| Err(format!("{} is not ready", pod.name())))?;
    torch.leader()?;
    torch.trust()?;
    let book = kubectl::get(bed.name(), "configmap/torch-book")?.to_string();
    for node in NODES {
        let container = history.ready(node)?.text("/status/containerStatuses/0/containerID");
        check(book.contains(container), || format!("{node}: {container} is not in {book}"))?;
        let seen = torch.node(node)?;
        let is_right = seen["variable"] != Value::Null
            && seen["waitsFor"] == Value::Null
            && seen["reach"]["state"] == "reachable";
        check(is_right, || seen.to_string())?;
    }
    bed.connected(NODES[0], NODES[1])
}

impl Account {
    pub fn open(bed: &Bed, torch: &Torch) -> Self {
        let history = bed.pods.now();
        let gone = NODES.iter().flat_map(|node| history.of(node)).filter(|pod| !pod.stays());
        Self {
            pods: gone.map(|pod| pod.uid().to_owned()).collect(),
            addresses: addresses(torch),
            restarts_of_torch: restarts_of_torch(bed),
        }
    }

    /// Adds the addresses that the book has by now.
    pub fn with_addresses(self, torch: &Torch) -> Self {
        Self { addresses: addresses(torch), ..self }
    }

    /// Since `begun`, when what was wrong was mended, all must become right again in time, and stay so.
    #[track_caller]
    pub fn close(&self, bed: &Bed, torch: &Torch, begun: Instant, end: End) {
        let End { fault, what, own, within, kills } = end;
        eventually(&format!("all is right again after: {fault}"), within, || right(bed, torch));
        let again = begun.elapsed();
        bed.pods.stay_as_they_are(QUIET);
        let [a, b] = [0, 1].map(|i| self.count(bed, NODES[i], own[i]));
        let addresses = addresses(torch);
        let is_lost = |(pod, address): &(&String, &String)| addresses.get(*pod) != Some(*address);
        let seen = Seen {
            what,
            again,
            within,
            early: a.early + b.early,
            restarts: a.restarts + b.restarts,
            lost: self.addresses.iter().filter(is_lost).count(),
            fault,
        };
        let fault = &seen.fault;
        assert_eq!((a.early, b.early), (a.restarts, b.restarts), "{fault}: {:#?}", bed.pods.now().trace());
        assert_eq!(seen.lost, 0, "{fault}: {:?} became {addresses:?}", self.addresses);
        let restarts = restarts_of_torch(bed) - self.restarts_of_torch;
        assert_eq!(restarts, kills, "{fault}: Torch's own containers were restarted");
        report::add(seen);
    }

    /// Counts a node's pods since the account was opened, but those that it got by the test's own hand.
    fn count(&self, bed: &Bed, node: &str, own: usize) -> Count {
        let history = bed.pods.now();
        let pods: Vec<&Pod> =
            history.of(node).into_iter().filter(|pod| !self.pods.contains(pod.uid())).collect();
        let early = pods.iter().filter(|pod| pod.variable("TRUSTED_PEERS").is_none()).count();
        Count { early, restarts: pods.len().saturating_sub(1 + own) }
    }
}

struct Count {
    early: usize,
    restarts: usize,
}

fn restarts_of_torch(bed: &Bed) -> u64 {
    bed.pods.now().all_of_torch().map(|pod| pod.container_restarts()).sum()
}

/// Of each pod that the book knows.
fn addresses(torch: &Torch) -> BTreeMap<String, String> {
    let book = torch.book();
    let entries = book.as_object().into_iter().flatten();
    entries
        .filter_map(|(key, entry)| {
            let known: Value = serde_json::from_str(entry.as_str()?).ok()?;
            Some((key.strip_prefix("node_")?.to_owned(), known["address"].as_str()?.to_owned()))
        })
        .collect()
}
