//! What the names in a request mean, by the configuration and by what is known.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::peers::{Address, Who, join, ordinal_order};
use crate::plan::NodeState;
use crate::view::{Mesh, Snapshot};

/// Those of the names that are in one mesh.
pub(super) struct Asked {
    mesh: Arc<Mesh>,
    names: Vec<String>,
    /// The groups that one of these is in.
    groups: BTreeSet<usize>,
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
    let meant: HashSet<&String> = asked.iter().flat_map(|asked| &asked.names).collect();
    let unknown: Vec<&str> = names.iter().filter(|name| !meant.contains(name)).map(String::as_str).collect();
    if unknown.is_empty() { Ok(asked) } else { Err(unknown) }
}

impl Asked {
    fn of(mesh: Arc<Mesh>, names: &[&str]) -> Self {
        let index = Index::of(&mesh);
        let (mut meant, mut all_groups) = (Vec::new(), BTreeSet::new());
        for name in names {
            let groups = mesh.config.groups_of(index.who(name));
            if !groups.is_empty() {
                meant.push((*name).to_owned());
                all_groups.extend(groups);
            }
        }
        Self { names: meant, groups: all_groups, mesh }
    }

    /// The value for each name.
    pub fn values(&self) -> impl Iterator<Item = (String, String)> {
        let index = Index::of(&self.mesh);
        self.names.iter().map(move |name| (name.clone(), index.value(name)))
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

    /// What it is given. A `nodeName` that is not a pod's stands for its first pod.
    fn value(&self, name: &'a str) -> String {
        let pod = self.firsts.get(name).copied().unwrap_or(name);
        join(&self.mesh.trusted_peers(self.who(pod)))
    }
}

/// The StatefulSet of a pod that may be too new to have been seen.
fn set_of(name: &str) -> Option<&str> {
    let (set, ordinal) = name.rsplit_once('-')?;
    ordinal.parse::<u32>().is_ok().then_some(set)
}
