//! Who of each group is known.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::Config;
use crate::peers::{Address, Book, Known, Pods, Who, ordinal_order};

/// What a book says of each group of a configuration: what concerns one group does not cost a look at all others,
/// with which it may be in one mesh.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    groups: Box<[Members]>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Members {
    /// The addresses that are known, each once, in the order of the configuration.
    addresses: Box<[Address]>,
    /// When the last of them was learned.
    learned: Option<Timestamp>,
    /// The places in the group of which no pod is known.
    unknown: Box<[usize]>,
}

/// (Group, place in it) → who is missing there.
pub type Missing<'a> = BTreeMap<(usize, usize), Vec<&'a str>>;

impl Roster {
    /// The roster of these.
    pub fn of(config: &Config, book: &Book) -> Self {
        let mut known: Vec<Vec<(usize, &str, &Known)>> = vec![Vec::new(); config.groups.len()];
        for (pod, of_pod) in &book.nodes {
            for &(group, place) in config.places_of(of_pod.who(pod)) {
                known[group].push((place, pod, of_pod));
            }
        }
        let groups = config.groups.iter().zip(known);
        Self { groups: groups.map(|(group, known)| Members::of(group.peers.len(), known)).collect() }
    }

    /// What a node is given: the known addresses of its groups' other members, each once, in the order of the
    /// configuration. The configuration and the book must be those that this was made of.
    pub fn trusted_peers(&self, config: &Config, book: &Book, who: Who<'_>) -> Vec<&Address> {
        let include_self = config.settings(who).is_some_and(|s| s.include_self);
        let own = book.nodes.get(who.pod).map(|known| &known.address).filter(|_| !include_self);
        let groups = config.groups_of(who);
        let addresses = groups.iter().flat_map(|&group| &self.groups[group].addresses);
        let others = addresses.filter(|&address| Some(address) != own);
        if groups.len() < 2 {
            return others.collect();
        }
        let mut given = HashSet::new();
        others.filter(|&address| given.insert(address)).collect()
    }

    /// When the last address in these groups was learned.
    pub fn last_learned(&self, groups: &[usize]) -> Option<Timestamp> {
        groups.iter().filter_map(|&group| self.groups[group].learned).max()
    }

    /// The members of each group that keep it from being complete: those of which no address is known,
    /// and the pods there are of which none is.
    pub fn missing<'a>(&self, config: &'a Config, book: &Book, pods: &'a Pods) -> Missing<'a> {
        let mut missing = Missing::new();
        for pod in pods.values().filter(|pod| !book.nodes.contains_key(&pod.name)) {
            for &place in config.places_of(pod.who()) {
                missing.entry(place).or_default().push(&pod.name);
            }
        }
        for (group, members) in self.groups.iter().enumerate() {
            for &place in &members.unknown {
                let name = || vec![&*config.groups[group].peers[place].node_name];
                missing.entry((group, place)).or_insert_with(name);
            }
        }
        missing
    }
}

impl Members {
    /// Of a group of so many places, and of who is known at which.
    fn of(places: usize, mut known: Vec<(usize, &str, &Known)>) -> Self {
        known.sort_unstable_by_key(|&(place, pod, _)| (place, ordinal_order(pod)));
        let taken: HashSet<usize> = known.iter().map(|&(place, ..)| place).collect();
        let mut given = HashSet::new();
        let addresses = known.iter().map(|(.., of_pod)| &of_pod.address);
        Self {
            addresses: addresses.filter(|&address| given.insert(address)).cloned().collect(),
            learned: known.iter().map(|(.., of_pod)| of_pod.learned).max(),
            unknown: (0..places).filter(|place| !taken.contains(place)).collect(),
        }
    }
}
