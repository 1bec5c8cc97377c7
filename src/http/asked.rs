//! What the names in a request mean, by the configuration and by what is known.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::peers::{Address, Who, join, ordinal_order};
use crate::plan::NodeState;
use crate::view::{Mesh, Snapshot};

/// Those of the names that are in one mesh.
pub(super) struct Asked {
    mesh: Arc<Mesh>,
    names: Vec<Name>,
    /// The groups that one of these is in.
    groups: BTreeSet<usize>,
}

/// A name, and the pod that it stands for.
#[derive(Clone)]
struct Name {
    text: String,
    pod: String,
    workload: Option<String>,
}

impl Name {
    fn who(&self) -> Who<'_> {
        Who { pod: &self.pod, workload: self.workload.as_deref() }
    }
}

/// What the node of a name is given, not made yet: of all of them it may be too much at once.
pub(super) struct Given {
    name: Name,
    mesh: Arc<Mesh>,
}

impl Given {
    /// The name that was asked for.
    pub fn name(&self) -> &str {
        &self.name.text
    }

    /// The value of its `TRUSTED_PEERS`.
    pub fn value(&self) -> String {
        join(&self.mesh.trusted_peers(self.name.who()))
    }
}

/// Finds what names mean, mesh by mesh.
///
/// # Errors
/// The names that mean no configured pod or node.
pub(super) fn find<'n>(snapshot: &Snapshot, names: &'n [String]) -> Result<Vec<Asked>, Vec<&'n str>> {
    let mut meshes: BTreeMap<*const Mesh, (Arc<Mesh>, Vec<&str>)> = BTreeMap::new();
    for name in names {
        if let Some(mesh) = snapshot.mesh_of_name(name) {
            meshes.entry(Arc::as_ptr(&mesh)).or_insert_with(|| (mesh, Vec::new())).1.push(name);
        }
    }
    let asked: Vec<Asked> = meshes.into_values().map(|(mesh, names)| Asked::of(mesh, &names)).collect();
    let meant: HashSet<&str> = asked.iter().flat_map(|asked| &asked.names).map(|name| &*name.text).collect();
    let unknown: Vec<&str> = names.iter().map(String::as_str).filter(|name| !meant.contains(name)).collect();
    if unknown.is_empty() { Ok(asked) } else { Err(unknown) }
}

impl Asked {
    fn of(mesh: Arc<Mesh>, names: &[&str]) -> Self {
        let index = Index::of(&mesh);
        let (mut meant, mut all_groups) = (Vec::new(), BTreeSet::new());
        for text in names {
            let who = index.stands_for(text);
            let groups = mesh.config.groups_of(who);
            if !groups.is_empty() {
                let (pod, workload) = (who.pod.to_owned(), who.workload.map(String::from));
                meant.push(Name { text: (*text).to_owned(), pod, workload });
                all_groups.extend(groups);
            }
        }
        Self { names: meant, groups: all_groups, mesh }
    }

    /// What the node of each name is given, as of now.
    pub fn given(&self) -> impl Iterator<Item = Given> {
        self.names.iter().map(|name| Given { name: name.clone(), mesh: Arc::clone(&self.mesh) })
    }

    /// Every known address of the members of their groups.
    pub fn addresses(&self) -> impl Iterator<Item = (String, Address)> {
        let Mesh { config, book, .. } = &*self.mesh;
        let is_member = |who: Who<'_>| config.groups_of(who).iter().any(|group| self.groups.contains(group));
        let members = book.nodes.iter().filter(move |(pod, known)| is_member(known.who(pod)));
        members.map(|(pod, known)| (pod.clone(), known.address.clone()))
    }

    /// The pods of their groups that are there and not known.
    pub fn unknown(&self) -> impl Iterator<Item = String> {
        let Mesh { config, nodes, .. } = &*self.mesh;
        let groups: HashSet<&str> = self.groups.iter().map(|&group| &*config.groups[group].name).collect();
        let unknown = nodes.iter().filter(|node| node.address.is_none() && node.phase == "Running");
        let is_member = move |node: &&NodeState| node.groups.iter().any(|group| groups.contains(&**group));
        unknown.filter(is_member).map(|node| node.pod.clone())
    }
}

