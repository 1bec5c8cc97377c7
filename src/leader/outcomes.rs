//! Taking in what came of the acts.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::discovery::Learned;
use super::restart::Restarted;
use super::retries::Retries;
use super::{Leader, Outcome, Subject};
use crate::cluster::events::Reason as EventReason;
use crate::cluster::{Events, ExecError};
use crate::peers::Known;
use crate::plan::{self, Attempt, Delivered, Delivery, Look, Pace, Process, Reason, Trace};

const PROBE_PACE: Pace =
    Pace { first: SignedDuration::from_millis(400), most: SignedDuration::from_secs(30) };
const EXEC_PACE: Pace = Pace { first: SignedDuration::from_secs(1), most: SignedDuration::from_secs(60) };
/// How long a pod that was evicted may be seen as if it was not.
const LEAVES_WITHIN: SignedDuration = SignedDuration::from_secs(60);
const EVICT_PACE: Pace = Pace { first: SignedDuration::from_secs(1), most: SignedDuration::from_secs(30) };

/// After so many failures in a row the next is told: fewer pass by themselves in most cases.
pub(super) const TOLD: u32 = 3;

/// The same for a command in a container, which takes its time to fail.
const EXEC_TOLD: u32 = 1;

impl Leader {
    pub(super) fn outcome(&mut self, outcome: Outcome) {
        let of = match &outcome {
            Outcome::Probed(of, _)
            | Outcome::Looked(of, _)
            | Outcome::Delivered(of, ..)
            | Outcome::Checked(of, _)
            | Outcome::Evicted(of, ..) => Some(of.clone()),
            Outcome::Saved(..) => None,
        };
        let is_news = self.take_in(outcome);
        let Some(of) = of else { return };
        let there = self.meshes.pod(&of.pod);
        if there.is_none_or(|(_, pod)| pod.uid != of.uid) {
            // Its end came first, and nothing else would come to forget it.
            self.memory.forget(&of.uid);
        }
        self.dirty.extend(there.filter(|_| is_news).map(|(mesh, _)| mesh));
    }

