//! What may go wrong.

use crate::cluster::{answered, delete, is_meant, tell};
use crate::replica::follow;
use crate::state::{Answer, Call, Has, Phase, Secs, State};
use crate::time::advance;

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A container exits soon after its start.
    Crash,
    /// A process that waits for its peers asks for them at last, and is told.
    Ask,
    /// Somebody else deletes a pod.
    Delete,
    /// A pod comes back with another key.
    NewKey,
    /// A replica is killed and starts again: all it had in mind is lost.
    Kill,
    /// The lease expires while its holder acts on.
    LeaseExpires,
    /// The webhook cannot be reached any more.
    WebhookAway,
    /// A budget forbids an eviction.
    Refuse,
    /// An eviction never reaches the API server, or its answer is lost.
    Lose,
    /// Some seconds pass in the midst of everything.
    Linger,
    /// Minutes pass in the midst of everything.
    LingerLong,
    /// The configuration is changed.
    Reconfigure,
}

impl Fault {
    pub const ALL: &[Self] = &[
        Self::Crash,
        Self::Ask,
        Self::Delete,
        Self::NewKey,
        Self::Kill,
        Self::LeaseExpires,
        Self::WebhookAway,
        Self::Refuse,
        Self::Lose,
        Self::Linger,
        Self::LingerLong,
        Self::Reconfigure,
    ];

    /// To how many it may happen.
    pub fn places(self, s: &State) -> usize {
        match self {
            Self::Crash | Self::Ask | Self::Delete | Self::NewKey => s.nodes.len(),
            Self::Kill => s.replicas.len(),
            Self::Refuse | Self::Lose => s.calls.len(),
            _ => 1,
        }
    }

    /// Changes nothing where it cannot happen.
    pub fn happen(self, s: &mut State, i: usize) {
        match self {
            Self::Crash => crash(s, i),
            Self::Ask => ask(s, i),
            Self::Delete => {
                if let Some(pod) = s.nodes[i].pod.as_mut().filter(|pod| !pod.deleting) {
                    delete(pod);
                }
            }
            Self::NewKey => {
                let node = &mut s.nodes[i];
                if node.pod.is_none() && node.made > 0 {
                    node.key = 1;
                }
            }
            Self::Kill => follow(s, i),
            Self::LeaseExpires => {
                s.lease = None;
                advance(s, LEASE);
            }
            Self::WebhookAway => s.webhook = false,
            Self::Refuse => refuse(s, i),
            Self::Lose => {
                let call = s.calls.remove(i);
                tell(s, &call, None);
            }
            Self::Linger => advance(s, 6),
            Self::LingerLong => advance(s, 301),
            Self::Reconfigure => s.config = 1,
        }
    }
}

/// How long a lease lasts.
const LEASE: Secs = 15;

fn crash(s: &mut State, n: usize) {
    let running =
        s.nodes[n].pod.as_mut().filter(|pod| !pod.deleting && pod.container.phase == Phase::Running);
    if let Some(pod) = running {
        pod.container.phase = Phase::Down;
        pod.container.has = Has::No;
        pod.version += 1;
    }
}

fn ask(s: &mut State, n: usize) {
    let is_known = s.stored.known.iter().enumerate().any(|(m, known)| m != n && known.is_some());
    let running =
        s.nodes[n].pod.as_mut().filter(|pod| pod.container.phase == Phase::Running && !pod.variable);
    if let Some(pod) = running.filter(|pod| is_known && pod.container.has == Has::No) {
        pod.container.has = Has::ForItAsked(0);
    }
}

/// Of two evictions of one pod the earlier one is answered first.
fn refuse(s: &mut State, c: usize) {
    let call = &s.calls[c];
    let is_open = |call: &Call| call.answer.is_none();
    let has_earlier =
        s.calls.iter().any(|other| other.node == call.node && other.from != call.from && is_open(other));
    if is_open(call) && call.from.is_some() && !has_earlier && is_meant(s, call) {
        answered(s, c, Answer::Refused);
    }
}
