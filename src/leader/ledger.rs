//! How the book is stored: taking in what the watches on its ConfigMaps show, and writing what changed,
//! gathered for a moment, a restart's note at once.
//!
//! What the watches show is the only truth about what is stored: a note counts once it has come back.
//! All entries of a mesh are in one ConfigMap, and a write holds only for the version that was seen, so
//! two replicas never note two restarts of one mesh at the same time.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::meshes::{Mesh, Meshes};
use super::{Leader, Outcome};
use crate::cluster::events::Reason as EventReason;
use crate::cluster::{self, Change, Changes, Cluster, MOST_SHARDS, Shard, Written};
use crate::config::Config;
use crate::peers::Book;
use crate::plan::{Attempt, Pace};

/// How long changes are gathered before they are saved, unless a restart waits for it.
const SAVE_AFTER: Duration = Duration::from_millis(250);

/// The same for a book of several shards: each write is of some hundred kilobytes to the API server.
const SAVE_AFTER_IF_LARGE: Duration = Duration::from_secs(2);

/// A configuration of more nodes has its book in [`MOST_SHARDS`] shards, else in one. The entries of a
/// node have at most about 600 bytes, and a ConfigMap 1 MiB.
const LARGE: usize = 500;

/// How many bytes the part of a mesh may have: Kubernetes takes 1 MiB for a ConfigMap.
const MOST_BYTES: usize = 1000 * 1000;

/// What is said of a mesh that has more.
const TOO_LARGE: &str = "it and the groups that it shares nodes with have more than a ConfigMap holds, 1 MiB: have fewer share nodes";

/// How long a write that succeeded may take to come back by the watch.
const COMES_BACK: Duration = Duration::from_secs(5);

/// How soon a write is tried again that met another's.
const AFTER_CONFLICT: Pace =
    Pace { first: SignedDuration::from_millis(50), most: SignedDuration::from_secs(2) };

const PACE: Pace = Pace { first: SignedDuration::from_secs(1), most: SignedDuration::from_secs(60) };

/// The shards of the book, and what is to be written to them.
#[derive(Default)]
pub(super) struct Ledger {
    shards: Vec<Slot>,
    /// The meshes that have something that is not stored.
    unsaved: BTreeSet<usize>,
}

/// How it stands with one shard.
#[derive(Default)]
struct Slot {
    /// Its version; `None` while it is not there.
    version: Option<String>,
    /// Entries in it that belong elsewhere or nowhere.
    strays: Book,
    /// Its first listing, or the present one, is complete.
    is_current: bool,
    /// The present listing has shown it.
    is_shown: bool,
    is_busy: bool,
    attempt: Attempt,
    /// Since when something is to be written.
    since: Option<Instant>,
    /// What was written, and until when it is waited for to come back.
    written: Option<(String, Instant)>,
    /// The versions seen since the last write began.
    seen: Vec<String>,
    /// The meshes that the write under way is for.
    sent: Vec<usize>,
}

/// The changes of all shards.
pub(super) type Shards = SelectAll<BoxStream<'static, (usize, Change<Shard>)>>;

/// How many shards the book of a configuration has.
fn shards_for(config: &Config) -> usize {
    let nodes: usize = config.groups.iter().map(|group| group.peers.len()).sum();
    if nodes > LARGE { MOST_SHARDS } else { 1 }
}

/// The shard of a mesh: the same for every replica, and as long as the mesh has the same first node.
fn shard_of(mesh: &Mesh, shards: usize) -> usize {
    let first = mesh.config.groups.first().and_then(|group| group.peers.first());
    let name = first.map_or("", |peer| peer.node_name.as_str());
    // FNV-1a: the standard library's hash may differ between versions of Torch.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash % shards as u64).expect("it is below the number of shards")
}

impl Ledger {
    /// Looks at everything anew. Nothing is saved before all has been seen.
    pub fn begin(&mut self, cluster: &Cluster, config: &Config) -> Shards {
        let shards = shards_for(config);
        self.shards.resize_with(shards, Slot::default);
        for slot in &mut self.shards {
            slot.is_current = false;
            slot.written = None;
            slot.sent.clear();
        }
        let watch = |shard| cluster.shard(shard).map(move |change| (shard, change)).boxed();
        futures::stream::select_all((0..shards).map(watch))
    }

