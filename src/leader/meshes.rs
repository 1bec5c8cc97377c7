//! The state of each mesh, and the way of every pod to its own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cluster::Change;
use crate::config::{self, Config, Settings};
use crate::peers::{Book, Pod, Pods, Restart};
use crate::plan::{self, Books};

/// A mesh: groups that share members. Nothing that happens in one mesh concerns another.
#[derive(Default)]
pub(super) struct Mesh {
    pub config: Arc<Config>,
    pub pods: Pods,
    /// What is known, saved or not.
    pub book: Arc<Book>,
    /// The book as the watch on its ConfigMap last showed it.
    pub stored: Arc<Book>,
    /// The restarts that were sent to be stored last.
    pub sent: BTreeMap<String, Restart>,
    /// Why its part of the book cannot be saved, if it cannot.
    pub unsaved: Option<String>,
    /// When something becomes due.
    pub wake: Option<Timestamp>,
    /// How many of its nodes are known, and how many are not.
    pub counts: (usize, usize),
}

impl Mesh {
    /// The pods whose restart is noted where no crash can lose it.
    pub fn noted(&self) -> HashSet<String> {
        self.stored.restarts.values().map(|restart| restart.uid.clone()).collect()
    }

    /// Whether something is not stored yet.
    pub fn is_unsaved(&self) -> bool {
        !Arc::ptr_eq(&self.book, &self.stored) && self.book != self.stored
    }

    /// Takes in what is stored by now.
    pub fn take(&mut self, theirs: Book, leads: bool) {
        if theirs == *self.stored {
            return;
        }
        let books = Books { mine: &self.book, before: &self.stored, sent: &self.sent, leads };
        let book = plan::merge(books, &theirs);
        self.sent.clear();
        self.stored = Arc::new(theirs);
        self.keep(book);
    }

    /// Takes over what was found at a place where it does not belong, if it is news.
    pub fn take_stray(&mut self, stray: Book) {
        let mut book = Book::clone(&self.book);
        for (pod, known) in stray.nodes {
            book.nodes.entry(pod).or_insert(known);
        }
        for (key, restart) in stray.restarts {
            book.restarts.entry(key).or_insert(restart);
        }
        self.keep(book);
    }

    /// Nothing of it is stored any more, since the object is gone: all that is known is to be stored
    /// anew.
    pub fn take_loss(&mut self) {
        self.stored = Arc::default();
    }

    /// Forgets the restarts that were decided on and are not stored.
    pub fn forget_intentions(&mut self) {
        let restarts = self.stored.restarts.clone();
        self.keep(Book { restarts, ..Book::clone(&self.book) });
    }

    /// Makes it the book; two that are the same need room for one.
    pub fn keep(&mut self, book: Book) {
        self.book = if book == *self.stored { Arc::clone(&self.stored) } else { Arc::new(book) };
    }
}

/// All meshes, and the pods that are in none.
#[derive(Default)]
pub(super) struct Meshes {
    pub split: config::Meshes,
    pub all: Vec<Mesh>,
    /// Pod name → its mesh.
    homes: HashMap<String, usize>,
    others: Pods,
    /// The names that a listing under way has shown.
    coming: Option<HashSet<String>>,
    listed: bool,
    /// Pods that are gone since they were last asked for, by UID.
    pub gone: Vec<String>,
}

impl Meshes {
    /// Splits by another configuration; no pod and nothing of the book is lost, but for what no mesh has
    /// a place for. What was stored must be told anew.
    pub fn split_anew(&mut self, config: &Config) {
        let before = mem::take(self);
        let mut book = Book::default();
        let mut pods = before.others;
        for mesh in before.all {
            let Book { nodes, restarts } = Arc::unwrap_or_clone(mesh.book);
            book.nodes.extend(nodes);
            book.restarts.extend(restarts);
            pods.extend(mesh.pods);
        }
        self.split = config::Meshes::of(config);
        (self.coming, self.listed, self.gone) = (before.coming, before.listed, before.gone);
        let books = self.split.split(&book).into_iter().map(Arc::new);
        let configs = self.split.configs().iter().map(Arc::clone);
        self.all =
            configs.zip(books).map(|(config, book)| Mesh { config, book, ..Mesh::default() }).collect();
        pods.into_values().for_each(|pod| drop(self.put(*pod)));
    }

    /// Takes in a change of the pods; says which mesh it concerns.
    pub fn apply(&mut self, change: Change<Pod>) -> Vec<usize> {
        match change {
            Change::Begin => self.coming = Some(HashSet::new()),
            Change::Put(pod) => {
                self.coming.as_mut().map(|coming| coming.insert(pod.name.clone()));
                return self.put(pod);
            }
            Change::Gone(pod) => return self.remove(&pod.name).into_iter().collect(),
            Change::Complete => {
                self.listed = true;
                return self.sweep();
            }
        }
        Vec::new()
    }

