//! Time: it passes by leaps, and what is older than anything waits for is all alike.

use crate::state::{Book, Each, Has, Note, Phase, Pod, Reign, Secs, State};
use crate::torch;

/// Lets time pass.
pub fn advance(s: &mut State, by: Secs) {
    for node in &mut s.nodes {
        if let Some(pod) = &mut node.pod {
            pod.age += by;
            if let Has::ForItAsked(since) = &mut pod.container.has {
                *since += by;
            }
        }
        node.history.since += by;
        // Whoever has not come back by now holds nobody up.
        node.history.out &= node.history.since < READY_WITHIN;
    }
    age_book(&mut s.stored, by);
    for replica in &mut s.replicas {
        age_book(&mut replica.seen, by);
        age_book(&mut replica.book, by);
        age_notes(&mut replica.sent, by);
        if let Some(reign) = &mut replica.reign {
            age_reign(reign, by);
        }
    }
}

fn age_book(book: &mut Book, by: Secs) {
    for known in book.known.iter_mut().flatten() {
        known.age += by;
    }
    age_notes(&mut book.notes, by);
}

fn age_notes(notes: &mut Each<Option<Note>>, by: Secs) {
    for note in notes.iter_mut().flatten() {
        note.age += by;
        note.left = note.left.map(|left| left + by);
    }
}

fn age_reign(reign: &mut Reign, by: Secs) {
    for pod in reign.view.iter_mut().flatten() {
        pod.age += by;
    }
    for trace in &mut reign.traces {
        trace.evict.wait = trace.evict.wait.saturating_sub(by);
        if let Some(look) = &mut trace.look {
            look.age += by;
        }
    }
}

/// What a successor may take to be ready, as `src/plan/restart.rs` has it.
const READY_WITHIN: Secs = 300;

/// What a group takes to settle by default.
const SETTLED: Secs = 120;

/// The wait after so many restarts in vain.
pub fn backoff(attempts: u8) -> Secs {
    if attempts == 0 { 0 } else { 60 << (attempts - 1) }
}

/// Makes all alike that nothing depends on.
pub fn cut_off_ages(s: &mut State, nodes: usize) {
    for node in &mut s.nodes {
        node.pod.iter_mut().for_each(cut_off_pod);
        let history = &mut node.history;
        let matters = if history.out { READY_WITHIN } else { 0 };
        history.since = history.since.min(matters.max(backoff(history.row)));
    }
    cut_off_book(&mut s.stored, nodes);
    for replica in &mut s.replicas {
        cut_off_book(&mut replica.seen, nodes);
        cut_off_book(&mut replica.book, nodes);
        cut_off_notes(&mut replica.sent);
        if let Some(reign) = &mut replica.reign {
            reign.view.iter_mut().flatten().for_each(cut_off_pod);
            for look in reign.traces.iter_mut().filter_map(|trace| trace.look.as_mut()) {
                look.age = look.age.min(torch::FRESH);
            }
        }
    }
}

fn cut_off_pod(pod: &mut Pod) {
    if let Has::ForItAsked(since) = &mut pod.container.has {
        *since = torch::FRESH.min(*since);
    }
    // Only of what has not started yet it matters how long that takes.
    pod.age = if pod.container.phase == Phase::Waiting { pod.age.min(READY_WITHIN) } else { 0 };
}

fn cut_off_book(book: &mut Book, nodes: usize) {
    let complete = book.known.iter().flatten().count() == nodes;
    for known in book.known.iter_mut().flatten() {
        known.age = if complete { SETTLED } else { known.age.min(SETTLED) };
    }
    cut_off_notes(&mut book.notes);
}

fn cut_off_notes(notes: &mut Each<Option<Note>>) {
    for note in notes.iter_mut().flatten() {
        let matters = READY_WITHIN.max(backoff(note.attempts));
        note.age = note.age.min(matters);
        note.left = note.left.map(|left| left.min(matters));
    }
}
