//! Deliberate faults in the plan: each must be found, or the model would show nothing. `mutated!` in
//! `src/plan.rs` asks for them.

use std::cell::Cell;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Evicts before the note is stored.
    EvictUnnoted,
    /// Takes any note of the node for one of the pod that is there.
    IgnoreUid,
    /// Restarts without waiting for the others of the group.
    IgnoreTurn,
    /// Restarts without looking at the process.
    DoNotLook,
    /// Restarts again at once where a restart did not help.
    NoBackoff,
    /// Reckons backoff and turn from the decision, which may be long ago, and not from when the pod left.
    ReckonFromDecision,
    /// Leaves the note of who waits for a budget standing beside the next.
    KeepRefused,
    /// Lets each of two intentions in a group claim it.
    ClaimTwice,
    /// Withdraws a note though its pod may be leaving, unseen.
    WithdrawAtOnce,
}

impl Mutation {
    pub const ALL: &[Self] = &[
        Self::EvictUnnoted,
        Self::IgnoreUid,
        Self::IgnoreTurn,
        Self::DoNotLook,
        Self::NoBackoff,
        Self::ReckonFromDecision,
        Self::KeepRefused,
        Self::ClaimTwice,
        Self::WithdrawAtOnce,
    ];

    /// Where it is looked for.
    pub fn shows_in(self, scenario: &str) -> bool {
        let word = match self {
            Self::EvictUnnoted | Self::IgnoreUid | Self::IgnoreTurn | Self::ReckonFromDecision => {
                "from nothing"
            }
            Self::DoNotLook | Self::WithdrawAtOnce => "asks",
            Self::NoBackoff => "webhook is away",
            Self::KeepRefused => "budget",
            Self::ClaimTwice => "overlapping",
        };
        scenario.contains(word)
    }
}

thread_local! {
    static ON: Cell<Option<Mutation>> = const { Cell::new(None) };
}

/// Does something with a fault turned on.
pub fn with<T>(mutation: Option<Mutation>, act: impl FnOnce() -> T) -> T {
    ON.set(mutation);
    let done = act();
    ON.set(None);
    done
}

/// Whether it is turned on.
pub fn is_on(mutation: Mutation) -> bool {
    ON.get() == Some(mutation)
}
