//! Rolls Torch over again and again under a constant stream of pod creations: every pod of a configured
//! node must be given its variable by the webhook, and no call may fail, of which the API server's own
//! metrics are the witness.

#![allow(dead_code, reason = "the end-to-end tests' parts can do more than is needed here")]

#[path = "../e2e/bed.rs"]
mod bed;
#[path = "../e2e/kubectl.rs"]
mod kubectl;
#[path = "../e2e/node.rs"]
mod node;
#[path = "../e2e/pods.rs"]
mod pods;
#[path = "../e2e/shell.rs"]
mod shell;
#[path = "../e2e/torch.rs"]
mod torch;
#[path = "../e2e/wait.rs"]
mod wait;

mod stream;
mod webhook;

use std::fmt::Write as _;
use std::time::Instant;

use bed::Bed;
use node::Node;
use stream::Stream;
use torch::Torch;
use webhook::Calls;

/// How many pods are created at least.
const CREATIONS: usize = 2_000;

/// How often Torch is rolled over at least.
const ROLLOUTS: usize = 4;

/// The node whose address is known, so that the others are given it.
const KNOWN: &str = "da-bridge-1";

fn main() {
    let bed = Bed::make("rolling");
    let torch = Torch::deploy(&bed, &config());
    take_the_policy_away(&bed);
    bed.start_ready([&Node::bridge(KNOWN)]);
    let address = bed.address(KNOWN);
    torch.wait_address(KNOWN, &address);

    let (begun, calls) = (Instant::now(), Calls::now());
    let stream = Stream::begin(bed.name(), &address);
    let mut rollouts = 0;
    while rollouts < ROLLOUTS || stream.created() < CREATIONS {
        roll_over(&bed);
        rollouts += 1;
    }
    let seen = stream.end();
    let calls = Calls::now().since(&calls);

    let (created, named) = (seen.created(), seen.configured);
    println!(
        "rolling: {created} pods created ({named} of configured nodes) while Torch was rolled over {rollouts} \
         times in {:.0} s: {} without the variable, {} failed calls; the webhook was called {} times, {} failed \
         open, {} rejected; {:.1} ms a call, slowest creation {} ms",
        begun.elapsed().as_secs_f64(),
        seen.bare,
        seen.failed.len(),
        calls.total,
        calls.failed_open,
        calls.rejected,
        calls.mean_ms(),
        seen.slowest.as_millis(),
    );
    assert_eq!(seen.failed, Vec::<String>::new(), "creations failed");
    assert_eq!(seen.bare, 0, "pods of configured nodes were admitted without the variable");
    assert_eq!(seen.strangers_changed, 0, "pods that are not configured were changed");
    assert_eq!((calls.failed_open, calls.rejected, calls.not_200), (0, 0, 0), "the webhook was not reached");
    assert_eq!(calls.total, created as u64, "one call for each pod");
}

/// One group of all nodes of the stream and the one that is known.
fn config() -> String {
    let mut text = format!("mutualPeers:\n  - peers:\n      - nodeName: {KNOWN}\n");
    for name in stream::configured() {
        writeln!(text, "      - nodeName: {name}").expect("a String takes everything");
    }
    text
}

/// The webhook alone is to be seen: the policy would inject what it has missed.
fn take_the_policy_away(bed: &Bed) {
    let kinds = "mutatingadmissionpolicybinding,mutatingadmissionpolicy";
    kubectl::run(&["delete", "--ignore-not-found", kinds, &bed.namespace.outside()]);
}

fn roll_over(bed: &Bed) {
    bed.kubectl(&["rollout", "restart", "deployment/torch"]);
    bed.kubectl(&["rollout", "status", "deployment/torch", "--timeout=120s"]);
}
