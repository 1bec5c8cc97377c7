//! A pod that holds as many connections as it gets keeps nobody else out.

use std::time::Instant;

use crate::bed::Bed;
use crate::node::bare_pod;
use crate::torch::{PAIR, Torch};
use crate::wait::{SOON, check, eventually};

/// Opens connections, more than two replicas have places for, and says nothing on any of them. Torch hangs
/// up after some seconds, so it begins again and again.
const HOLD: &str = "while :; do
  bash -c 'for n in $(seq 1600); do exec {fd}<>/dev/tcp/$0/443; done; echo all; sleep 3' torch 2>&1
done";

#[test]
fn t16_held_connections() {
    let bed = Bed::make("t16");
    let torch = Torch::deploy(&bed, PAIR);
    bed.apply(&bare_pod("holder", HOLD));
    bed.pods.wait_ready("holder", SOON);
    let rounds = || bed.kubectl(&["logs", "holder"]).lines().filter(|line| *line == "all").count();
    eventually("the connections are held", SOON, || check(rounds() > 0, || "not yet".into()));

    let begun = Instant::now();
    let last = rounds() + 3;
    while rounds() < last {
        for n in 0..10 {
            let answer =
                torch.curl("/list", "--max-time 2").unwrap_or_else(|why| panic!("request {n}: {why}"));
            assert_eq!(answer.status, 200, "request {n}: {answer:?}");
        }
        assert!(begun.elapsed() < SOON, "the connections are held no longer");
    }
}
