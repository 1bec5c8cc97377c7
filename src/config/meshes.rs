//! The configuration in parts that have nothing to do with each other, so that what happens in one
//! costs nothing in the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::Config;
use crate::peers::{Book, Who};

/// The configuration, split. Groups that share a member, directly or by way of other groups, are in
/// one part: a **mesh**. A copy costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Meshes {
    configs: Arc<[Arc<Config>]>,
    /// `nodeName` → its mesh.
    homes: Arc<HashMap<String, usize>>,
}

impl Meshes {
    /// Splits a configuration; the meshes are in the order of their first groups.
    pub fn of(config: &Config) -> Self {
        let mut sets = Sets::new(config.groups.len());
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (name, group) in names(config) {
            sets.join(*first.entry(name).or_insert(group), group);
        }
        // A pod `da-0` may be configured by its own name, and by that of its workload `da`.
        for (name, &group) in &first {
            for workload in prefixes(name) {
                first.get(workload).inspect(|other| sets.join(**other, group));
            }
        }
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for group in 0..config.groups.len() {
            parts.entry(sets.root(group)).or_default().push(group);
        }
        let parts =
            parts.into_values().map(|groups| groups.into_iter().map(|g| Arc::clone(&config.groups[g])));
        let configs: Arc<[_]> = parts.map(|groups| Arc::new(Config::new(groups.collect()))).collect();
        let homes = configs.iter().enumerate().flat_map(|(mesh, config)| {
            names(config).map(move |(name, _)| (name.to_owned(), mesh)).collect::<Vec<_>>()
        });
        let homes = Arc::new(homes.collect());
        Self { configs, homes }
    }

    /// The configuration of each mesh.
    pub fn configs(&self) -> &[Arc<Config>] {
        &self.configs
    }

    /// The mesh of a pod, if the configuration names it.
    pub fn home(&self, who: Who<'_>) -> Option<usize> {
        let of = |name: &str| self.homes.get(name).copied();
        of(who.pod).or_else(|| of(who.workload?))
    }

    /// The mesh that a pod of this name would be in, by the way in which workloads name their pods.
    pub fn home_of_name(&self, pod: &str) -> Option<usize> {
        std::iter::once(pod).chain(prefixes(pod)).find_map(|name| self.homes.get(name).copied())
    }

    /// What a book says of each mesh; what no mesh has a place for is left out.
    pub fn split(&self, book: &Book) -> Vec<Book> {
        let mut books = vec![Book::default(); self.configs.len()];
        for (pod, known) in &book.nodes {
            if let Some(mesh) = self.home(known.who(pod)) {
                books[mesh].nodes.insert(pod.clone(), known.clone());
            }
        }
        for (key, restart) in &book.restarts {
            if let Some(mesh) = self.home(restart.who()) {
                books[mesh].restarts.insert(key.clone(), restart.clone());
            }
        }
        books
    }
}

fn names(config: &Config) -> impl Iterator<Item = (&str, usize)> {
    let groups = config.groups.iter().enumerate();
    groups.flat_map(|(g, group)| group.peers.iter().map(move |peer| (peer.node_name.as_str(), g)))
}

/// The names of workloads that a pod of this name may belong to, the longest first.
fn prefixes(pod: &str) -> impl Iterator<Item = &str> {
    pod.rmatch_indices('-').map(|(end, _)| &pod[..end])
}

/// Disjoint sets of numbers; the smallest of each stands for all.
struct Sets(Vec<usize>);

impl Sets {
    fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    fn root(&mut self, mut of: usize) -> usize {
        while self.0[of] != of {
            self.0[of] = self.0[self.0[of]];
            of = self.0[of];
        }
        of
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn meshes(groups: &str) -> Vec<String> {
        let meshes = Meshes::of(&parse(&format!("mutualPeers: [{groups}]")).unwrap());
        let names = |config: &Arc<Config>| config.groups.iter().map(|g| g.name.clone()).collect::<Vec<_>>();
        meshes.configs().iter().map(|config| names(config).join(" ")).collect()
    }

    #[test]
    fn groups_that_share_a_member_are_one_mesh() {
        let group = |a: &str, b: &str| format!("{{peers: [{{nodeName: {a}}}, {{nodeName: {b}}}]}}");
        assert_eq!(meshes(&[group("a", "b"), group("c", "d")].join(", ")), ["group-1", "group-2"]);
        let chain = [group("a", "b"), group("x", "y"), group("c", "d"), group("b", "c")];
        assert_eq!(meshes(&chain.join(", ")), ["group-1 group-3 group-4", "group-2"]);
        assert_eq!(meshes(&[group("da", "b"), group("da-0", "c")].join(", ")), ["group-1 group-2"]);
    }

    #[test]
    fn a_pod_finds_its_mesh_by_its_own_name_its_workloads_or_what_it_may_belong_to() {
        let config = parse("mutualPeers: [{peers: [{nodeName: a}]}, {peers: [{nodeName: b-c}]}]").unwrap();
        let meshes = Meshes::of(&config);
        let home = |pod, workload| meshes.home(Who { pod, workload });
        assert_eq!([home("a", None), home("x", Some("b-c")), home("b-c-0", None)], [Some(0), Some(1), None]);
        assert_eq!(meshes.home_of_name("b-c-5f7d9-x2"), Some(1));
        assert_eq!(meshes.home_of_name("b"), None);
    }
}
