//! Several replicas, one book: what is stored by now is taken in without losing what is not stored yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::peers::{Book, Restart};

/// A replica's book, and what it knows of the stored one.
#[derive(Clone, Copy)]
pub struct Books<'a> {
    /// The book as it is to be.
    pub mine: &'a Book,
    /// The stored book that it was made from.
    pub before: &'a Book,
    /// The restarts that were sent to be stored last.
    pub sent: &'a BTreeMap<String, Restart>,
    /// Whether this replica leads.
    pub leads: bool,
}

/// The book as it is to be, now that `theirs` is stored. What was not changed here since follows it. What
/// was, stays, but for restarts: as soon as somebody else has noted one, it may be under way, so what was
/// decided here is void and is decided anew. Who leads puts back what somebody else has removed.
pub fn merge(books: Books<'_>, theirs: &Book) -> Book {
    let Books { mine, before, sent, leads } = books;
    let mut book = mine.clone();
    merge_nodes(&mut book, before, theirs, leads);
    let is_foreign = theirs.restarts != before.restarts && theirs.restarts != *sent;
    if is_foreign {
        book.restarts.clone_from(&theirs.restarts);
        if leads {
            for (key, restart) in &mine.restarts {
                if before.restarts.contains_key(key) {
                    book.restarts.entry(key.clone()).or_insert_with(|| restart.clone());
                }
            }
        }
    }
    book
}

fn merge_nodes(book: &mut Book, before: &Book, theirs: &Book, leads: bool) {
    let keys: BTreeSet<&String> = before.nodes.keys().chain(theirs.nodes.keys()).collect();
    for key in keys {
        let (before, now) = (before.nodes.get(key), theirs.nodes.get(key));
        let mine = book.nodes.get(key);
        let is_newer = now.is_some_and(|now| mine.is_none_or(|mine| mine.learned < now.learned));
        if now != before && (mine == before || is_newer) {
            match now {
                Some(now) => drop(book.nodes.insert(key.clone(), now.clone())),
                None if !leads => drop(book.nodes.remove(key)),
                None => {}
            }
        }
    }
}
