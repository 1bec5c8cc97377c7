//! What must hold in every state.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::Ordering;

use stateright::Property;

use crate::model::{Action, Model};
use crate::plan::MAX_ATTEMPTS;
use crate::replica::resign;
use crate::state::{Has, History, Rule, State};
use crate::torch;

/// The rules, and that they do not hold for want of restarts.
pub fn all() -> Vec<Property<Model>> {
    vec![
        Property::always("no node is restarted that has the variable", |m, s| holds(m, s, Rule::HasVariable)),
        Property::always("one restart at a time in a group", |m, s| holds(m, s, Rule::TwoAtATime)),
        Property::always("no pod is restarted but the one that was noted", |m, s| {
            holds(m, s, Rule::NotNoted)
        }),
        Property::always("one restart for each start without the variable", |m, s| {
            holds(m, s, Rule::TwiceForNothing)
        }),
        Property::always("restarts that do not help back off", |m, s| holds(m, s, Rule::TooSoon)),
        Property::always("restarts that do not help end", |m, s| holds(m, s, Rule::TooOften)),
        Property::always("all ends well", |m, s: &State| s.broken.is_some() || first(m, !ends_well(m, s))),
        Property::sometimes("every node was restarted and has the variable", |_, s: &State| {
            s.nodes.iter().all(|node| node.made > 1 && node.pod.as_ref().is_some_and(|pod| pod.variable))
        }),
    ]
}

fn holds(model: &Model, s: &State, rule: Rule) -> bool {
    first(model, s.broken == Some(rule))
}

/// Only the first finding counts: it is the one of the shortest trace.
fn first(model: &Model, broken: bool) -> bool {
    !broken || model.found.swap(true, Ordering::Relaxed)
}

/// Whether, once nothing goes wrong any more, every course of events comes to rest with every node having the
/// variable.
fn ends_well(model: &Model, s: &State) -> bool {
    walk(model, healed(s)).is_ok()
}

/// How it goes on to where it does not end well.
pub fn how_it_ends(model: &Model, s: &State) -> Vec<Action> {
    walk(model, healed(s)).err().unwrap_or_default()
}

/// What it was and may yet be does not matter to what comes of it.
pub fn healed(s: &State) -> State {
    let mut s = s.clone();
    s.webhook = true;
    s.faults = 0;
    s.broken = None;
    for node in &mut s.nodes {
        node.history = History::default();
    }
    for r in 0..s.replicas.len() {
        if s.lease != torch::index(r) {
            resign(&mut s, r);
        }
    }
    s
}

/// A state on the way, and what may come next.
struct Stop {
    id: u64,
    next: Vec<(Action, State)>,
    taken: Vec<Action>,
}

/// Depth first. A state that is met again on its own way could go round for ever.
fn walk(model: &Model, first: State) -> Result<(), Vec<Action>> {
    let mut way: Vec<Stop> = Vec::new();
    let mut on_the_way: HashSet<u64> = HashSet::new();
    let mut enter = Some((None, first));
    loop {
        if let Some((action, s)) = enter.take() {
            let id = hash(&s);
            if !model.well.read().expect("no panic").contains(&id) {
                let mut taken: Vec<Action> =
                    way.last().map_or_else(Vec::new, |stop: &Stop| stop.taken.clone());
                taken.extend(action);
                if !on_the_way.insert(id) {
                    return Err(taken);
                }
                let next = successors(model, &s);
                if next.is_empty() && !is_well(&s) {
                    return Err(taken);
                }
                way.push(Stop { id, next, taken });
            }
        }
        let Some(stop) = way.last_mut() else { return Ok(()) };
        match stop.next.pop() {
            Some((action, s)) => enter = Some((Some(action), s)),
            None => {
                model.well.write().expect("no panic").insert(stop.id);
                on_the_way.remove(&stop.id);
                way.pop();
            }
        }
    }
}

fn successors(model: &Model, s: &State) -> Vec<(Action, State)> {
    let mut actions = Vec::new();
    model.progress(s, &mut actions);
    let step = |action| Some((action, healed(&model.apply(s, action)?)));
    let courses = if model.scenario.every_course { usize::MAX } else { 1 };
    let mut next: Vec<(Action, State)> = actions.into_iter().filter_map(step).take(courses).collect();
    if next.is_empty() {
        next.extend(step(Action::Pass));
    }
    next
}

fn is_well(s: &State) -> bool {
    s.nodes.iter().enumerate().all(|(n, node)| {
        let has = node.pod.as_ref().is_some_and(|pod| pod.variable || pod.container.has != Has::No);
        has || s.stored.notes[n].as_ref().is_some_and(|note| u32::from(note.attempts) >= MAX_ATTEMPTS)
    })
}

fn hash(s: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    s.hash(&mut hasher);
    hasher.finish()
}
