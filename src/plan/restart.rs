//! Who is restarted next, and why the others are not.
//!
//! A restart goes in two steps, so that a crash between them neither forgets nor doubles it: it is
//! noted in the book, and once the note is saved the pod is evicted, by its UID. A note whose pod still
//! stands is an intention; one whose pod is gone is a restart under way until the pod's successor is
//! ready or has shown that it will not be.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{Act, Agenda, Node, Process, Scene, Wait, World};
use crate::peers::{Book, Pod, Restart};

/// How many restarts in a row may fail to bring the variable.
pub const MAX_ATTEMPTS: u32 = 5;

/// The wait after the first restart that did not bring the variable; doubled after each further one.
const FIRST_BACKOFF: SignedDuration = SignedDuration::from_mins(1);

/// How long a variable that was made right by a restart must stay so for the restart to have helped.
const LASTING: SignedDuration = SignedDuration::from_hours(1);

/// How long a successor may take to be ready before the next node's turn comes.
const READY_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// How old a look at a process may be for a restart to rest on it.
const FRESH: SignedDuration = SignedDuration::from_secs(5);

/// Why a node is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It runs without the variable, and its group is complete.
    Complete,
    /// It runs without the variable, and its group has settled without being complete.
    Settled,
    /// It runs without the variable and cannot start so.
    CannotStart,
    /// Its variable lacks a peer.
    Partial,
    /// Its variable holds an address that is no longer right.
    Changed,
}

impl Reason {
    /// Its value of the metric label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Settled => "settled",
            Self::CannotStart => "cannot_start",
            Self::Partial => "partial",
            Self::Changed => "changed",
        }
    }

    /// What it means, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Complete => "it ran without TRUSTED_PEERS, and all of its peers are known by now",
            Self::Settled => {
                "it ran without TRUSTED_PEERS, and no more of its peers became known for a while"
            }
            Self::CannotStart => "it cannot start without TRUSTED_PEERS",
            Self::Partial => "its TRUSTED_PEERS lacked a peer that is known by now",
            Self::Changed => "its TRUSTED_PEERS held an address that is no longer right",
        }
    }
}

/// Decides for each of `nodes`; says what each waits for.
pub(super) fn decide(world: World<'_>, nodes: &[Node<'_>], agenda: &mut Agenda) -> Vec<Option<Wait>> {
    let mut busy = Busy::new(world, agenda);
    let verdicts: Vec<_> = nodes.iter().map(|node| candidate(node, world, agenda)).collect();
    claim_intended(nodes, &verdicts, world, &mut busy, agenda);
    nodes.iter().zip(verdicts).map(|(node, verdict)| turn(node, verdict, world, &mut busy, agenda)).collect()
}

/// An intention comes before everybody's turn: its pod may be gone already, unseen. Of two in a group, which
/// a change of the configuration may bring together, only one may claim it, or each would wait for the other.
fn claim_intended(
    nodes: &[Node<'_>],
    verdicts: &[Result<Reason, Option<Wait>>],
    world: World<'_>,
    busy: &mut Busy,
    agenda: &mut Agenda,
) {
    let stands = |node: &Node<'_>, verdict: &Result<Reason, Option<Wait>>| match verdict {
        _ if node.trace.evict.busy => true,
        Ok(_) | Err(Some(Wait::Look { why: None } | Wait::Start)) => true,
        Err(None) => node.container.is_some(),
        Err(Some(_)) => false,
    };
    let mut intended: Vec<&Node<'_>> = nodes
        .iter()
        .zip(verdicts)
        .filter(|(node, verdict)| {
            stands(node, verdict) && is_intended(world, node.pod) && !steps_aside(node, agenda)
        })
        .map(|(node, _)| node)
        .collect();
    intended.sort_by_key(|node| !node.trace.evict.busy);
    for node in intended {
        // The plan is made again when its eviction is no longer waited for.
        let _ = node.trace.evict.next.map(|next| agenda.is_past(next));
        if busy.other(node).is_none() || mutated!(ClaimTwice) {
            busy.claim(node);
        }
    }
}

