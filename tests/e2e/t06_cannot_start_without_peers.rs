//! A node that needs a peer to start, as a real light node with an empty store does.

use crate::bed::Bed;
use crate::node::Node;
use crate::torch::{PAIR, Torch};
use crate::wait::{A_WHILE, SOON, check};

/// Alone it exits again and again, a quarter of a second after each start.
#[test]
fn t06_crash_loop() {
    let bed = Bed::make("t06a");
    let script = "exec celestia light start --rpc.skip-auth --require-peers \
        ${TRUSTED_PEERS:+--headers.trusted-peers \"$TRUSTED_PEERS\"}";
    bed.start_ready([&Node::bridge("da-bridge-1")]);
    bed.start([&Node::light("da-full-1").script(script)]);
    bed.pods.wait("it keeps exiting", SOON, |pods| {
        let pod = pods.current("da-full-1")?;
        check(pod.container_restarts() >= 2, || "it does not".into())
    });

    let torch = Torch::deploy(&bed, PAIR);
    bed.pods.wait("it starts at last", SOON, |pods| {
        let pod = pods.ready("da-full-1")?;
        pod.variable("TRUSTED_PEERS").map(|_| ()).ok_or_else(|| "not with its variable".into())
    });
    let [bridge, full] = ["da-bridge-1", "da-full-1"].map(|node| bed.address(node));
    bed.assert_injected("da-full-1", &bridge);
    torch.wait_node("da-bridge-1", "/variable", |from| from == "spec");
    bed.pods.wait_ready("da-bridge-1", SOON);
    bed.assert_injected("da-bridge-1", &full);
    bed.wait_connected("da-bridge-1", "da-full-1");
    bed.pods.stay_as_they_are(A_WHILE);
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 1)]);
}

/// Behind `start.sh` it is not started before there is a peer, so it needs no restart at all.
#[test]
fn t06_behind_start_sh() {
    let bed = Bed::make("t06b");
    bed.start_ready([&Node::bridge("da-bridge-1")]);
    bed.start([&Node::light("da-full-1").arg("--require-peers").wait_for_torch("forever")]);
    bed.pods.wait("it waits", SOON, |pods| {
        let phase = pods.current("da-full-1")?.text("/status/phase");
        check(phase == "Running", || phase.into())
    });

    let torch = Torch::deploy(&bed, PAIR);
    bed.pods.wait_ready("da-full-1", SOON);
    torch.wait_node("da-full-1", "/variable", |from| from == "process");
    torch.wait_node("da-bridge-1", "/variable", |from| from == "spec");
    bed.pods.wait_ready("da-bridge-1", SOON);
    bed.assert_injected("da-bridge-1", &bed.address("da-full-1"));
    bed.wait_connected("da-bridge-1", "da-full-1");
    bed.pods.stay_as_they_are(A_WHILE);
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 0)]);
    assert_eq!(bed.pods.now().current("da-full-1").unwrap().container_restarts(), 0);
}