    /// Says whether the plan may be another one now.
    fn take_in(&mut self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Probed(of, learned) => self.probed(&of, learned),
            Outcome::Looked(of, looked) => self.looked(&of, looked),
            Outcome::Delivered(of, value, done) => self.delivered(&of, value, done),
            Outcome::Checked(of, reach) => return self.checked(&of, reach),
            Outcome::Evicted(of, reason, done) => self.evicted(&of, reason, done),
            Outcome::Saved(shard, saved) => self.saved(shard, saved),
        }
        true
    }

    fn probed(&mut self, of: &Subject, learned: Result<Learned, String>) {
        for waiter in &mut self.waiters {
            waiter.pods.remove(&of.pod);
        }
        match learned {
            Err(why) => {
                let probe = &mut self.memory.trace_mut(&of.uid).probe;
                if probe.failures == TOLD {
                    tracing::warn!(pod = of.pod, why, "cannot learn its address; trying on");
                    self.tools.cluster.events().about_node(&of.pod, &of.uid, EventReason::CannotLearn, &why);
                }
                fail(probe, why, PROBE_PACE, &mut self.retries);
            }
            Ok(learned) => {
                self.memory.trace_mut(&of.uid).probe.succeed(None);
                self.learn(of, learned);
            }
        }
    }

    /// Enters what was learned in the book, if it was learned of the pod that is there now.
    fn learn(&mut self, of: &Subject, learned: Learned) {
        let Some((mesh, pod)) = self.meshes.pod(&of.pod).filter(|(_, pod)| pod.uid == of.uid) else {
            return;
        };
        let Some(settings) = self.meshes.all[mesh].config.settings(pod.who()) else {
            return;
        };
        let (address, resolves) = match learned {
            Learned::Address(address) => (address, true),
            Learned::Peer(peer) => {
                let (_, resolves) = plan::host(pod, settings, &self.names);
                (plan::address(pod, settings, &self.names, &peer), resolves)
            }
        };
        let before = self.meshes.all[mesh].book.nodes.get(&of.pod);
        let same = before.is_some_and(|known| known.address == address);
        if !same {
            let (old, new) = (before.map(|k| k.address.to_string()), address.as_str());
            tracing::info!(pod = of.pod, address = new, old, "learned its address");
            let note = format!("its peers will be given {new}");
            self.tools.cluster.events().about_node(&of.pod, &of.uid, EventReason::AddressLearned, note);
        }
        if !resolves && !same {
            tracing::warn!(
                pod = of.pod,
                "no Service makes its host resolve: give the pod a headless Service, or set host"
            );
        }
        let learned = before.filter(|_| same).map_or_else(Timestamp::now, |known| known.learned);
        let known =
            Known { address, workload: pod.workload.clone(), container: of.container.clone(), learned };
        let book = &mut self.meshes.all[mesh].book;
        if book.nodes.get(&of.pod) != Some(&known) {
            // Readers have the book as it was. One copy does for all that is learned before they get the next.
            Arc::make_mut(book).nodes.insert(of.pod.clone(), known);
        }
    }

    fn looked(&mut self, of: &Subject, looked: Result<Process, ExecError>) {
        let events = self.tools.cluster.events();
        let trace = self.memory.trace_mut(&of.uid);
        match looked {
            Ok(process) => {
                trace.look.succeed(None);
                trace.looked =
                    Some(Look { container: (*of.container).into(), at: Timestamp::now(), process });
            }
            Err(error) => {
                tell(&trace.look, of, "look at its process", &error, events);
                fail(&mut trace.look, error.to_string(), EXEC_PACE, &mut self.retries);
            }
        }
    }

    fn delivered(&mut self, of: &Subject, value: String, done: Result<Delivery, ExecError>) {
        let events = self.tools.cluster.events();
        let trace = self.memory.trace_mut(&of.uid);
        match done {
            Ok(outcome) => {
                self.tools.metrics.delivery(label(&outcome));
                match &outcome {
                    Delivery::Written => tracing::info!(pod = of.pod, "wrote its file"),
                    Delivery::NotWritable(why) => {
                        tracing::warn!(pod = of.pod, why, "cannot write its file");
                        events.about_node(&of.pod, &of.uid, EventReason::CannotWriteFile, why);
                    }
                    Delivery::UpToDate | Delivery::Absent | Delivery::NoShell => {}
                }
                trace.deliver.succeed(None);
                let (container, value) = ((*of.container).into(), (*value).into());
                trace.delivered = Some(Delivered { container, value, outcome });
            }
            Err(error) => {
                self.tools.metrics.delivery("failure");
                tell(&trace.deliver, of, "write its file", &error, events);
                fail(&mut trace.deliver, error.to_string(), EXEC_PACE, &mut self.retries);
            }
        }
    }

    fn evicted(&mut self, of: &Subject, reason: Reason, done: Restarted) {
        self.tools.metrics.eviction(done.label());
        let was_not_carried_out = matches!(done, Restarted::Refused(_) | Restarted::HeldBack(_));
        if was_not_carried_out {
            self.memory.not_evicted.insert(of.uid.clone());
        } else {
            self.memory.not_evicted.remove(&of.uid);
        }
        let events = self.tools.cluster.events();
        let trace = self.memory.trace_mut(&of.uid);
        match done {
            Restarted::Done => {
                self.tools.metrics.restart(reason.label());
                tracing::info!(pod = of.pod, uid = of.uid, reason = reason.label(), "restarted");
                let why = reason.sentence();
                events.about_node(&of.pod, &of.uid, EventReason::Restarted, why);
                if let Some(owner) = self.meshes.pod(&of.pod).and_then(|(_, pod)| pod.owner.as_ref()) {
                    events.about_owner(owner, EventReason::Restarted, format!("{}: {why}", of.pod));
                }
                trace.evict.succeed(Some(Timestamp::now() + LEAVES_WITHIN));
            }
            Restarted::Gone => trace.evict.succeed(Some(Timestamp::now() + EVICT_PACE.first)),
            Restarted::Refused(why) => hold_back(trace, of, why, true, events),
            Restarted::HeldBack(why) | Restarted::Unclear(why) => hold_back(trace, of, why, false, events),
        }
    }
}

/// A command that fails in a container is logged when it begins to fail, and an Event soon after.
fn tell(attempt: &Attempt, of: &Subject, act: &str, error: &ExecError, events: &Events) {
    if attempt.failures == 0 {
        tracing::warn!(pod = of.pod, %error, "cannot {act}; trying again");
    }
    if attempt.failures == EXEC_TOLD {
        let note = format!("cannot {act}: {error}");
        events.about_node(&of.pod, &of.uid, EventReason::CannotExec, note);
    }
}

/// It is tried again at its own pace, and that of all.
fn fail(attempt: &mut Attempt, why: String, pace: Pace, retries: &mut Retries) {
    let now = Timestamp::now();
    attempt.fail(why, now, pace, fastrand::f64());
    attempt.next = attempt.next.max(Some(retries.next(now)));
}

fn hold_back(trace: &mut Trace, of: &Subject, why: String, budget: bool, events: &Events) {
    if trace.evict.error.as_ref() != Some(&why) {
        tracing::info!(pod = of.pod, why, "its restart waits");
        events.about_node(&of.pod, &of.uid, EventReason::RestartWaits, &why);
    }
    trace.budget = budget;
    trace.evict.fail(why, Timestamp::now(), EVICT_PACE, fastrand::f64());
}

fn label(outcome: &Delivery) -> &'static str {
    match outcome {
        Delivery::Written => "written",
        Delivery::UpToDate => "up_to_date",
        Delivery::Absent => "absent",
        Delivery::NotWritable(_) => "not_writable",
        Delivery::NoShell => "no_shell",
    }
}