    /// What has been seen may be old: only a new listing counts.
    pub fn look_anew(&mut self) {
        self.listed = false;
    }

    /// The meshes whose pods may have their host from a Service of that name.
    pub fn using(&self, service: &str) -> Vec<usize> {
        let uses = |pod: &Pod| {
            [Some(&pod.name), pod.subdomain.as_ref(), pod.workload.as_ref()]
                .into_iter()
                .flatten()
                .any(|n| n == service)
        };
        let all = self.all.iter().enumerate();
        all.filter(|(_, mesh)| mesh.pods.values().any(|pod| uses(pod))).map(|(index, _)| index).collect()
    }

    /// Whether all pods were listed, and no new listing is under way.
    pub fn are_current(&self) -> bool {
        self.listed && self.coming.is_none()
    }

    /// The pod of that name, in whatever mesh, and where.
    pub fn pod(&self, name: &str) -> Option<(usize, &Pod)> {
        let mesh = *self.homes.get(name)?;
        Some((mesh, self.all[mesh].pods.get(name)?))
    }

    /// How many pods the configuration names.
    pub fn pods(&self) -> usize {
        self.homes.len()
    }

    /// How a pod is treated, if the configuration names it.
    pub fn settings(&self, pod: &Pod) -> Option<&Settings> {
        self.all[self.split.home(pod.who())?].config.settings(pod.who())
    }

    /// A pod that the configuration does not name.
    pub fn other(&self, name: &str) -> Option<&Pod> {
        self.others.get(name).map(Box::as_ref)
    }

    fn put(&mut self, pod: Pod) -> Vec<usize> {
        let home = self.split.home(pod.who());
        let mut concerned: Vec<usize> = home.into_iter().collect();
        // A pod of the same name may have been another workload's.
        let before = self.homes.get(&pod.name).copied();
        if before != home {
            concerned.extend(self.remove(&pod.name));
        }
        let name = pod.name.clone();
        let place = match home {
            Some(mesh) => {
                self.homes.insert(name.clone(), mesh);
                &mut self.all[mesh].pods
            }
            None => &mut self.others,
        };
        let uid = pod.uid.clone();
        let replaced = place.insert(name, Box::new(pod)).filter(|before| before.uid != uid);
        self.gone.extend(replaced.map(|before| before.uid));
        concerned
    }

    fn remove(&mut self, name: &str) -> Option<usize> {
        let home = self.homes.remove(name);
        let removed = match home {
            Some(mesh) => self.all[mesh].pods.remove(name),
            None => self.others.remove(name),
        };
        self.gone.extend(removed.map(|pod| pod.uid));
        home
    }

