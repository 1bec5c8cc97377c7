//! Turns of those who wait for room.

use std::collections::BTreeSet;

/// Meshes that wait, each for its turn: whoever has had one comes after all others.
#[derive(Default)]
pub(super) struct Turns {
    waiting: BTreeSet<usize>,
    /// Whose turn it was last, and one more.
    from: usize,
}

impl Turns {
    /// One more waits, if it did not.
    pub fn insert(&mut self, mesh: usize) {
        self.waiting.insert(mesh);
    }

    /// Whose turn it is; it waits no longer.
    pub fn next(&mut self) -> Option<usize> {
        let next = *self.waiting.range(self.from..).next().or_else(|| self.waiting.first())?;
        self.from = next + 1;
        self.waiting.take(&next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_again_comes_after_all_others() {
        let mut turns = Turns::default();
        [3, 1, 7].into_iter().for_each(|mesh| turns.insert(mesh));
        let mut order = Vec::new();
        for _ in 0..4 {
            let mesh = turns.next().expect("somebody waits");
            order.push(mesh);
            turns.insert(mesh);
        }
        assert_eq!(order, [1, 3, 7, 1]);
    }

    #[test]
    fn each_waits_once() {
        let mut turns = Turns::default();
        turns.insert(2);
        turns.insert(2);
        assert_eq!([turns.next(), turns.next()], [Some(2), None]);
    }
}
