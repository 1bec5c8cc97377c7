//! What the leader has seen and tried since it began. All of it may be lost at any time: it saves work,
//! and nothing that must not happen twice depends on it.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::peers::Known;

/// Pod UID → what was seen of it and tried with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    traces: HashMap<String, Box<Trace>>,
    /// UIDs of the pods whose eviction was surely not carried out.
    pub not_evicted: HashSet<String>,
    nothing: Trace,
}

impl Memory {
    /// What is remembered of a pod.
    pub fn trace(&self, uid: &str) -> &Trace {
        self.traces.get(uid).map_or(&self.nothing, Box::as_ref)
    }

    /// The same, to be added to.
    pub fn trace_mut(&mut self, uid: &str) -> &mut Trace {
        self.traces.entry(uid.to_owned()).or_default()
    }

    /// Forgets a pod that is gone.
    pub fn forget(&mut self, uid: &str) {
        self.traces.remove(uid);
    }
}

/// All that is kept of a text of which nothing matters but whether another is the same: a container's id,
/// a value of kilobytes. Two that differ look the same once in 2⁶⁴.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Print(u64);

impl Print {
    fn of(what: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl From<&str> for Print {
    fn from(text: &str) -> Self {
        Self::of(text)
    }
}

impl From<&String> for Print {
    fn from(text: &String) -> Self {
        Self::of(text.as_str())
    }
}

/// A new container may be another node at the same address.
impl From<&Known> for Print {
    fn from(known: &Known) -> Self {
        Self::of((known.address.as_str(), &known.container))
    }
}

/// What was seen of one pod and tried with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Learning its peer id; the subject is the container's id.
    pub probe: Attempt,
    /// Looking at its process; the subject is the container's id.
    pub look: Attempt,
    /// Writing its file; the subject is the container's id.
    pub deliver: Attempt,
    /// Dialling its address; the subject is the address and the container that it was learned from.
    pub check: Attempt,
    /// Evicting it; the subject is the pod's UID.
    pub evict: Attempt,
    /// Whether the last refused eviction was refused for a budget.
    pub budget: bool,
    /// What its process has.
    pub looked: Option<Look>,
    /// What was written into it.
    pub delivered: Option<Delivered>,
    /// What dialling its address showed.
    pub reached: Option<Reached>,
}

/// How it stands with something that may be tried again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attempt {
    /// What it is tried on; another subject may be tried at once.
    pub subject: Print,
    /// It is under way.
    pub busy: bool,
    /// How often it has failed in a row.
    pub failures: u32,
    /// When it may be tried again.
    pub next: Option<Timestamp>,
    /// Why it failed last.
    pub error: Option<String>,
}

impl Attempt {
    /// It begins.
    pub fn begin(&mut self, subject: impl Into<Print>) {
        let subject = subject.into();
        if self.subject != subject {
            *self = Self { subject, ..Self::default() };
        }
        self.busy = true;
    }

    /// It succeeded, and is not due again before `next`.
    pub fn succeed(&mut self, next: Option<Timestamp>) {
        *self = Self { subject: self.subject, next, ..Self::default() };
    }

    /// It failed: it waits `pace.first`, then twice as long each time, `pace.most` at most. `jitter`,
    /// from 0 to 1, spreads this over the upper half of the time.
    pub fn fail(&mut self, error: String, now: Timestamp, pace: Pace, jitter: f64) {
        let doubled = pace.first.saturating_mul(1 << self.failures.min(20));
        let wait = doubled.min(pace.most).mul_f64(0.5 + jitter / 2.0);
        self.busy = false;
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + wait);
        self.error = Some(error);
    }
}

/// How fast something is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The wait after the first failure.
    pub first: SignedDuration,
    /// The longest wait.
    pub most: SignedDuration,
}

/// What an exec saw of the process in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The container's id.
    pub container: Print,
    /// When.
    pub at: Timestamp,
    /// What.
    pub process: Process,
}

/// Whether a process has the variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Process {
    /// It has, with this value.
    Has(String),
    /// No process that the container's user may see has it.
    Lacks,
    /// The container has no shell to look with, so its spec decides.
    Unseen,
}

/// A file that was written, or was found not to be writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The container's id.
    pub container: Print,
    /// The value.
    pub value: Print,
    /// What came of it.
    pub outcome: Delivery,
}

/// What became of the file in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "message")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Delivery {
    /// It holds the value: it was written.
    Written,
    /// It held the value before.
    UpToDate,
    /// Its directory is not there.
    Absent,
    /// Its directory cannot be written; with what to set.
    NotWritable(String),
    /// The container has no shell to write it with.
    NoShell,
}

/// That an address was dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The address, and the container that it was learned from.
    pub known: Print,
    /// What that showed.
    pub reach: Reach,
}

/// What dialling an address by its own name showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "message")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Reach {
    /// It resolves, answers and is who it should be.
    Reachable,
    /// Its host does not resolve.
    Unresolved(String),
    /// It does not answer.
    Unreachable(String),
    /// Somebody else answers.
    OtherPeer(String),
}
