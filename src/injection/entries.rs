//! What the policy below the webhook reads: pure, configuration and book in, entries of ConfigMaps out.
//!
//! `webhook-config/policy` reads them and says what they look like. A policy sees one ConfigMap at a time,
//! so all entries of a mesh stand in the same.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::config::{Config, Group, Settings, VolumeSource};
use crate::peers::{Address, Book, Known, Who};

/// How many ConfigMaps there may be: those that `deploy/rbac.yaml` names.
pub(super) const MAX_MAPS: usize = 16;

/// How many nodes are in one ConfigMap, if that many are enough. A pod's creation costs a little more with
/// every ConfigMap, and a change of a node with every byte of the one that it is in.
const NODES: usize = 3000;

/// How many bytes the entries of one ConfigMap may be: Kubernetes takes 1 MiB.
const MAX_BYTES: usize = 1000 * 1000;

/// The directory on a volume that is not told another one.
const SUB_PATH: &str = "torch";

/// The entries of one ConfigMap.
pub(super) type Entries = BTreeMap<String, String>;

/// All entries.
#[derive(Default)]
pub(super) struct Injection {
    parts: Vec<Part>,
    maps: Vec<Map>,
}

/// A mesh and its place.
struct Part {
    config: Arc<Config>,
    nodes: usize,
    map: usize,
    /// The number of its first group: they are counted through all meshes.
    first_group: usize,
    fits: bool,
}

#[derive(Default)]
struct Map {
    /// Shared with what is known to be written; taken apart again by the next change.
    entries: Arc<Entries>,
    bytes: usize,
}

impl Injection {
    /// The places of these meshes, with nothing in them yet. They depend on the configuration alone, so
    /// that what is learned later moves no mesh.
    pub fn new(configs: impl IntoIterator<Item = Arc<Config>>) -> Self {
        let (mut nodes, mut groups) = (0, 0);
        let mut part = |config: Arc<Config>| {
            let part =
                Part { nodes: names(&config).count(), map: nodes, first_group: groups, fits: true, config };
            (nodes, groups) = (nodes + part.nodes, groups + part.config.groups.len());
            part
        };
        let mut parts: Vec<Part> = configs.into_iter().map(&mut part).collect();
        let in_each = nodes.div_ceil(MAX_MAPS).max(NODES);
        parts.iter_mut().for_each(|part| part.map /= in_each);
        let maps = parts.last().map_or(0, |part| part.map + 1);
        Self { parts, maps: std::iter::repeat_with(Map::default).take(maps).collect() }
    }

    /// Makes the entries of a mesh those of this book, if there is room for them.
    pub fn put(&mut self, mesh: usize, book: &Book) {
        let part = &mut self.parts[mesh];
        let map = &mut self.maps[part.map];
        let entries = entries(&part.config, book, part.first_group);
        map.remove(entries.keys());
        part.fits = map.bytes + size(&entries) <= MAX_BYTES;
        if part.fits {
            map.add(entries);
        }
    }

    /// How many ConfigMaps there are.
    pub fn maps(&self) -> usize {
        self.maps.len()
    }

    /// The entries of a ConfigMap: none, where it is one too many.
    pub fn entries(&self, map: usize) -> Arc<Entries> {
        self.maps.get(map).map(|map| Arc::clone(&map.entries)).unwrap_or_default()
    }

    /// For how many nodes there is room, and for how many there is none.
    pub fn counts(&self) -> (usize, usize) {
        let nodes = |fits| self.parts.iter().filter(|part| part.fits == fits).map(|part| part.nodes).sum();
        (nodes(true), nodes(false))
    }
}

impl Map {
    fn remove<'a>(&mut self, keys: impl Iterator<Item = &'a String>) {
        let mine = Arc::make_mut(&mut self.entries);
        for key in keys {
            self.bytes -= mine.remove(key).map_or(0, |text| key.len() + text.len());
        }
    }

    fn add(&mut self, entries: Entries) {
        self.bytes += size(&entries);
        Arc::make_mut(&mut self.entries).extend(entries);
    }
}

fn size(entries: &Entries) -> usize {
    entries.iter().map(|(key, text)| key.len() + text.len()).sum()
}

fn entries(config: &Config, book: &Book, first_group: usize) -> Entries {
    let nodes = names(config).map(|name| (name.to_owned(), node_entry(config, name, first_group)));
    let mut earlier: HashMap<&Address, Vec<String>> = HashMap::new();
    let mut entries: Entries = nodes.collect();
    let known = book.by_name();
    for (number, group) in (first_group..).zip(&config.groups) {
        let addresses = addresses(group, &known);
        let lines: Vec<String> =
            addresses.iter().map(|(address, pods)| line(address, pods, &earlier)).collect();
        // The name of a pod or a workload has no underscore.
        entries.insert(format!("group_{number}"), lines.join("\n"));
        for (address, _) in addresses {
            earlier.entry(address).or_default().push(number.to_string());
        }
    }
    entries
}

/// The names in a configuration, each once.
fn names(config: &Config) -> impl Iterator<Item = &str> {
    let mut seen = HashSet::new();
    let peers = config.groups.iter().flat_map(|group| &group.peers);
    peers.map(|peer| peer.node_name.as_str()).filter(move |name| seen.insert(*name))
}

fn node_entry(config: &Config, node_name: &str, first_group: usize) -> String {
    // Its settings and groups by this name alone: the policy puts two names together.
    let who = Who { pod: node_name, workload: None };
    let settings = config.settings(who).expect("the name is from this configuration");
    let (volume, sub_path) = volume(settings);
    let whose = if settings.include_self { "all" } else { "others" };
    let groups: Vec<String> =
        config.groups_of(who).iter().map(|number| (first_group + number).to_string()).collect();
    let lines =
        [&settings.container_name, &settings.trusted_peers_path, &volume, sub_path, whose, &groups.join(" ")];
    lines.join("\n")
}

fn volume(settings: &Settings) -> (String, &str) {
    let Some(volume) = &settings.volume else {
        return ("-".into(), SUB_PATH);
    };
    let source = match &volume.source {
        VolumeSource::ClaimName(claim) => format!("claim {claim}"),
        VolumeSource::Name(name) => format!("volume {name}"),
    };
    (source, &volume.sub_path)
}

/// The known addresses of a group, each once, with the pods that have it.
fn addresses<'a>(
    group: &Group,
    known: &HashMap<&str, Vec<(&'a str, &'a Known)>>,
) -> Vec<(&'a Address, Vec<&'a str>)> {
    let mut addresses: Vec<(&Address, Vec<&str>)> = Vec::new();
    let mut places: HashMap<&Address, usize> = HashMap::new();
    for &(pod, known) in group.peers.iter().filter_map(|peer| known.get(&*peer.node_name)).flatten() {
        let place = *places.entry(&known.address).or_insert(addresses.len());
        if place == addresses.len() {
            addresses.push((&known.address, Vec::new()));
        }
        addresses[place].1.push(pod);
    }
    addresses
}

/// An address, and the groups that have it before this one: a node that is in one of them as well has it
/// from there.
fn line(address: &Address, pods: &[&str], earlier: &HashMap<&Address, Vec<String>>) -> String {
    let mut line = format!("{} {address}", pods.join(","));
    for group in earlier.get(address).into_iter().flatten() {
        line.push(' ');
        line.push_str(group);
    }
    line
}

#[cfg(test)]
mod tests;
