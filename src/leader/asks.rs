//! Requests to learn what is not known, from `/gen`.

use std::collections::HashSet;

use tokio::sync::oneshot;

use super::{Ask, Leader, TooMany};

/// How many probes that requests asked for may be under way at once.
const MOST_ASKED: usize = 32;

/// Who asks is about to start: its probes come at the pace of so many failures at the most, some seconds.
const SOON: u32 = 3;

/// Who waits for the probes of some pods.
pub(super) struct Waiter {
    pub(super) pods: HashSet<String>,
    done: Option<oneshot::Sender<Result<(), TooMany>>>,
}

impl Leader {
    pub(super) fn ask(&mut self, ask: Ask) {
        let asked: usize = self.waiters.iter().map(|w| w.pods.len()).sum();
        if asked + ask.pods.len() > MOST_ASKED {
            let _ = ask.done.send(Err(TooMany));
            return;
        }
        let mut waiter = Waiter { pods: HashSet::new(), done: Some(ask.done) };
        for name in ask.pods {
            let Some((.., subject)) = self.subject(&name).filter(|(.., s)| !s.container.is_empty()) else {
                continue;
            };
            let probe = &mut self.memory.trace_mut(&subject.uid).probe;
            probe.failures = probe.failures.min(SOON);
            if !probe.busy {
                self.probe(&name, false);
            }
            waiter.pods.insert(name);
        }
        self.waiters.push(waiter);
    }

    /// Tells those whose pods were all tried, now that the snapshot shows what was learned.
    pub(super) fn answer_waiters(&mut self) {
        self.waiters.retain_mut(|waiter| {
            if waiter.pods.is_empty() {
                waiter.done.take().map(|done| done.send(Ok(())));
            }
            waiter.done.as_ref().is_some_and(|done| !done.is_closed())
        });
    }
}
