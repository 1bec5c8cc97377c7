//! Certificates and CAs change again and again under a constant stream of calls, through the API server and
//! directly, in each of the three ways that Torch comes by its certificate. No call may fail.
//!
//! Argument: `short`, for a run of some two minutes.

#![allow(dead_code, reason = "the end-to-end tests' parts can do more than is needed here")]

#[path = "../e2e/bed.rs"]
mod bed;
#[path = "../e2e/kubectl.rs"]
mod kubectl;
#[path = "../e2e/node.rs"]
mod node;
#[path = "../e2e/pods.rs"]
mod pods;
#[path = "../e2e/review.rs"]
mod review;
#[path = "../e2e/shell.rs"]
mod shell;
#[path = "../e2e/torch.rs"]
mod torch;
#[path = "../e2e/wait.rs"]
mod wait;
#[path = "../rolling/webhook.rs"]
mod webhook;

mod calls;
mod mode;
mod offered;
mod trust;

use std::thread;
use std::time::{Duration, Instant};

use bed::Bed;
use calls::{Load, Seen};
use mode::Mode;
use node::Node;
use wait::{SOON, eventually};
use webhook::Calls;

/// How much is asked of each mode, at least, and how often.
#[derive(Clone, Copy)]
struct Extent {
    /// Calls through the API server.
    through: usize,
    /// Direct calls.
    direct: usize,
    /// Certificates seen in handshakes.
    leaves: usize,
    /// CAs of these.
    cas: usize,
    /// How often each creator creates a pod, all of them at once, and each caller calls: as often as the above
    /// needs, since an API server without time to spare answers after seconds, of which a certificate here has
    /// few.
    create_every: Duration,
    call_every: Duration,
}

const FULL: Extent = Extent {
    through: 10_000,
    direct: 100_000,
    leaves: 12,
    cas: 4,
    create_every: Duration::from_millis(1200),
    call_every: Duration::from_millis(14),
};

const SHORT: Extent = Extent {
    through: 400,
    direct: 4_000,
    leaves: 3,
    cas: 2,
    create_every: Duration::from_secs(5),
    call_every: Duration::from_millis(80),
};

/// Seconds: what Torch makes lives so long, a CA and a certificate, and a CA has to be published so long. Each
/// is made anew at two thirds, and what is left has to do for a busy machine, as a month does in real life.
const LIVES: &str = "120 60 8";

/// However slow the machine is.
const PATIENCE: Duration = Duration::from_secs(1200);

fn main() {
    let extent = if std::env::args().any(|arg| arg == "short") { SHORT } else { FULL };
    let begun = Instant::now();
    let before = Calls::now();
    let all: Vec<(Mode, Rotated)> = thread::scope(|scope| {
        let running = Mode::ALL.map(|mode| (mode, scope.spawn(move || rotate(mode, extent))));
        running.map(|(mode, thread)| (mode, thread.join().expect("the mode failed"))).into()
    });
    let witness = Calls::now().since(&before);
    let each: Vec<String> = all.iter().map(|(mode, rotated)| format!("{mode} {rotated}")).collect();
    println!(
        "rotate: {}; after {:.0} s; the API server called the webhook {} times, {} failed open, {} rejected",
        each.join("; "),
        begun.elapsed().as_secs_f64(),
        witness.total,
        witness.failed_open,
        witness.rejected
    );
    let through: usize = all.iter().map(|(_, rotated)| rotated.seen.through).sum();
    assert_eq!(
        (witness.failed_open, witness.rejected, witness.not_200),
        (0, 0, 0),
        "the webhook was not reached"
    );
    assert!(witness.total >= through as u64, "pods were created past the webhook");
    for (mode, Rotated { seen, restarts, .. }) in &all {
        assert_eq!(seen.failed.len(), 0, "{mode}: calls failed");
        assert_eq!(seen.bare, 0, "{mode}: pods were admitted without the variable");
        assert_eq!(*restarts, [1, 1], "{mode}: restarts of two nodes that were there before Torch");
    }
}

/// What came of one mode.
struct Rotated {
    seen: Seen,
    restarts: [usize; 2],
    offers: String,
}

impl std::fmt::Display for Rotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Seen { through, direct, handshakes, leaves, cas, failed, bare, .. } = &self.seen;
        write!(
            f,
            "{through} calls through the API server and {direct} direct ones in {handshakes} handshakes, {} failed, \
             {} certificates, {} CAs ({})",
            failed.len() + bare,
            leaves.len(),
            cas.len(),
            self.offers
        )
    }
}

fn rotate(mode: Mode, extent: Extent) -> Rotated {
    let bed = Bed::make(mode.short_name());
    // Too early: each has to be restarted, once, and by way of the webhook.
    bed.start_ready(&Node::pair());
    let mut rotation = mode.deploy(&bed, LIVES);
    let load = Load::begin(bed.name(), extent);
    let begun = Instant::now();
    while !load.is_enough() {
        rotation.go_on(&load);
        assert!(begun.elapsed() < PATIENCE, "{mode}: {}", load.so_far());
    }
    let seen = load.end();
    if !seen.failed.is_empty() {
        let first: Vec<&String> = seen.failed.iter().take(5).collect();
        eprintln!("{mode}: {} calls failed, the first of {first:#?}", seen.failed.len());
        eprintln!(
            "{}",
            bed.kubectl(&["logs", "--tail=-1", "--prefix", "-l", "app.kubernetes.io/name=torch"])
        );
    }
    let restarts = || ["da-bridge-1", "da-full-1"].map(|node| bed.pods.restarts(node));
    // Connected they are as soon as the first is restarted.
    eventually("both are restarted", SOON, || match restarts() {
        [0, _] | [_, 0] => Err(format!("restarts: {:?}", restarts())),
        _ => Ok(()),
    });
    bed.wait_connected("da-bridge-1", "da-full-1");
    rotation.check();
    Rotated { seen, restarts: restarts(), offers: offered::check(&bed) }
}