fn turn(
    node: &Node<'_>,
    verdict: Result<Reason, Option<Wait>>,
    world: World<'_>,
    busy: &mut Busy,
    agenda: &mut Agenda,
) -> Option<Wait> {
    let reason = match verdict {
        Ok(reason) => reason,
        Err(wait) => {
            if !matches!(wait, Some(Wait::Look { why: None })) {
                return wait;
            }
            // Its turn comes as soon as it is looked at: those behind it do not overtake it. A look for the next try
            // is not what it waits for.
            let after = busy.other(node).map(|after| Wait::Turn { after });
            busy.claim(node);
            return after.or_else(|| held_back(node)).or(wait);
        }
    };
    if let Some(after) = busy.other(node).filter(|_| !mutated!(IgnoreTurn)) {
        return Some(Wait::Turn { after });
    }
    if !steps_aside(node, agenda) {
        busy.claim(node);
    }
    if is_held_back(node, agenda) {
        return held_back(node);
    }
    let pod = node.pod.name.clone();
    if !is_intended(world, node.pod) {
        agenda.acts.push(Act::Note { pod, reason });
    } else if (world.noted.contains(&node.pod.uid) || mutated!(EvictUnnoted))
        && agenda.is_due(&node.trace.evict, &node.pod.uid)
    {
        agenda.acts.push(Act::Evict { pod, reason });
    }
    Some(match world.unsaved {
        Some(why) if !world.noted.contains(&node.pod.uid) => {
            Wait::Obstacle { why: format!("its note cannot be saved: {why}") }
        }
        _ => held_back(node).unwrap_or(Wait::Restart),
    })
}

/// Whether a node is to be restarted as soon as its turn comes, or what it waits for before, if for
/// anything.
fn candidate(node: &Node<'_>, world: World<'_>, agenda: &mut Agenda) -> Result<Reason, Option<Wait>> {
    let container = node.container.ok_or(None)?;
    if node.pod.deleting {
        return Err(None);
    }
    if container.id.is_none() {
        return Err(Some(Wait::Start));
    }
    let reason = wanted(node, world, agenda)?;
    may(node, reason)?;
    if reason != Reason::CannotStart && !mutated!(DoNotLook) {
        is_looked_at(node, agenda)?;
    }
    past_backoff(node, world, agenda)?;
    Ok(reason)
}

/// Why a restart would help, once it would.
fn wanted(node: &Node<'_>, world: World<'_>, agenda: &mut Agenda) -> Result<Reason, Option<Wait>> {
    let have = value_in_force(node);
    if have.is_some_and(|value| node.is_given(value)) {
        return Err(None);
    }
    if node.peers.is_empty() {
        return Err(have.is_none().then_some(Wait::Peers));
    }
    let authors_own = node.container.is_some_and(|c| c.variable.is_some()) && !node.pod.injected;
    if authors_own {
        return Err(None);
    }
    let policy = &node.settings.restart;
    let stale = have.map(|v| if node.is_given_all_of(v) { Reason::Partial } else { Reason::Changed });
    match stale {
        None if !policy.early => return Err(Some(Wait::RestartOff)),
        Some(Reason::Partial) if !policy.partial => return Err(None),
        Some(Reason::Changed) if !policy.changed => return Err(None),
        _ => {}
    }
    if stale.is_none() && node.container.is_some_and(|c| c.keeps_exiting()) {
        return Ok(Reason::CannotStart);
    }
    let complete = is_complete_or_settled(node, world, agenda)?;
    Ok(stale.unwrap_or(complete))
}

/// The value that the node runs with: its spec's, or else its process's.
pub(super) fn value_in_force<'a>(node: &Node<'a>) -> Option<&'a str> {
    if let Some(value) = &node.container?.variable {
        return Some(value);
    }
    match &node.looked()?.process {
        Process::Has(value) => Some(value),
        Process::Lacks | Process::Unseen => None,
    }
}

fn is_complete_or_settled(
    node: &Node<'_>,
    world: World<'_>,
    agenda: &mut Agenda,
) -> Result<Reason, Option<Wait>> {
    if node.missing().next().is_none() {
        return Ok(Reason::Complete);
    }
    let learned = node.last_learned().unwrap_or(world.now);
    let until = after(learned, node.settings.restart.settle);
    if agenda.is_past(until) { Ok(Reason::Settled) } else { Err(Some(Wait::group(node.missing(), until))) }
}

