//! A PodDisruptionBudget says when a node may be restarted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::node::Node;
use crate::torch::{PAIR, Torch};
use crate::wait::SOON;

#[test]
fn t08_disruption_budget() {
    let bed = Bed::make("t08");
    bed.apply(&budget(0));
    bed.start_ready(&Node::pair());
    let torch = Torch::deploy(&bed, PAIR);

    // The budget of one does not hold up the other.
    torch.wait_node("da-bridge-1", "/variable", |from| from == "spec");
    bed.pods.wait_ready("da-bridge-1", SOON);
    let node = torch.wait_node("da-full-1", "/waitsFor/reason", |reason| reason == "podDisruptionBudget");
    let message = node["waitsFor"]["message"].as_str().unwrap();
    assert!(message.contains("disruption budget"), "{message}");
    assert_eq!(node["restarts"], 0, "{node}");
    bed.pods.stay_as_they_are(Duration::from_secs(30));
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 0)]);
    torch.wait_node("da-full-1", "/waitsFor/reason", |reason| reason == "podDisruptionBudget");

    bed.apply(&budget(1));
    torch.wait_node("da-full-1", "/variable", |from| from == "spec");
    bed.pods.wait_ready("da-full-1", SOON);
    torch.wait_node("da-full-1", "/waitsFor/reason", str::is_empty);
    bed.assert_injected("da-full-1", &bed.address("da-bridge-1"));
    bed.wait_connected("da-bridge-1", "da-full-1");
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 1)]);
}

/// So many pods of `da-full-1` may be missing.
fn budget(max_unavailable: u32) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "da-full-1"},
        "spec": {
            "maxUnavailable": max_unavailable,
            "selector": {"matchLabels": {"app": "da-full-1"}},
        },
    })
}
