//! A replica of Torch, as far as it decides on restarts: what `src/leader` does around the plan.

use std::array;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::model::Model;
use crate::mutations;
use crate::plan::{self, Act, Plan};
use crate::real::{self, Real, node_of};
use crate::state::{
    Answer, Call, Each, Evict, Has, Known, Look, Phase, Reign, Replica, Rule, Secs, State, Trace,
};

/// Until what was held back is tried again.
const RETRY: Secs = 100;

/// Until a pod that was evicted and is still seen is evicted again.
const LEAVES_WITHIN: Secs = 60;

/// A restart rests on a look no older than this.
pub const FRESH: Secs = 5;

/// What came of a leader's work.
pub struct Worked {
    replica: Replica,
    files: Each<bool>,
    calls: Vec<Call>,
    broken: Option<Rule>,
    wake: Option<Secs>,
}

/// Plans and carries out what is due; says when to plan again.
pub fn work(model: &Model, s: &mut State, r: usize) -> Option<Secs> {
    let key = what_it_rests_on(s, r);
    let known = model.worked.read().expect("no panic").get(&key).map(Arc::clone);
    let worked = known.unwrap_or_else(|| {
        let worked = Arc::new(really_work(model, s, r));
        model.worked.write().expect("no panic").insert(key, Arc::clone(&worked));
        worked
    });
    s.replicas[r] = worked.replica.clone();
    for (node, file) in s.nodes.iter_mut().zip(&worked.files) {
        if let Some(pod) = &mut node.pod {
            pod.file = *file;
        }
    }
    s.calls.extend_from_slice(&worked.calls);
    s.calls.sort_unstable();
    s.broken = s.broken.or(worked.broken);
    worked.wake
}

/// All that a leader's work depends on: much else may differ.
fn what_it_rests_on(s: &State, r: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (r, &s.replicas[r], s.webhook, s.lease == index(r)).hash(&mut hasher);
    for node in &s.nodes {
        (&node.pod, node.key).hash(&mut hasher);
    }
    hasher.finish()
}

fn really_work(model: &Model, s: &State, r: usize) -> Worked {
    let mut s = State { calls: Vec::new(), broken: None, ..s.clone() };
    let wake = plan_and_carry_out(model, &mut s, r);
    let file = |n: usize| s.nodes.get(n).and_then(|node| node.pod.as_ref()).is_some_and(|pod| pod.file);
    let files = array::from_fn(file);
    Worked { replica: s.replicas[r].clone(), files, calls: s.calls, broken: s.broken, wake }
}

/// What takes only a moment (probes, looks, files) is done at once and planned on, until only notes and
/// evictions are left.
fn plan_and_carry_out(model: &Model, s: &mut State, r: usize) -> Option<Secs> {
    forget_who_is_gone(s, r);
    loop {
        let mut real =
            Real::new(&model.configs[usize::from(s.replicas[r].config)], &model.names, &s.replicas[r]);
        let plan = mutations::with(model.mutation, || {
            real.tidy();
            plan::plan(real.world())
        });
        s.replicas[r].book = model.names.abstract_book(&real.book);
        if !take_moments(s, r, &plan) {
            note_and_evict(model, s, r, real, &plan);
            return plan.wake.map(real::until);
        }
    }
}

fn forget_who_is_gone(s: &mut State, r: usize) {
    let replica = &mut s.replicas[r];
    let reign = replica.reign.as_mut().expect("only a leader works");
    for (not_evicted, note) in reign.not_evicted.iter_mut().zip(&replica.book.notes) {
        if *not_evicted != note.as_ref().map(|n| n.uid) {
            *not_evicted = None;
        }
    }
}

/// Whether any of the plan's probes, looks and files told something new.
fn take_moments(s: &mut State, r: usize, plan: &Plan) -> bool {
    let mut new = false;
    for act in &plan.acts {
        new |= match act {
            Act::Probe { pod, .. } => probe(s, r, node_of(pod)),
            Act::Look { pod } => look(s, r, node_of(pod)),
            Act::Deliver { pod, .. } => deliver(s, node_of(pod)),
            Act::Note { .. } | Act::Evict { .. } | Act::Check { .. } => false,
        };
    }
    new
}