/// The nodes of a mesh by their names.
struct Index<'a> {
    mesh: &'a Mesh,
    by_pod: HashMap<&'a str, &'a NodeState>,
    /// `nodeName` → its first pod.
    firsts: HashMap<&'a str, &'a str>,
}

impl<'a> Index<'a> {
    fn of(mesh: &'a Mesh) -> Self {
        let mut firsts: HashMap<&str, &str> = HashMap::new();
        for node in &mesh.nodes {
            let first = firsts.entry(&node.node).or_insert(&node.pod);
            if ordinal_order(&node.pod) < ordinal_order(first) {
                *first = &node.pod;
            }
        }
        Self { mesh, by_pod: mesh.nodes.iter().map(|node| (&*node.pod, node)).collect(), firsts }
    }

    /// A name as the configuration sees it: a pod that is there, was or will be, or a `nodeName`.
    fn who(&self, name: &'a str) -> Who<'a> {
        let Mesh { config, book, .. } = self.mesh;
        let there = self.by_pod.get(name).and_then(|node| node.workload.as_deref());
        let was = || book.nodes.get(name).and_then(|known| known.workload.as_deref());
        let is_configured = !config.groups_of(Who { pod: name, workload: None }).is_empty();
        let will_be = || set_of(name).filter(|_| !is_configured);
        Who { pod: name, workload: there.or_else(was).or_else(will_be) }
    }

    /// Whom a name stands for: a `nodeName` that is not a pod's, for its first pod.
    fn stands_for(&self, name: &'a str) -> Who<'a> {
        self.who(self.firsts.get(name).copied().unwrap_or(name))
    }
}

/// The StatefulSet of a pod that may be too new to have been seen.
fn set_of(name: &str) -> Option<&str> {
    let (set, ordinal) = name.rsplit_once('-')?;
    ordinal.parse::<u32>().is_ok().then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::peers::{Book, Known};

    const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

    fn known(host: &str, workload: &str) -> Known {
        let address = format!("/dns/{host}/tcp/2121/p2p/{PEER}").parse().unwrap();
        Known {
            address,
            workload: Some(workload.into()),
            container: "c".into(),
            learned: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_nodes_groups_are_those_of_the_pod_that_it_stands_for() {
        let config = config::parse(
            "mutualPeers: [{peers: [{nodeName: solo}, {nodeName: a}]}, {peers: [{nodeName: solo-0}, {nodeName: b}]}]",
        );
        let nodes = ["solo", "a", "b"].map(|set| (format!("{set}-0"), known(set, set)));
        let book = Book { nodes: nodes.into(), ..Book::default() };
        let snapshot = Snapshot::begin(Arc::new(config.unwrap()), &book);
        let solo = NodeState {
            pod: "solo-0".into(),
            node: "solo".into(),
            workload: Some("solo".into()),
            ..NodeState::default()
        };
        let mesh = snapshot.mesh_of_name("solo").unwrap();
        let mesh = Mesh { nodes: vec![solo], ..Mesh::new(Arc::clone(&mesh.config), Arc::clone(&mesh.book)) };
        snapshot.put(0, mesh, jiff::Timestamp::UNIX_EPOCH);

        let names = ["solo".to_owned()];
        let found = find(&snapshot, &names).ok().unwrap();
        let value = found[0].given().next().unwrap().value();
        let others: Vec<&str> = value.split(',').collect();
        let addresses: BTreeMap<String, Address> = found[0].addresses().collect();
        assert_eq!(others, [addresses["a-0"].as_str(), addresses["b-0"].as_str()]);
        assert_eq!(addresses.keys().collect::<Vec<_>>(), ["a-0", "b-0", "solo-0"]);
        assert_eq!(find(&snapshot, &["x".to_owned()]).err(), Some(vec!["x"]));
    }
}
