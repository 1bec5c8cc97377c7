//! Torch never stands in the way of a pod, whatever becomes of it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bed::Bed;
use crate::kubectl;
use crate::node::{Node, bare_pod};
use crate::torch::{PAIR, Torch};
use crate::wait::SOON;

#[test]
fn t13_nothing_blocks() {
    let bed = Bed::make("t13");
    let torch = Torch::deploy(&bed, PAIR);
    bed.start_ready([&Node::bridge("da-bridge-1")]);
    torch.wait_address("da-bridge-1", &bed.address("da-bridge-1"));
    // So that the other one would be injected, were Torch there. What the API server does of itself is
    // another test's.
    bed.kubectl(&["delete", "mutatingadmissionpolicybinding", &bed.namespace.outside()]);
    let [_, full] = Node::pair();

    torch.scale(0);
    torch.wait_gone();
    let webhook = format!("mutatingwebhookconfiguration/{}", bed.namespace.outside());
    let webhook = kubectl::get(bed.name(), &webhook).unwrap();
    assert_ne!(webhook.pointer("/webhooks/0/clientConfig/caBundle"), None, "nobody would be asked");

    create_promptly(&bed, "while-stopped");
    bed.start_ready([&full]);
    let pod = bed.pods.now().current("da-full-1").unwrap().clone();
    assert_eq!(pod.variable("TRUSTED_PEERS"), None);
    assert_eq!(pod.text("/metadata/annotations/torch.celestia.org~1injected"), "");

    // Worse than stopped: somebody takes the request and never answers.
    let mut mute = bare_pod("mute", "exec nc -ll -p 8443 -e sleep 1000");
    mute["metadata"]["labels"] = json!({"app.kubernetes.io/name": "torch"});
    mute["spec"]["containers"][0]["ports"] = json!([{"name": "https", "containerPort": 8443}]);
    bed.apply(&mute);
    bed.pods.wait_ready("mute", SOON);
    create_promptly(&bed, "while-mute");
    let pod = bed.recreate("da-full-1");
    assert_eq!(pod.variable("TRUSTED_PEERS"), None);
    bed.kubectl(&["delete", "pod", "mute"]);

    // And once it is back, the one that slipped through is found.
    torch.scale(1);
    torch.wait_ready();
    torch.wait_node("da-full-1", "/variable", |from| from == "spec");
}

/// The webhook's time limit is 2 s, and kubectl needs a part of one.
fn create_promptly(bed: &Bed, name: &str) {
    let begun = Instant::now();
    bed.apply(&bare_pod(name, "exec sleep infinity"));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{name} took {took:?} to create");
    bed.pods.wait_ready(name, SOON);
}