    /// Whether all shards are seen as they are.
    pub fn is_current(&self) -> bool {
        !self.shards.is_empty() && self.shards.iter().all(|slot| slot.is_current)
    }

    /// Takes in a change of a shard; says which meshes it concerns.
    pub fn apply(
        &mut self,
        shard: usize,
        change: Change<Shard>,
        meshes: &mut Meshes,
        leads: bool,
    ) -> Vec<usize> {
        let shards = self.shards.len();
        let Some(slot) = self.shards.get_mut(shard) else {
            return Vec::new();
        };
        match change {
            Change::Begin => {
                (slot.is_current, slot.is_shown) = (false, false);
                Vec::new()
            }
            Change::Put(object) => {
                slot.is_shown = true;
                slot.see(object.version);
                slot.take(shard, shards, object.book, meshes, leads)
            }
            Change::Complete => {
                slot.is_current = true;
                if slot.is_shown { Vec::new() } else { slot.lose(shard, shards, meshes) }
            }
            Change::Gone(_) => slot.lose(shard, shards, meshes),
        }
    }

    /// Remembers whether a mesh has something to save.
    pub fn mark(&mut self, mesh: usize, is_unsaved: bool) {
        if is_unsaved {
            self.unsaved.insert(mesh);
        } else {
            self.unsaved.remove(&mesh);
        }
    }
}

impl Slot {
    fn see(&mut self, version: String) {
        if self.is_busy {
            self.seen.push(version.clone());
        }
        self.written = self.written.take().filter(|(written, _)| *written != version);
        self.version = Some(version);
    }

    fn take(
        &mut self,
        shard: usize,
        shards: usize,
        book: Book,
        meshes: &mut Meshes,
        leads: bool,
    ) -> Vec<usize> {
        self.strays = without_place(&book, meshes);
        let mut concerned = Vec::new();
        for (index, theirs) in meshes.split.split(&book).into_iter().enumerate() {
            let mesh = &mut meshes.all[index];
            if shard_of(mesh, shards) == shard {
                if theirs != *mesh.stored {
                    mesh.take(theirs, leads);
                    concerned.push(index);
                }
            } else if theirs != Book::default() {
                self.strays.nodes.extend(theirs.nodes.clone());
                self.strays.restarts.extend(theirs.restarts.clone());
                mesh.take_stray(theirs);
                concerned.push(index);
            }
        }
        concerned
    }

    /// The object is not there.
    fn lose(&mut self, shard: usize, shards: usize, meshes: &mut Meshes) -> Vec<usize> {
        self.version = None;
        self.strays = Book::default();
        let all = meshes.all.iter_mut().enumerate();
        let lost = all.filter(|(_, mesh)| shard_of(mesh, shards) == shard && *mesh.stored != Book::default());
        lost.map(|(index, mesh)| {
            mesh.take_loss();
            index
        })
        .collect()
    }

    /// When something that is to be written since `since` may be.
    fn due(&mut self, urgent: bool, gather: Duration) -> Instant {
        let since = *self.since.get_or_insert_with(Instant::now);
        let failed = self.attempt.next.map(|at| at.duration_since(Timestamp::now()));
        match (failed, &self.written) {
            (Some(wait), _) if wait.is_positive() => Instant::now() + wait.try_into().unwrap_or_default(),
            (_, Some((_, until))) => *until,
            _ if urgent => Instant::now(),
            _ => since + gather,
        }
    }
}

/// The entries of a book that no mesh has a place for.
fn without_place(book: &Book, meshes: &Meshes) -> Book {
    let mut strays = book.clone();
    strays.nodes.retain(|pod, known| meshes.split.home(known.who(pod)).is_none());
    strays.restarts.retain(|_, restart| meshes.split.home(restart.who()).is_none());
    strays
}

impl Leader {
    /// Saves what changed if it is time to; says when it will be.
    pub(super) fn save_if_due(&mut self) -> Option<Instant> {
        if !self.ledger.is_current() {
            return None;
        }
        let next: Vec<Instant> =
            (0..self.ledger.shards.len()).filter_map(|shard| self.save_shard_if_due(shard)).collect();
        next.into_iter().min()
    }