/// A time that cannot be reckoned, being too far away, never comes.
pub(super) fn after(time: Timestamp, wait: SignedDuration) -> Timestamp {
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

fn may(node: &Node<'_>, reason: Reason) -> Result<(), Option<Wait>> {
    let early = !matches!(reason, Reason::Partial | Reason::Changed);
    let wait = |wait| Err(early.then_some(wait));
    if node.pod.opted_out {
        return wait(Wait::OptedOut);
    }
    if !node.pod.owner.as_ref().is_some_and(|owner| owner.recreates()) {
        return wait(Wait::Owner);
    }
    Ok(())
}

/// A restart rests on a look at the process that is not older than a moment: the node may have read
/// its file or asked `/gen` meanwhile.
fn is_looked_at(node: &Node<'_>, agenda: &mut Agenda) -> Result<(), Option<Wait>> {
    let Some(container) = node.container.filter(|c| c.running.is_some()) else {
        return Err(Some(Wait::Start));
    };
    if container.variable.is_some() || node.looked().is_some_and(|look| agenda.now < look.at + FRESH) {
        return Ok(());
    }
    if agenda.is_due(&node.trace.look, container.id.as_deref().unwrap_or_default()) {
        agenda.look(node.pod);
    }
    Err(Some(Wait::Look { why: node.trace.look.error.clone() }))
}

fn past_backoff(node: &Node<'_>, world: World<'_>, agenda: &mut Agenda) -> Result<(), Option<Wait>> {
    let Some(last) = world.book.restarts.get(node.pod.restart_key()) else {
        return Ok(());
    };
    if last.uid == node.pod.uid || last.attempts == 0 || mutated!(NoBackoff) {
        return Ok(());
    }
    let attempts = last.attempts;
    if attempts >= MAX_ATTEMPTS {
        return Err(Some(Wait::GaveUp { attempts }));
    }
    let until = after(since(last), FIRST_BACKOFF.saturating_mul(1 << (attempts - 1)));
    if agenda.is_past(until) { Ok(()) } else { Err(Some(Wait::Backoff { attempts, until })) }
}

fn is_intended(world: World<'_>, pod: &Pod) -> bool {
    world.book.restarts.get(pod.restart_key()).is_some_and(|r| r.uid == pod.uid || mutated!(IgnoreUid))
}

fn is_held_back(node: &Node<'_>, agenda: &mut Agenda) -> bool {
    let evict = &node.trace.evict;
    !evict.busy && evict.error.is_some() && evict.next.is_some_and(|next| !agenda.is_past(next))
}

/// Who waits for a budget lets the others go first: nothing says that it forbids their restarts, too.
fn steps_aside(node: &Node<'_>, agenda: &mut Agenda) -> bool {
    node.trace.budget && is_held_back(node, agenda)
}

/// What its last eviction failed of, until one succeeds.
fn held_back(node: &Node<'_>) -> Option<Wait> {
    let why = node.trace.evict.error.clone()?;
    Some(if node.trace.budget { Wait::Budget { why } } else { Wait::Obstacle { why } })
}

/// Which groups have a restart under way, and of whom.
struct Busy {
    groups: HashMap<usize, Vec<String>>,
}

impl Busy {
    fn new(world: World<'_>, agenda: &mut Agenda) -> Self {
        let mut busy = Self { groups: HashMap::new() };
        let successors = Successors::of(world);
        for (key, restart) in &world.book.restarts {
            if successors.are_awaited(key, restart, world, agenda) {
                busy.enter(&world.config.groups_of(restart.who()), &restart.pod);
            }
        }
        busy
    }

    fn claim(&mut self, node: &Node<'_>) {
        self.enter(&node.groups, &node.pod.name);
    }

    fn enter(&mut self, groups: &[usize], pod: &str) {
        for &group in groups {
            self.groups.entry(group).or_default().push(pod.to_owned());
        }
    }

    /// Another pod that is being restarted in a group of the node.
    fn other(&self, node: &Node<'_>) -> Option<String> {
        let mut pods = node.groups.iter().filter_map(|group| self.groups.get(group)).flatten();
        pods.find(|pod| **pod != node.pod.name).cloned()
    }
}

/// Who may have come after the pods that were restarted.
struct Successors<'a> {
    by_key: HashMap<&'a str, Vec<&'a Pod>>,
}

impl<'a> Successors<'a> {
    fn of(world: World<'a>) -> Self {
        let mut by_key: HashMap<&str, Vec<&Pod>> = HashMap::new();
        if !world.book.restarts.is_empty() {
            for pod in world.pods.values() {
                by_key.entry(pod.restart_key()).or_default().push(pod);
            }
        }
        Self { by_key }
    }

    /// Whether a noted pod has gone and its successor is not up yet.
    fn are_awaited(&self, key: &str, restart: &Restart, world: World<'_>, agenda: &mut Agenda) -> bool {
        if let Some(pod) = meant(restart, world) {
            return pod.deleting;
        }
        // creationTimestamp is cut to whole seconds.
        let noted = after(restart.at, SignedDuration::from_secs(-1));
        let of_key = self.by_key.get(key).into_iter().flatten();
        let mut successors = of_key.filter(|pod| pod.name == restart.pod || pod.created >= noted).peekable();
        if successors.peek().is_none() {
            return !agenda.is_past(after(since(restart), READY_WITHIN));
        }
        successors.any(|pod| {
            let stuck = pod.containers.iter().any(|c| c.keeps_exiting());
            !pod.ready && !stuck && !agenda.is_past(after(pod.created, READY_WITHIN))
        })
    }
}