    /// Removes what a complete listing has not shown.
    fn sweep(&mut self) -> Vec<usize> {
        let Some(coming) = self.coming.take() else {
            return Vec::new();
        };
        let names = self.homes.keys().chain(self.others.keys());
        let gone: Vec<String> = names.filter(|name| !coming.contains(*name)).cloned().collect();
        gone.iter().filter_map(|name| self.remove(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::peers::Known;

    const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

    fn known(learned: i64) -> Known {
        Known {
            address: format!("/dns/a/tcp/2121/p2p/{PEER}").parse().unwrap(),
            workload: None,
            container: format!("c{learned}"),
            learned: Timestamp::from_second(learned).unwrap(),
        }
    }

    fn restart(uid: &str) -> Restart {
        let (pod, uid, at) = ("a".into(), uid.into(), Timestamp::UNIX_EPOCH);
        Restart { pod, workload: None, uid, at, left: None, refresh: false, attempts: 1, total: 1 }
    }

    fn book(nodes: &[(&str, i64)], restarts: &[(&str, &str)]) -> Book {
        Book {
            nodes: nodes.iter().map(|(pod, learned)| (pod.to_string(), known(*learned))).collect(),
            restarts: restarts.iter().map(|(key, uid)| (key.to_string(), restart(uid))).collect(),
        }
    }

    fn mesh(stored: Book, mine: Book) -> Mesh {
        Mesh { stored: Arc::new(stored), book: Arc::new(mine), ..Mesh::default() }
    }

    #[test]
    fn what_others_store_is_taken_over_and_what_is_not_stored_yet_stays() {
        let mut mesh = mesh(book(&[("a", 1)], &[]), book(&[("a", 1), ("mine", 2)], &[]));
        mesh.take(book(&[("a", 3), ("theirs", 3)], &[]), false);
        assert_eq!(*mesh.book, book(&[("a", 3), ("mine", 2), ("theirs", 3)], &[]));
        assert!(mesh.is_unsaved());
        mesh.take(book(&[("mine", 2)], &[]), false);
        assert_eq!(*mesh.book, book(&[("mine", 2)], &[]), "who follows forgets what the leader forgot");
        assert!(!mesh.is_unsaved());
    }

    #[test]
    fn who_leads_puts_back_what_somebody_removed() {
        let all = book(&[("a", 1), ("b", 1)], &[("a", "u1")]);
        let mut mesh = mesh(all.clone(), all.clone());
        mesh.take(book(&[("a", 1)], &[]), true);
        assert_eq!(*mesh.book, all);
        assert!(mesh.is_unsaved());
        mesh.take_loss();
        assert_eq!(*mesh.book, all);
    }

    #[test]
    fn a_note_of_another_makes_ours_void_and_our_own_come_back_does_not() {
        let mut mesh = mesh(book(&[], &[]), book(&[], &[("mine", "u1")]));
        mesh.take(book(&[], &[("theirs", "u2")]), true);
        assert_eq!(*mesh.book, book(&[], &[("theirs", "u2")]));

        let sent = book(&[], &[("theirs", "u2"), ("mine", "u1")]);
        mesh.sent = sent.restarts.clone();
        mesh.keep(book(&[], &[("theirs", "u2"), ("mine", "u1"), ("next", "u3")]));
        mesh.take(sent.clone(), true);
        assert_eq!(*mesh.stored, sent);
        assert!(mesh.book.restarts.contains_key("next"), "decided on since it was sent");
        mesh.forget_intentions();
        assert_eq!(*mesh.book, sent);
    }

    fn pod(name: &str, uid: &str, workload: Option<&str>) -> Pod {
        Pod {
            name: name.into(),
            uid: uid.into(),
            version: String::new(),
            workload: workload.map(String::from),
            owner: None,
            phase: "Running".into(),
            ip: None,
            subdomain: None,
            created: Timestamp::UNIX_EPOCH,
            deleting: false,
            ready: true,
            opted_out: false,
            injected: false,
            containers: Box::default(),
        }
    }

    fn two_meshes() -> Meshes {
        let config = "mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}]}, {peers: [{nodeName: c}]}]";
        let mut meshes = Meshes::default();
        meshes.split_anew(&config::parse(config).unwrap());
        meshes
    }

    #[test]
    fn pods_find_their_mesh_and_a_listing_sweeps_the_others_out() {
        let mut meshes = two_meshes();
        meshes.apply(Change::Begin);
        assert_eq!(meshes.apply(Change::Put(pod("a-0", "u1", Some("a")))), [0]);
        assert_eq!(meshes.apply(Change::Put(pod("c", "u2", None))), [1]);
        assert_eq!(meshes.apply(Change::Put(pod("x", "u3", None))), [0; 0]);
        assert!(!meshes.are_current());
        meshes.apply(Change::Complete);
        assert!(meshes.are_current());
        assert_eq!(meshes.pod("a-0").unwrap().0, 0);
        assert!(meshes.other("x").is_some());

        meshes.apply(Change::Begin);
        meshes.apply(Change::Put(pod("a-0", "u4", Some("a"))));
        assert!(meshes.pod("c").is_some(), "not gone before the listing is complete");
        assert_eq!(meshes.apply(Change::Complete), [1]);
        assert!(meshes.pod("c").is_none() && meshes.other("x").is_none());
        meshes.gone.sort();
        assert_eq!(meshes.gone, ["u1", "u2", "u3"]);
    }

    #[test]
    fn another_configuration_loses_nothing() {
        let mut meshes = two_meshes();
        meshes.apply(Change::Put(pod("a-0", "u1", Some("a"))));
        meshes.apply(Change::Put(pod("x", "u3", None)));
        meshes.all[0].keep(book(&[("a", 1)], &[("a", "u1")]));
        meshes.all[1].keep(book(&[("c", 1)], &[]));
        let config = "mutualPeers: [{peers: [{nodeName: x}, {nodeName: c}]}, {peers: [{nodeName: a}]}]";
        meshes.split_anew(&config::parse(config).unwrap());
        assert_eq!((meshes.pod("x").unwrap().0, meshes.pod("a-0").unwrap().0), (0, 1));
        assert_eq!(*meshes.all[0].book, book(&[("c", 1)], &[]));
        assert_eq!(*meshes.all[1].book, book(&[("a", 1)], &[("a", "u1")]));
        assert_eq!(meshes.gone, [""; 0]);
    }
}
