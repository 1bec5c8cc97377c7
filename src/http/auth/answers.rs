//! The answers of the API server, kept for a short while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ring::digest::{Context, SHA256};
use tokio::time::Instant;

use super::{Refusal, Verdict};

/// How long leave is good without asking again.
const FRESH: Duration = Duration::from_secs(60);

/// How long it is good where the API server gives no answer.
const STALE: Duration = Duration::from_secs(300);

/// How long a refusal is repeated without asking again: a rule that was only just made shows after that.
const REFUSED: Duration = Duration::from_secs(10);

/// How soon the API server is asked again about a token when it gave no answer, or was not asked.
const FAILED: Duration = Duration::from_secs(1);

/// How many answers of a kind are kept, some hundred bytes each.
const MOST: usize = 4096;

/// Stands for a token and what is wished for with it: the token itself is kept nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(parts: [&str; 3]) -> Self {
        let mut digest = Context::new(&SHA256);
        for part in parts {
            digest.update(part.as_bytes());
            digest.update(&[0]);
        }
        Self(digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// What was answered.
#[derive(Default)]
pub(super) struct Answers(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Until when leave is fresh. Kept apart, so that a flood of what is refused drives none of it out.
    granted: Bounded<Instant>,
    refused: Bounded<Refusal>,
}

impl Answers {
    /// The answer, where there is one that still holds.
    pub(super) fn known(&self, key: &Key) -> Option<Verdict> {
        self.with(|kept, now| kept.known(key, now))
    }

    /// Keeps an answer; leave ends with the token's life at the latest.
    pub(super) fn learn(&self, key: Key, verdict: Verdict, life: Option<Instant>) {
        self.with(|kept, now| kept.learn(key, verdict, now, life));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Kept, Instant) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }
}

impl Kept {
    fn known(&self, key: &Key, now: Instant) -> Option<Verdict> {
        let granted = self.granted.get(key, now);
        if granted.is_some_and(|fresh| *fresh > now) {
            return Some(Ok(()));
        }
        match self.refused.get(key, now) {
            Some(Refusal::Unavailable | Refusal::TooMany) if granted.is_some() => Some(Ok(())),
            refused => refused.cloned().map(Err),
        }
    }

    fn learn(&mut self, key: Key, verdict: Verdict, now: Instant, life: Option<Instant>) {
        let until = |time: Duration| life.map_or(now + time, |end| end.min(now + time));
        match verdict {
            Ok(()) => self.granted.put(key, until(FRESH), until(STALE), now),
            Err(failure @ (Refusal::Unavailable | Refusal::TooMany)) => {
                self.refused.put(key, failure, now + FAILED, now);
            }
            Err(refusal) => {
                self.granted.0.remove(&key);
                self.refused.put(key, refusal, now + REFUSED, now);
            }
        }
    }
}

/// No more than [`MOST`] values, each until its time.
struct Bounded<T>(HashMap<Key, (T, Instant)>);

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Bounded<T> {
    fn get(&self, key: &Key, now: Instant) -> Option<&T> {
        self.0.get(key).filter(|(_, until)| *until > now).map(|(value, _)| value)
    }

    /// Where it is full, what has had its time goes, else any one.
    fn put(&mut self, key: Key, value: T, until: Instant, now: Instant) {
        if self.0.len() >= MOST {
            self.0.retain(|_, (_, until)| *until > now);
        }
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            let any = self.0.keys().next().copied();
            any.map(|any| self.0.remove(&any));
        }
        self.0.insert(key, (value, until));
    }
}

#[cfg(test)]
mod tests;
