//! What readers see: the configuration, the book, and how each node stands.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;

use crate::config::{Config, Meshes, Roster};
use crate::peers::{Address, Book, Who};
use crate::plan::{NodeState, Wait};

/// The snapshot, for any number of readers.
pub type View = Arc<ArcSwap<Snapshot>>;

/// All that is known by one configuration.
#[derive(Default)]
pub struct Snapshot {
    /// The configuration in force.
    pub config: Arc<Config>,
    split: Meshes,
    meshes: Vec<ArcSwap<Mesh>>,
}

/// What is known of one mesh, all of it of one moment.
#[derive(Default)]
pub struct Mesh {
    /// The groups of the mesh.
    pub config: Arc<Config>,
    /// What the book says of their members.
    pub book: Arc<Book>,
    /// The same, group by group.
    pub roster: Roster,
    /// How each of these stands.
    pub nodes: Vec<NodeState>,
}

impl Mesh {
    /// Before anything was seen of its pods.
    pub fn new(config: Arc<Config>, book: Arc<Book>) -> Self {
        let roster = Roster::of(&config, &book);
        Self { config, book, roster, nodes: Vec::new() }
    }

    /// What a node is given as of now.
    pub fn trusted_peers(&self, who: Who<'_>) -> Vec<&Address> {
        self.roster.trusted_peers(&self.config, &self.book, who)
    }

    fn is_other_than(&self, before: &Self) -> bool {
        // The roster is made of the first two.
        let Self { config, book, roster: _, nodes } = self;
        !Arc::ptr_eq(config, &before.config) || !Arc::ptr_eq(book, &before.book) || *nodes != before.nodes
    }
}

impl Snapshot {
    /// The view on these meshes, which are those of `split`, in its order.
    pub fn new(config: Arc<Config>, split: Meshes, meshes: impl IntoIterator<Item = Mesh>) -> Self {
        Self { config, split, meshes: meshes.into_iter().map(ArcSwap::from_pointee).collect() }
    }

    /// Of a configuration and a book, before anything was seen of the pods.
    pub fn begin(config: Arc<Config>, book: &Book) -> Self {
        let split = Meshes::of(&config);
        let meshes: Vec<Mesh> = split
            .split(book)
            .into_iter()
            .zip(split.configs())
            .map(|(book, config)| Mesh::new(Arc::clone(config), Arc::new(book)))
            .collect();
        Self::new(config, split, meshes)
    }

    /// Exchanges what is known of one mesh, as of `now`: who waits for the same as before does so since then.
    /// Says whether anything is other than before.
    pub fn put(&self, mesh: usize, mut known: Mesh, now: Timestamp) -> bool {
        let place = &self.meshes[mesh];
        let before = place.load();
        let reason = |node: &NodeState| node.waits_for.as_ref().map(Wait::reason);
        let waited: HashMap<_, _> =
            before.nodes.iter().filter_map(|n| Some(((n.pod.as_str(), reason(n)?), n.since?))).collect();
        for node in &mut known.nodes {
            node.since = reason(node).map(|why| *waited.get(&(node.pod.as_str(), why)).unwrap_or(&now));
        }
        let is_other = known.is_other_than(&before);
        if is_other {
            place.store(Arc::new(known));
        }
        is_other
    }

    /// The mesh of a pod, if the configuration names it.
    pub fn mesh(&self, who: Who<'_>) -> Option<Arc<Mesh>> {
        Some(self.meshes[self.split.home(who)?].load_full())
    }

    /// The mesh that a pod of this name would be in.
    pub fn mesh_of_name(&self, pod: &str) -> Option<Arc<Mesh>> {
        Some(self.meshes[self.split.home_of_name(pod)?].load_full())
    }

    /// All meshes, in the order of the configuration.
    pub fn meshes(&self) -> impl Iterator<Item = Arc<Mesh>> {
        self.meshes.iter().map(ArcSwap::load_full)
    }

    /// The nodes of `meshes`, in the order of the configuration's groups.
    pub fn in_order<'a>(&self, meshes: &'a [Arc<Mesh>]) -> Vec<&'a NodeState> {
        let places = self.config.group_places();
        let mut nodes: Vec<&NodeState> = meshes.iter().flat_map(|mesh| &mesh.nodes).collect();
        nodes.sort_by_key(|node| node.groups.first().and_then(|group| places.get(group.as_str())));
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_goes_on_until_it_is_for_something_else() {
        let config = crate::config::parse("mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}]}]");
        let snapshot = Snapshot::begin(Arc::new(config.unwrap()), &Book::default());
        let since = |seconds: i64, waits_for: Option<Wait>| {
            let node = NodeState { waits_for, ..NodeState::default() };
            let known = Mesh { nodes: vec![node], ..Mesh::default() };
            snapshot.put(0, known, Timestamp::constant(seconds, 0));
            snapshot.meshes().next().unwrap().nodes[0].since.map(Timestamp::as_second)
        };
        assert_eq!(since(1, Some(Wait::Address { why: None })), Some(1));
        assert_eq!(since(2, Some(Wait::Address { why: Some("refused".into()) })), Some(1));
        assert_eq!(since(3, Some(Wait::Peers)), Some(3));
        assert_eq!(since(4, None), None);
        assert_eq!(since(5, Some(Wait::Peers)), Some(5));
    }

    #[test]
    fn what_is_as_before_is_no_news() {
        let config = crate::config::parse("mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}]}]");
        let snapshot = Snapshot::begin(Arc::new(config.unwrap()), &Book::default());
        let before = snapshot.meshes().next().unwrap();
        let (config, book) = (Arc::clone(&before.config), Arc::clone(&before.book));
        let put = |waits_for: Option<Wait>, book: &Arc<Book>, seconds: i64| {
            let nodes = vec![NodeState { waits_for, ..NodeState::default() }];
            let known = Mesh { nodes, ..Mesh::new(Arc::clone(&config), Arc::clone(book)) };
            snapshot.put(0, known, Timestamp::constant(seconds, 0))
        };
        assert_eq!([put(Some(Wait::Peers), &book, 1), put(Some(Wait::Peers), &book, 2)], [true, false]);
        assert_eq!([put(None, &book, 3), put(None, &book, 4)], [true, false]);
        assert_eq!([put(None, &Arc::default(), 5), put(None, &Arc::default(), 6)], [true; 2]);
    }
}