/// Whoever answers at the pod's address is taken for the container that was seen.
fn probe(s: &mut State, r: usize, n: usize) -> bool {
    if s.nodes[n].pod.as_ref().is_none_or(|pod| pod.container.phase == Phase::Waiting) {
        return false;
    }
    let replica = &mut s.replicas[r];
    let seen =
        replica.reign.as_ref().and_then(|reign| reign.view[n].as_ref()).expect("who is probed was seen");
    let key = s.nodes[n].key;
    let before = replica.book.known[n].as_ref();
    let age = before.filter(|known| known.key == key).map_or(0, |known| known.age);
    let known = Some(Known { container: (seen.uid, seen.container.instance), key, age });
    std::mem::replace(&mut replica.book.known[n], known.clone()) != known
}

/// Whatever runs under the pod's name is taken for the container that was seen.
fn look(s: &mut State, r: usize, n: usize) -> bool {
    let Some(pod) = s.nodes[n].pod.as_ref().filter(|pod| pod.container.phase == Phase::Running) else {
        return false;
    };
    let reign = s.replicas[r].reign.as_mut().expect("only a leader looks");
    let seen = reign.view[n].as_ref().expect("who is looked at was seen");
    let has = pod.variable || pod.container.has != Has::No;
    let look = Some(Look { instance: seen.container.instance, has, age: 0 });
    std::mem::replace(&mut reign.traces[n].look, look.clone()) != look
}

fn deliver(s: &mut State, n: usize) -> bool {
    if let Some(pod) = s.nodes[n].pod.as_mut().filter(|pod| pod.container.phase == Phase::Running) {
        pod.file = true;
    }
    false
}

fn note_and_evict(model: &Model, s: &mut State, r: usize, mut real: Real<'_>, plan: &Plan) {
    for act in &plan.acts {
        match act {
            Act::Note { pod, reason } => mutations::with(model.mutation, || real.note(node_of(pod), *reason)),
            Act::Evict { pod, .. } => begin_eviction(s, r, node_of(pod)),
            _ => {}
        }
    }
    s.replicas[r].book = model.names.abstract_book(&real.book);
}

fn begin_eviction(s: &mut State, r: usize, n: usize) {
    let config = s.replicas[r].config;
    let holds_lease = s.lease == index(r);
    let reign = s.replicas[r].reign.as_mut().expect("only a leader evicts");
    let seen = reign.view[n].as_ref().expect("who is evicted was seen");
    let (uid, version) = (seen.uid, seen.version);
    reign.not_evicted[n] = None;
    if !s.webhook || !holds_lease {
        // Another leader may evict it.
        reign.not_evicted[n] = holds_lease.then_some(uid);
        hold_back(&mut reign.traces[n], false);
        return;
    }
    reign.traces[n].evict = Evict { busy: true, ..Evict::default() };
    judge_decision(s, r, n, uid);
    let from = index(r);
    s.calls.push(Call { node: index(n).expect("few"), uid, version, from, config, answer: None });
    s.calls.sort_unstable();
}

fn judge_decision(s: &mut State, r: usize, n: usize, uid: u8) {
    if s.replicas[r].seen.notes[n].as_ref().is_none_or(|note| note.uid != uid) {
        s.broken.get_or_insert(Rule::NotNoted);
    }
    let meant = s.nodes[n].pod.as_ref().filter(|pod| pod.uid == uid);
    if meant.is_some_and(|pod| matches!(pod.container.has, Has::ForItAsked(since) if since >= FRESH)) {
        s.broken.get_or_insert(Rule::HasVariable);
    }
}

fn hold_back(trace: &mut Trace, budget: bool) {
    trace.evict = Evict { busy: false, wait: RETRY, failed: true, budget };
}

/// Takes in what came of an eviction; `None`: nobody can tell.
pub fn take_in(reign: &mut Reign, n: usize, uid: u8, answer: Option<Answer>) {
    reign.not_evicted[n] = (answer == Some(Answer::Refused)).then_some(uid);
    if reign.view[n].as_ref().is_none_or(|pod| pod.uid != uid) {
        return;
    }
    let trace = &mut reign.traces[n];
    match answer {
        Some(Answer::Done) => trace.evict = Evict { wait: LEAVES_WITHIN, ..Evict::default() },
        Some(Answer::Gone) => trace.evict = Evict { wait: 1, ..Evict::default() },
        Some(Answer::Refused) => hold_back(trace, true),
        None => hold_back(trace, false),
    }
}

/// The index of a node or replica, as it is remembered.
pub fn index(i: usize) -> Option<u8> {
    u8::try_from(i).ok()
}
