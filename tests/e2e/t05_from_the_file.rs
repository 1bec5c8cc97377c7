//! What a node was given outlives Torch.

use crate::bed::Bed;
use crate::kubectl;
use crate::node::Node;
use crate::torch::Torch;

/// The file stands beside the node's data, where its own manifest mounts a claim.
const ON_THE_CLAIM: &str = "
trustedPeersPath: /home/celestia
mutualPeers:
  - peers:
      - nodeName: da-bridge-1
      - nodeName: da-full-1
";

#[test]
fn t05_from_the_file() {
    let bed = Bed::make("t05");
    let nodes = Node::pair().map(|node| node.env("TRUSTED_PEERS_PATH", "/home/celestia"));
    bed.start_ready(&nodes);
    let torch = Torch::deploy(&bed, ON_THE_CLAIM);
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_node(node, "/variable", |from| from == "spec");
    }
    let bridge = bed.address("da-bridge-1");
    bed.wait_file("da-full-1", "/home/celestia", &bridge);

    torch.remove();
    assert_nothing_is_left(&bed);
    torch.wait_gone();

    let pod = bed.recreate("da-full-1");
    assert_eq!(pod.variable("TRUSTED_PEERS"), None, "who set it?");
    let said = bed.kubectl(&["logs", pod.name()]);
    assert!(said.contains("trusted peers from /home/celestia/TRUSTED_PEERS"), "{said}");
    assert!(bed.command_line("da-full-1").contains(&format!("--headers.trusted-peers {bridge} ")));
    bed.wait_connected("da-full-1", "da-bridge-1");
}

/// Whoever deletes Torch's manifests is rid of all that was in them, or made by Torch.
fn assert_nothing_is_left(bed: &Bed) {
    let outside = bed.namespace.outside();
    for object in [
        format!("mutatingwebhookconfiguration/{outside}"),
        format!("mutatingadmissionpolicy/{outside}"),
        format!("mutatingadmissionpolicybinding/{outside}"),
        format!("clusterrole/{outside}"),
        format!("clusterrolebinding/{outside}"),
        "deployment/torch".into(),
        "service/torch".into(),
        "serviceaccount/torch".into(),
        "role/torch".into(),
        "rolebinding/torch".into(),
        "secret/torch-tls".into(),
        "configmap/torch-ca".into(),
        "configmap/torch-book".into(),
        "configmap/torch-injection".into(),
        "configmap/torch-config".into(),
    ] {
        let found = kubectl::get(bed.name(), &object).err().unwrap_or_default();
        assert!(found.contains("NotFound"), "{object} is left: {found}");
    }
}
