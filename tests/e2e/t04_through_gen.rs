//! A node that the webhook leaves alone gets its peers by asking for them.

use serde_json::Value;

use crate::bed::Bed;
use crate::node::Node;
use crate::torch::{PAIR, Torch};
use crate::wait::A_WHILE;

#[test]
fn t04_through_gen() {
    let bed = Bed::make("t04");
    let torch = Torch::deploy(&bed, PAIR);
    bed.start_ready([&Node::bridge("da-bridge-1")]);
    let bridge = bed.address("da-bridge-1");
    torch.wait_address("da-bridge-1", &bridge);

    bed.start_ready([&Node::light("da-full-1").opted_out().wait_for_torch("60")]);
    bed.wait_connected("da-full-1", "da-bridge-1");
    let pod = bed.pods.now().current("da-full-1").unwrap().clone();
    assert_eq!(pod.variable("TRUSTED_PEERS"), None, "its spec is as its author wrote it");
    assert_eq!(pod.mount("/tmp"), None);
    assert!(bed.command_line("da-full-1").contains(&format!("--headers.trusted-peers {bridge} ")));

    // It has what it needs, which is another reason not to restart it than its annotation.
    let node = torch.wait_node("da-full-1", "/variable", |from| from == "process");
    assert_eq!(node["waitsFor"], Value::Null, "{node}");
    // The bridge was early, so it alone has its one restart.
    torch.wait_node("da-bridge-1", "/variable", |from| from == "spec");
    bed.wait_connected("da-full-1", "da-bridge-1");
    bed.pods.stay_as_they_are(A_WHILE);
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 0)]);
    assert_eq!(bed.pods.now().current("da-full-1").unwrap().container_restarts(), 0);
}
