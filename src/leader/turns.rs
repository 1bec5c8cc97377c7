//! Turns of those who wait for room.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

/// Those who wait, each for its turn: whoever has had one comes after all others.
pub(super) struct Turns<T> {
    waiting: BTreeSet<T>,
    /// Whose turn it was last.
    last: Option<T>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { waiting: BTreeSet::new(), last: None }
    }
}

impl<T: Ord + Clone> Turns<T> {
    /// One more waits, if it did not.
    pub fn insert(&mut self, who: T) {
        self.waiting.insert(who);
    }

    /// Whose turn it is; it waits no longer.
    pub fn next(&mut self) -> Option<T> {
        let after = self.last.as_ref().map_or(Unbounded, Excluded);
        let next = self.waiting.range((after, Unbounded)).next().or_else(|| self.waiting.first())?.clone();
        self.last = Some(next.clone());
        self.waiting.take(&next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_again_comes_after_all_others() {
        let mut turns = Turns::default();
        [3, 1, 7].into_iter().for_each(|who| turns.insert(who));
        let mut order = Vec::new();
        for _ in 0..4 {
            let who = turns.next().expect("somebody waits");
            order.push(who);
            turns.insert(who);
        }
        assert_eq!(order, [1, 3, 7, 1]);
    }

    #[test]
    fn each_waits_once() {
        let mut turns = Turns::default();
        turns.insert("a");
        turns.insert("a");
        assert_eq!([turns.next(), turns.next()], [Some("a"), None]);
    }
}
