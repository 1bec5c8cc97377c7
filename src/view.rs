//! What readers see: the configuration, the book, and how each node stands.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::{Config, Meshes};
use crate::peers::{Book, Who};
use crate::plan::NodeState;

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
    /// How each of these stands.
    pub nodes: Vec<NodeState>,
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
            .map(|(book, config)| Mesh {
                config: Arc::clone(config),
                book: Arc::new(book),
                nodes: Vec::new(),
            })
            .collect();
        Self::new(config, split, meshes)
    }

    /// Exchanges what is known of one mesh.
    pub fn put(&self, mesh: usize, known: Mesh) {
        self.meshes[mesh].store(Arc::new(known));
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
}
