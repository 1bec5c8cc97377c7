//! Saving the book: changes gathered, a restart's note at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{Leader, Outcome};
use crate::cluster;
use crate::peers::Book;
use crate::plan::{Attempt, Pace};

/// How long changes are gathered before they are saved, unless a restart waits for it.
const SAVE_AFTER: Duration = Duration::from_millis(250);

const PACE: Pace = Pace { first: SignedDuration::from_secs(1), most: SignedDuration::from_secs(60) };

/// How it stands with the saving.
#[derive(Default)]
pub(super) struct Save {
    busy: bool,
    pub(super) attempt: Attempt,
    since: Option<Instant>,
}

/// The pods whose restart is noted in a book.
pub(super) fn noted(book: &Book) -> HashSet<String> {
    book.restarts.values().map(|restart| restart.uid.clone()).collect()
}

impl Leader {
    /// Saves the book if it changed and it is time to; says when it will be.
    pub(super) fn save_if_due(&mut self) -> Option<Instant> {
        let deleted =
            self.stored.is_current() && self.stored.all().is_empty() && self.saved != Book::default();
        if (*self.book == self.saved && !deleted) || self.save.busy {
            self.save.since = None;
            return None;
        }
        let urgent = self.book.restarts != self.saved.restarts;
        let since = *self.save.since.get_or_insert_with(Instant::now);
        let failed = self.save.attempt.next.map(|at| at.duration_since(Timestamp::now()));
        let wait = match failed {
            Some(wait) if wait.is_positive() => wait.try_into().unwrap_or_default(),
            _ if urgent => Duration::ZERO,
            _ => SAVE_AFTER.saturating_sub(since.elapsed()),
        };
        if !wait.is_zero() {
            return Some(Instant::now() + wait);
        }
        self.save.busy = true;
        let (book, tools) = (Book::clone(&self.book), Arc::clone(&self.tools));
        self.acts.spawn(async move {
            let saved = tools.store.save(&book).await;
            Outcome::Saved(book, saved)
        });
        None
    }

    pub(super) fn saved(&mut self, sent: Book, saved: Result<Book, cluster::Error>) {
        self.save.busy = false;
        match saved {
            Ok(saved) => {
                self.save.attempt.succeed(None);
                self.memory.unsaved = None;
                if saved != sent {
                    let mut book = Book::clone(&self.book);
                    book.absorb(saved.clone());
                    self.book = Arc::new(book);
                }
                self.noted = noted(&saved);
                self.saved = saved;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot save the address book; trying again");
                self.memory.unsaved = Some(error.to_string());
                self.save.attempt.fail(error.to_string(), Timestamp::now(), PACE, fastrand::f64());
            }
        }
    }
}
