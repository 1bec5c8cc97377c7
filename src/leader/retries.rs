//! The pace at which what failed is tried again, over all nodes together: each backs off for itself, but
//! thousands that fail at the same time would still be a flood of execs.

use jiff::{SignedDuration, Timestamp};

/// Fifty tries again a second are no burden for an API server.
const APART: SignedDuration = SignedDuration::from_millis(20);

/// The tries that are promised to come.
#[derive(Default)]
pub(super) struct Retries {
    last: Timestamp,
}

impl Retries {
    /// The earliest time for one more.
    pub(super) fn next(&mut self, now: Timestamp) -> Timestamp {
        self.last = (self.last + APART).max(now);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_waits_for_nothing_and_a_thousand_wait_for_each_other() {
        let (mut retries, now) = (Retries::default(), Timestamp::from_second(1_000).unwrap());
        assert_eq!(retries.next(now), now);
        let last = (1..=1_000).map(|_| retries.next(now)).last();
        assert_eq!(last, Some(now + SignedDuration::from_secs(20)));
        let later = now + SignedDuration::from_secs(60);
        assert_eq!(retries.next(later), later);
    }
}
