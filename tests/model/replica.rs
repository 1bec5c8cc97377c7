//! A replica of Torch and its surroundings: what its watches show, its lease, its writes.

use std::array;

use crate::model::Model;
use crate::mutations;
use crate::plan::{self, Books};
use crate::state::{Book, Each, Has, Node, Pod, Reign, Replica, State, Trace};
use crate::torch;

/// Its watch shows a pod as it is now.
pub fn see(s: &mut State, r: usize, n: usize) {
    let pod = seen(s.nodes[n].pod.as_ref());
    let reign = s.replicas[r].reign.as_mut().expect("only a leader watches pods");
    if reign.view[n].as_ref().map(|p| p.uid) != pod.as_ref().map(|p| p.uid) {
        reign.traces[n] = Trace::default();
    }
    reign.view[n] = pod;
}

/// Whoever begins to lead lists everything anew, and remembers nothing of an earlier reign.
pub fn lead(s: &mut State, r: usize) {
    s.lease = torch::index(r);
    follow(s, r);
    s.replicas[r].reign = Some(reign(&s.nodes));
}

/// It has noticed that it leads no more.
pub fn resign(s: &mut State, r: usize) {
    let replica = &mut s.replicas[r];
    replica.reign = None;
    replica.book = replica.seen.clone();
    replica.sent = Each::default();
    disown(s, r);
}

/// As after a start.
pub fn follow(s: &mut State, r: usize) {
    let replica = &mut s.replicas[r];
    *replica = Replica {
        config: replica.config,
        seen: s.stored.clone(),
        current: true,
        book: s.stored.clone(),
        sent: Each::default(),
        reign: None,
    };
    disown(s, r);
}

/// Nobody waits for its calls any more.
fn disown(s: &mut State, r: usize) {
    s.calls.retain(|call| call.from != torch::index(r) || call.answer.is_none());
    for call in s.calls.iter_mut().filter(|call| call.from == torch::index(r)) {
        call.from = None;
    }
    s.calls.sort_unstable();
    s.calls.dedup();
}

/// Written only where nobody else has written since.
pub fn save(s: &mut State, r: usize) {
    s.stored = s.replicas[r].book.clone();
    s.replicas[r].sent = s.stored.notes.clone();
    for replica in &mut s.replicas {
        replica.current = false;
    }
}

/// Its watch shows the book as it is now.
pub fn read_book(model: &Model, s: &mut State, r: usize) {
    let replica = &mut s.replicas[r];
    let sent = Book { notes: std::mem::take(&mut replica.sent), ..Book::default() };
    let [mine, before, sent, theirs] =
        [&replica.book, &replica.seen, &sent, &s.stored].map(|book| model.names.book(book));
    let books = Books { mine: &mine, before: &before, sent: &sent.restarts, leads: replica.reign.is_some() };
    let merged = mutations::with(model.mutation, || plan::merge(books, &theirs));
    replica.book = model.names.abstract_book(&merged);
    replica.seen = s.stored.clone();
    replica.current = true;
}

/// What is seen of a pod by a watch.
pub fn seen(pod: Option<&Pod>) -> Option<Pod> {
    let mut pod = pod?.clone();
    pod.file = false;
    pod.container.has = Has::No;
    Some(pod)
}

/// The beginning of a reign.
pub fn reign(nodes: &[Node]) -> Reign {
    let view = |n: usize| nodes.get(n).and_then(|node| seen(node.pod.as_ref()));
    Reign { view: array::from_fn(view), traces: Each::default(), not_evicted: Each::default() }
}
