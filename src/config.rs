//! The configuration: which nodes trust each other, and how to treat them.
//!
//! [`parse`] reads the file strictly and resolves it: every peer of the result carries its settings
//! in full, whether they were written at the peer, the group or the file.

mod file;
mod meshes;
mod roster;

use std::sync::Arc;

// Each admission looks some up. Names are the operator's own, and a node has one address: nobody can make many collide.
use foldhash::{HashMap, HashMapExt as _};
use jiff::SignedDuration;
use serde::{Serialize, Serializer};

use crate::peers::{Address, Who};

#[cfg(test)]
pub(crate) use file::schema;
pub use file::{Problem, Problems, parse};
pub use meshes::Meshes;
pub use roster::{Missing, Roster};

/// The largest configuration file taken, in bytes.
pub const MAX_FILE: usize = 4 * 1024 * 1024;

/// The port of libp2p in a celestia-node.
pub const P2P_PORT: u16 = 2121;

/// The port of JSON-RPC in a celestia-node.
pub const RPC_PORT: u16 = 26658;

/// A configuration without faults.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The groups, in the order of the file.
    #[serde(rename = "mutualPeers", serialize_with = "all_shared")]
    #[cfg_attr(test, schemars(with = "Vec<Group>"))]
    pub groups: Vec<Arc<Group>>,
    /// `nodeName` → where it stands: (group, place in it), in the order of the file.
    #[serde(skip)]
    places: HashMap<String, Vec<(usize, usize)>>,
}

fn all_shared<T: Serialize, S: Serializer>(all: &[Arc<T>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(Arc::as_ref))
}

fn shared<T: Serialize + ?Sized, S: Serializer>(one: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    T::serialize(one, serializer)
}

/// Nodes of which each trusts every other.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Group {
    /// Its name: as written, else `group-<n>`, counted from 1.
    pub name: String,
    /// Its members.
    pub peers: Vec<Peer>,
}

/// A member of a group: a pod, or all pods of a workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Peer {
    /// A pod's name, or that of the StatefulSet or Deployment that owns it.
    pub node_name: String,
    /// How to treat it; shared by all for which the file says nothing else.
    #[serde(flatten, serialize_with = "shared")]
    #[cfg_attr(test, schemars(with = "Settings"))]
    pub settings: Arc<Settings>,
}

/// How a node is treated.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Settings {
    /// The container in which the node runs.
    pub container_name: String,
    /// The directory of the file `TRUSTED_PEERS` in that container.
    pub trusted_peers_path: String,
    /// The host of its address; `{pod}` in it stands for the pod's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its TCP port for libp2p.
    pub port: u16,
    /// The volume that keeps the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// How to learn its peer id: one after the other, until one succeeds.
    #[serde(serialize_with = "shared")]
    #[cfg_attr(test, schemars(with = "[Probe]"))]
    pub probe: Arc<[Probe]>,
    /// Whether its own address stands in its own list.
    pub include_self: bool,
    /// When it is restarted.
    pub restart: RestartPolicy,
}

/// The volume on which the file is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Volume {
    /// Which one.
    #[serde(flatten)]
    pub source: VolumeSource,
    /// The directory on it.
    pub sub_path: String,
}

/// Which volume.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum VolumeSource {
    /// A PersistentVolumeClaim; its volume is added to the pod where it has none of it.
    ClaimName(String),
    /// A volume that the pod has.
    Name(String),
}

/// A way to learn a node's peer id.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Probe {
    /// Connect to the p2p port: the node proves its id in the Noise handshake.
    Dial,
    /// Run a command in the container and read what it prints.
    Exec(Vec<String>),
    /// Read the container's log.
    Log,
    /// Ask the node's JSON-RPC for `p2p.Info`.
    Rpc {
        /// Its port.
        port: u16,
        /// Where the token is, if it needs one.
        #[serde(rename = "tokenSecret", skip_serializing_if = "Option::is_none")]
        token: Option<SecretKey>,
    },
    /// Nothing to learn: the address is this.
    Address(Address),
}

/// An entry of a Secret in Torch's namespace.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SecretKey {
    /// The Secret's name.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// When a node is restarted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RestartPolicy {
    /// It runs without the variable.
    pub early: bool,
    /// Its variable lacks a peer that is known by now.
    pub partial: bool,
    /// Its variable holds an address that is no longer right.
    pub changed: bool,
    /// How long to wait, after the last address was learned, for a group that is not complete.
    #[serde(serialize_with = "file::duration")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub settle: SignedDuration,
}

impl Config {
    fn new(groups: Vec<Arc<Group>>) -> Self {
        let mut places: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (g, group) in groups.iter().enumerate() {
            for (p, peer) in group.peers.iter().enumerate() {
                // Most nodes are in one group.
                let of_node = places.entry(peer.node_name.clone()).or_insert_with(|| Vec::with_capacity(1));
                of_node.push((g, p));
            }
        }
        Self { groups, places }
    }

    /// How a pod is treated, if the configuration names it. An entry of the pod's own name comes
    /// before one of its workload.
    pub fn settings(&self, who: Who<'_>) -> Option<&Settings> {
        let &(group, place) = self.places_of(who).next()?;
        Some(&self.groups[group].peers[place].settings)
    }

    /// The groups of a pod, in the order of the file, each once.
    pub fn groups_of(&self, who: Who<'_>) -> Vec<usize> {
        let mut groups: Vec<usize> = self.places_of(who).map(|&(group, _)| group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// Where a pod stands in the file, for the order of restarts.
    pub fn place(&self, who: Who<'_>) -> Option<(usize, usize)> {
        self.places_of(who).min().copied()
    }

    /// Where each group stands in the file, by its name.
    pub fn group_places(&self) -> HashMap<&str, usize> {
        self.groups.iter().enumerate().map(|(place, group)| (group.name.as_str(), place)).collect()
    }

    fn places_of<'a>(&'a self, who: Who<'a>) -> impl Iterator<Item = &'a (usize, usize)> {
        let of = |name: &str| self.places.get(name).map_or(&[][..], Vec::as_slice);
        of(who.pod).iter().chain(who.workload.map_or(&[][..], of))
    }
}