    fn save_shard_if_due(&mut self, shard: usize) -> Option<Instant> {
        let unsaved = self.unsaved_of(shard);
        let gather = if self.ledger.shards.len() == 1 { SAVE_AFTER } else { SAVE_AFTER_IF_LARGE };
        let all = &mut self.meshes.all;
        let slot = &mut self.ledger.shards[shard];
        let strays =
            if self.leads { removable(&slot.strays, &self.meshes.split, all) } else { Book::default() };
        if (unsaved.is_empty() && strays == Book::default()) || slot.is_busy {
            slot.since = None;
            return None;
        }
        let urgent = unsaved.iter().any(|&mesh| all[mesh].book.restarts != all[mesh].stored.restarts);
        let due = slot.due(urgent, gather);
        if due > Instant::now() {
            return Some(due);
        }
        let mut changes = Changes::default();
        changes.add(&strays, &Book::default());
        for &mesh in &unsaved {
            let mesh = &mut all[mesh];
            changes.add(&mesh.stored, &mesh.book);
            mesh.sent.clone_from(&mesh.book.restarts);
        }
        (slot.is_busy, slot.since, slot.written, slot.sent) = (true, None, None, unsaved);
        slot.seen.clear();
        let (seen, tools) = (slot.version.clone(), Arc::clone(&self.tools));
        self.acts.spawn(async move {
            if urgent {
                fail::fail_point!("before-note");
            }
            Outcome::Saved(shard, tools.cluster.write_shard(shard, seen.as_deref(), changes).await)
        });
        None
    }

    /// The meshes of a shard that have something to be saved, but for those that there is no room for: they would
    /// keep back the others.
    fn unsaved_of(&mut self, shard: usize) -> Vec<usize> {
        let (all, shards) = (&mut self.meshes.all, self.ledger.shards.len());
        let unsaved =
            self.ledger.unsaved.iter().copied().filter(|&mesh| shard_of(&all[mesh], shards) == shard);
        let (fitting, too_large): (Vec<usize>, Vec<usize>) =
            unsaved.partition(|&mesh| cluster::size(&all[mesh].book) <= MOST_BYTES);
        for mesh in too_large {
            if all[mesh].unsaved.as_deref() != Some(TOO_LARGE) {
                let group = all[mesh].config.groups.first().map_or("", |group| group.name.as_str());
                tracing::warn!(group, "cannot save the address book of this group: {TOO_LARGE}");
                let note = format!("of the group {group}: {TOO_LARGE}");
                self.tools.cluster.events().about_torch(EventReason::CannotSaveBook, note);
                all[mesh].unsaved = Some(TOO_LARGE.into());
                self.dirty.insert(mesh);
            }
        }
        fitting
    }

    pub(super) fn saved(&mut self, shard: usize, saved: Result<Written, cluster::Error>) {
        let Some(slot) = self.ledger.shards.get_mut(shard) else {
            return;
        };
        slot.is_busy = false;
        let why = saved.as_ref().err().map(ToString::to_string);
        for mesh in mem::take(&mut slot.sent) {
            if mem::replace(&mut self.meshes.all[mesh].unsaved, why.clone()) != why {
                self.dirty.insert(mesh);
            }
        }
        let now = Timestamp::now();
        match saved {
            Ok(Written::Version(version)) => {
                slot.attempt.succeed(None);
                if !slot.seen.contains(&version) {
                    slot.written = Some((version, Instant::now() + COMES_BACK));
                }
            }
            Ok(Written::Conflict) => {
                slot.attempt.fail("it was changed meanwhile".into(), now, AFTER_CONFLICT, fastrand::f64());
            }
            Err(error) => {
                tracing::warn!(%error, "cannot save the address book; trying again");
                self.tools.cluster.events().about_torch(EventReason::CannotSaveBook, error.to_string());
                slot.attempt.fail(error.to_string(), now, PACE, fastrand::f64());
            }
        }
    }
}