/// The very pod that is to be restarted, while it is there.
fn meant<'a>(restart: &Restart, world: World<'a>) -> Option<&'a Pod> {
    world.pods.get(&restart.pod).map(Box::as_ref).filter(|pod| pod.uid == restart.uid)
}

/// Ends the count of restarts that brought what they were for, withdraws intentions that are not needed any
/// more, and forgets the restarts of nodes that are not configured.
pub(super) fn tidy(book: &mut Book, world: World<'_>) {
    book.restarts.retain(|_, r| world.config.settings(r.who()).is_some());
    for restart in book.restarts.values_mut() {
        restart.at = restart.at.min(world.now);
        restart.left = restart.left.map(|left| left.min(world.now));
        let pod = meant(restart, world);
        if !restart.uid.is_empty() && pod.is_none_or(|pod| pod.deleting) {
            restart.left.get_or_insert(world.now);
        }
        let is_gone = pod.is_none();
        if is_gone && world.memory.not_evicted.contains(&restart.uid) {
            withdraw(restart);
        }
    }
    if book.restarts.is_empty() {
        return;
    }
    let scene = Scene::of(world);
    for pod in world.pods.values().filter(|pod| !pod.deleting) {
        let Some(last) = book.restarts.get_mut(pod.restart_key()) else {
            continue;
        };
        let Some(node) = Node::of(pod, &scene) else {
            continue;
        };
        if last.uid == pod.uid {
            if is_content(&node, world) && !may_be_leaving(&node, world) {
                withdraw(last);
            }
        } else if node.variable().is_some() && is_content(&node, world) && has_lasted(last, world.now) {
            last.attempts = 0;
        }
    }
}

/// Whether an eviction may have been carried out of which nothing is to be seen yet.
fn may_be_leaving(node: &Node<'_>, world: World<'_>) -> bool {
    let evict = &node.trace.evict;
    let is_pending = evict.busy || evict.next.is_some_and(|next| next > world.now);
    is_pending && !world.memory.not_evicted.contains(&node.pod.uid) && !mutated!(WithdrawAtOnce)
}

/// A variable that is right again may be wrong soon, where every restart changes an address.
fn has_lasted(last: &Restart, now: Timestamp) -> bool {
    !last.refresh || now >= after(since(last), LASTING)
}

/// Whether the node would not be restarted at any time.
fn is_content(node: &Node<'_>, world: World<'_>) -> bool {
    let mut nobody = Agenda::new(world.now);
    wanted(node, world, &mut nobody) == Err(None)
}

/// When it began, as far as is known.
fn since(restart: &Restart) -> Timestamp {
    restart.left.filter(|_| !mutated!(ReckonFromDecision)).unwrap_or(restart.at)
}

/// What was intended but not done: its node has the variable by now, or somebody else deleted the pod.
fn withdraw(last: &mut Restart) {
    last.uid.clear();
    last.left = None;
    last.attempts = last.attempts.saturating_sub(1);
    last.total = last.total.saturating_sub(1);
}

/// How often Torch has restarted a node; an intention does not count yet.
pub(super) fn done(book: &Book, pod: &Pod) -> u32 {
    match book.restarts.get(pod.restart_key()) {
        Some(last) if last.uid == pod.uid && !pod.deleting => last.total.saturating_sub(1),
        Some(last) => last.total,
        None => 0,
    }
}

/// Notes that a pod is to be restarted, as the only one in its groups: who of these waits for a budget is
/// noted anew when its turn comes again.
pub fn note(book: &mut Book, pod: &Pod, reason: Reason, world: World<'_>) {
    let groups = world.config.groups_of(pod.who());
    for other in book.restarts.values_mut() {
        let is_refused = world.memory.not_evicted.contains(&other.uid) && !mutated!(KeepRefused);
        if is_refused && world.config.groups_of(other.who()).iter().any(|g| groups.contains(g)) {
            withdraw(other);
        }
    }
    let restart = Restart::of(pod, reason, book, world.now);
    book.restarts.insert(pod.restart_key().to_owned(), restart);
}

impl Restart {
    /// The note of a restart decided on now.
    fn of(pod: &Pod, reason: Reason, book: &Book, now: Timestamp) -> Self {
        let (attempts, total) =
            book.restarts.get(pod.restart_key()).map_or((0, 0), |r| (r.attempts, r.total));
        Self {
            pod: pod.name.clone(),
            workload: pod.workload.clone(),
            uid: pod.uid.clone(),
            at: now,
            left: None,
            refresh: matches!(reason, Reason::Partial | Reason::Changed),
            attempts: attempts.saturating_add(1),
            total: total.saturating_add(1),
        }
    }
}
