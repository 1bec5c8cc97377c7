//! The cluster: pods that come, start and go, and evictions that reach the API server.

use crate::model::Model;
use crate::peers::Who;
use crate::plan;
use crate::real::{SETS, pod_name};
use crate::state::{Answer, Call, Container, Has, History, Node, Phase, Pod, Rule, State};
use crate::time::backoff;
use crate::torch;

/// The StatefulSet creates a node's pod.
pub fn create(node: &mut Node, variable: bool) {
    node.made += 1;
    let container = Container { phase: Phase::Waiting, instance: 0, has: Has::No };
    node.pod =
        Some(Pod { uid: node.made, age: 0, variable, version: 0, deleting: false, file: false, container });
    let history = &mut node.history;
    history.row = if variable { 0 } else { history.row };
    history.restarted &= variable;
}

/// An eviction that the API server takes.
fn restart(node: &mut Node) {
    delete(node.pod.as_mut().expect("it was found"));
    let row = node.history.row + 1;
    node.history = History { row, since: 0, out: true, restarted: true };
}

/// It is about to go.
pub fn delete(pod: &mut Pod) {
    pod.deleting = true;
    pod.version += 1;
}

/// Whether a node's container would go on running.
pub fn can_run(model: &Model, pod: &Pod, n: usize) -> bool {
    !model.scenario.needs_peers[n] || pod.variable || pod.file
}

/// Its container starts, for the first time or again.
pub fn start(model: &Model, s: &mut State, n: usize) {
    let node = &mut s.nodes[n];
    let pod = node.pod.as_mut().expect("a pod starts");
    let phase = if can_run(model, pod, n) { Phase::Running } else { Phase::Down };
    let has = if pod.file && !pod.variable { Has::FromFile } else { Has::No };
    pod.container = Container { phase, instance: pod.container.instance + 1, has };
    pod.version += 1;
    node.history.out = false;
}

/// An eviction reaches the API server.
pub fn arrive(model: &Model, s: &mut State, c: usize) {
    let call = s.calls[c].clone();
    let answer = if is_meant(s, &call) {
        judge(model, s, &call);
        restart(&mut s.nodes[usize::from(call.node)]);
        Answer::Done
    } else {
        Answer::Gone
    };
    answered(s, c, answer);
}

/// Whether the pod is still the one that an eviction is for.
pub fn is_meant(s: &State, call: &Call) -> bool {
    let pod = s.nodes[usize::from(call.node)].pod.as_ref();
    pod.is_some_and(|pod| (pod.uid, pod.version) == (call.uid, call.version))
}

fn judge(model: &Model, s: &mut State, call: &Call) {
    let n = usize::from(call.node);
    let (node, history) = (&s.nodes[n], &s.nodes[n].history);
    let others_out = (0..s.nodes.len()).any(|m| {
        m != n
            && s.nodes[m].history.out
            && [call.config, s.config].iter().all(|&config| share_a_group(model, config, n, m))
    });
    let broken = if node.pod.as_ref().is_some_and(|pod| pod.variable || pod.container.has == Has::FromFile) {
        Some(Rule::HasVariable)
    } else if others_out {
        Some(Rule::TwoAtATime)
    } else if history.restarted {
        Some(Rule::TwiceForNothing)
    } else if u32::from(history.row) >= plan::MAX_ATTEMPTS {
        Some(Rule::TooOften)
    } else if history.since < backoff(history.row) {
        Some(Rule::TooSoon)
    } else {
        None
    };
    s.broken = s.broken.or(broken);
}

fn share_a_group(model: &Model, config: u8, n: usize, m: usize) -> bool {
    let config = &model.configs[usize::from(config)];
    let groups = |n: usize| config.groups_of(Who { pod: &pod_name(n), workload: Some(SETS[n]) });
    groups(n).iter().any(|g| groups(m).contains(g))
}

/// An eviction is answered; nobody may be there to hear it.
pub fn answered(s: &mut State, c: usize, answer: Answer) {
    if s.calls[c].from.is_some() {
        s.calls[c].answer = Some(answer);
    } else {
        s.calls.remove(c);
    }
    s.calls.sort_unstable();
}

/// The answer to an eviction reaches the leader.
pub fn answer(s: &mut State, c: usize) {
    let call = s.calls.remove(c);
    tell(s, &call, call.answer);
}

/// What came of an eviction; `None` where nobody can tell.
pub fn tell(s: &mut State, call: &Call, answer: Option<Answer>) {
    let Some(r) = call.from else { return };
    let reign = s.replicas[usize::from(r)].reign.as_mut().expect("who asks leads");
    torch::take_in(reign, usize::from(call.node), call.uid, answer);
}