/// The strays that are not needed any more: those of no mesh, and those that are stored in their place.
fn removable(strays: &Book, split: &crate::config::Meshes, all: &[Mesh]) -> Book {
    let mut strays = strays.clone();
    strays.nodes.retain(|pod, known| {
        split.home(known.who(pod)).is_none_or(|mesh| all[mesh].stored.nodes.contains_key(pod))
    });
    strays.restarts.retain(|key, restart| {
        split.home(restart.who()).is_none_or(|mesh| all[mesh].stored.restarts.contains_key(key))
    });
    strays
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::peers::Known;

    const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

    fn book(pods: impl IntoIterator<Item = String>) -> Book {
        let known = |pod: &str| Known {
            address: format!("/dns/{pod}/tcp/2121/p2p/{PEER}").parse().unwrap(),
            workload: None,
            container: "c".into(),
            learned: Timestamp::UNIX_EPOCH,
        };
        Book { nodes: pods.into_iter().map(|pod| (pod.clone(), known(&pod))).collect(), ..Book::default() }
    }

    /// So many nodes, each in a group of its own.
    fn meshes(nodes: usize) -> (Meshes, Ledger) {
        let groups: Vec<String> = (0..nodes).map(|n| format!("{{peers: [{{nodeName: n{n}}}]}}")).collect();
        let config = config::parse(&format!("mutualPeers: [{}]", groups.join(", "))).unwrap();
        let (mut meshes, mut ledger) = (Meshes::default(), Ledger::default());
        meshes.split_anew(&config);
        ledger.shards.resize_with(shards_for(&config), Slot::default);
        (meshes, ledger)
    }

    fn put(ledger: &mut Ledger, shard: usize, book: Book, meshes: &mut Meshes) -> Vec<usize> {
        let object = Shard { version: "1".into(), book };
        ledger.apply(shard, Change::Begin, meshes, true);
        let concerned = ledger.apply(shard, Change::Put(object), meshes, true);
        ledger.apply(shard, Change::Complete, meshes, true);
        concerned
    }

    #[test]
    fn a_large_book_is_spread_and_a_small_one_is_not() {
        assert_eq!(meshes(LARGE).1.shards.len(), 1);
        let (meshes, ledger) = meshes(10_000);
        assert_eq!(ledger.shards.len(), MOST_SHARDS);
        let mut counts = [0; MOST_SHARDS];
        meshes.all.iter().for_each(|mesh| counts[shard_of(mesh, MOST_SHARDS)] += 1);
        assert!(counts.iter().all(|count| (400..900).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_grew_out_of_one_shard_moves_and_nothing_is_lost_meanwhile() {
        let (mut meshes, mut ledger) = meshes(LARGE + 1);
        assert!(!ledger.is_current());
        let names = || (0..=LARGE).map(|n| format!("n{n}"));
        put(&mut ledger, 0, book(names().chain(["unknown".to_owned()])), &mut meshes);
        (1..MOST_SHARDS).for_each(|shard| drop(put(&mut ledger, shard, Book::default(), &mut meshes)));
        assert!(ledger.is_current());
        assert!(meshes.all.iter().all(|mesh| mesh.book.nodes.len() == 1));

        let home = |meshes: &Meshes, n: usize| shard_of(&meshes.all[n], MOST_SHARDS);
        let moved: Vec<usize> = (0..=LARGE).filter(|&n| home(&meshes, n) != 0).collect();
        assert!(moved.iter().all(|&n| meshes.all[n].is_unsaved()));
        let removable = |ledger: &Ledger, meshes: &Meshes| {
            removable(&ledger.shards[0].strays, &meshes.split, &meshes.all).nodes.len()
        };
        assert_eq!(removable(&ledger, &meshes), 1, "only the one that no mesh has a place for");
        let (n, shard) = (moved[0], home(&meshes, moved[0]));
        put(&mut ledger, shard, book([format!("n{n}")]), &mut meshes);
        assert!(!meshes.all[n].is_unsaved());
        assert_eq!(removable(&ledger, &meshes), 2);
    }

    #[test]
    fn an_object_that_is_gone_is_to_be_written_anew() {
        let (mut meshes, mut ledger) = meshes(2);
        assert_eq!(put(&mut ledger, 0, book(["n0".to_owned()]), &mut meshes), [0]);
        assert!(!meshes.all[0].is_unsaved());
        let gone = Shard { version: "2".into(), book: Book::default() };
        assert_eq!(ledger.apply(0, Change::Gone(gone), &mut meshes, false), [0]);
        assert!(meshes.all[0].is_unsaved() && meshes.all[0].book.nodes.len() == 1);
        assert_eq!(ledger.shards[0].version, None);
    }

    #[test]
    fn a_write_is_waited_for_to_come_back() {
        let mut slot = Slot { written: Some(("7".into(), far())), ..Slot::default() };
        slot.see("6".into());
        assert!(slot.due(true, Duration::ZERO) > Instant::now());
        slot.see("7".into());
        assert!(slot.due(true, Duration::ZERO) <= Instant::now());
        assert!(slot.due(false, Duration::from_secs(9)) > Instant::now());
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }
}
