//! Dialling the addresses that are known, again and again, as peers would.
//!
//! When one is dialled again is not for the plan, which would be made anew for each of thousands.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::outcomes::TOLD;
use super::turns::Turns;
use super::{Leader, Outcome, Subject};
use crate::cluster::events::Reason as EventReason;
use crate::plan::{Pace, Reach, Reached};

/// How often a known address is dialled again, where there are few nodes.
const EVERY: SignedDuration = SignedDuration::from_secs(60);

/// The same where there are many.
const SELDOM: SignedDuration = SignedDuration::from_secs(600);

/// Between these, how far apart: a dial takes more than a millisecond of a processor.
const APART: SignedDuration = SignedDuration::from_secs(2);

/// How soon one that was not reached is dialled again at first.
const AGAIN: SignedDuration = SignedDuration::from_secs(2);

/// How many are dialled at once, beside all other acts. One that does not answer takes seconds, thousands may be
/// like that, and what only tells how things are must not keep back what changes them.
const MOST: usize = 16;

/// How it stands with the known addresses.
#[derive(Default)]
pub(super) struct Checks {
    under_way: usize,
    /// The pods whose addresses are to be dialled.
    waiting: Turns<String>,
    /// When which pod's is to be dialled again.
    again: BTreeSet<(Timestamp, String)>,
}

impl Checks {
    /// How many dials are under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Has a pod's address dialled when its turn comes.
    pub fn await_turn(&mut self, pod: String) {
        self.waiting.insert(pod);
    }

    /// When the next is to be dialled again.
    pub fn next(&self) -> Option<Timestamp> {
        self.again.first().map(|(at, _)| *at)
    }

    /// Forgets all that is not under way.
    pub fn forget(&mut self) {
        *self = Self { under_way: self.under_way, ..Self::default() };
    }
}

impl Leader {
    /// Dials what is due, as far as there is room.
    pub(super) fn check_some(&mut self, now: Timestamp) {
        while self.checks.next().is_some_and(|at| at <= now)
            && let Some((at, pod)) = self.checks.again.pop_first()
        {
            // It may have been dialled since, or may be another pod.
            let there = self.meshes.pod(&pod);
            if there.is_some_and(|(_, pod)| self.memory.trace(&pod.uid).check.next == Some(at)) {
                self.checks.await_turn(pod);
            }
        }
        while self.checks.under_way < MOST
            && let Some(pod) = self.checks.waiting.next()
        {
            self.check(&pod);
        }
    }

    /// Dials the address that is known by now, since it may have waited for its turn.
    fn check(&mut self, name: &str) {
        let (Some((.., subject)), Some((mesh, _))) = (self.subject(name), self.meshes.pod(name)) else {
            return;
        };
        let check = &mut self.memory.trace_mut(&subject.uid).check;
        let Some(known) = self.meshes.all[mesh].book.nodes.get(name).filter(|_| !check.busy) else {
            return;
        };
        check.begin(known);
        let (address, tools) = (known.address.clone(), Arc::clone(&self.tools));
        self.checks.under_way += 1;
        self.acts.spawn(async move {
            let reach = tools.discovery.check(&address).await;
            Outcome::Checked(subject, reach)
        });
    }

    /// Takes in what a dial showed; says whether that is news.
    pub(super) fn checked(&mut self, of: &Subject, reach: Reach) -> bool {
        self.checks.under_way -= 1;
        let every = every(self.meshes.pods());
        let trace = self.memory.trace_mut(&of.uid);
        let before = trace.reached.take();
        let was = before.as_ref().map(|reached| &reached.reach);
        if was.is_some_and(|was| mem::discriminant(was) != mem::discriminant(&reach)) {
            tracing::info!(pod = of.pod, ?reach, "its address");
        }
        let now = Timestamp::now();
        match &reach {
            Reach::Reachable => {
                // At first at any time within it: all may have been dialled at once.
                let jitter = fastrand::f64();
                let part = if was == Some(&Reach::Reachable) { 0.8 + 0.4 * jitter } else { jitter };
                trace.check.succeed(Some(now + every.mul_f64(part)))
            }
            Reach::Unresolved(why) | Reach::Unreachable(why) | Reach::OtherPeer(why) => {
                if trace.check.failures == TOLD {
                    self.tools.cluster.events().about_node(&of.pod, &of.uid, EventReason::CannotReach, why);
                }
                trace.check.fail(why.clone(), now, Pace { first: AGAIN, most: every }, fastrand::f64());
            }
        }
        self.checks.again.extend(trace.check.next.map(|at| (at, of.pod.clone())));
        let reached = Reached { known: trace.check.subject, reach };
        let is_news = before.as_ref() != Some(&reached) || self.is_other_by_now(of);
        self.memory.trace_mut(&of.uid).reached = Some(reached);
        is_news
    }

    /// Whether a pod's address is not the one that was dialled.
    fn is_other_by_now(&self, of: &Subject) -> bool {
        let known =
            self.meshes.pod(&of.pod).and_then(|(mesh, _)| self.meshes.all[mesh].book.nodes.get(&of.pod));
        known.is_some_and(|known| self.memory.trace(&of.uid).check.subject != known.into())
    }
}

/// How often each known address is dialled where there are so many pods of nodes.
fn every(pods: usize) -> SignedDuration {
    APART.saturating_mul(i32::try_from(pods).unwrap_or(i32::MAX)).clamp(EVERY, SELDOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_dialled_less_often_each() {
        let seconds = [0, 5, 30, 31, 300, 10_000].map(|pods| every(pods).as_secs());
        assert_eq!(seconds, [60, 60, 60, 62, 600, 600]);
    }
}
