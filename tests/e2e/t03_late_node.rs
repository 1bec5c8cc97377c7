//! A node that is created when its peers are known.

use crate::bed::Bed;
use crate::node::Node;
use crate::torch::Torch;
use crate::wait::{A_WHILE, SOON, check};

const THREE: &str = "
restart: {settle: 3s}
mutualPeers:
  - peers:
      - nodeName: da-bridge-1
      - nodeName: da-full-1
      - nodeName: da-late-1
";

#[test]
fn t03_late_node() {
    let bed = Bed::make("t03");
    bed.start_ready(&Node::pair());
    let torch = Torch::deploy(&bed, THREE);
    // The group has settled without the third, and the two that were early have their variable.
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_node(node, "/variable", |from| from == "spec");
        bed.pods.wait_ready(node, SOON);
    }
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 1)]);
    let [bridge, full] = ["da-bridge-1", "da-full-1"].map(|node| bed.address(node));

    bed.start([&Node::light("da-late-1")]);
    let created = bed.pods.wait("its pod is there", SOON, |pods| pods.current("da-late-1").cloned());
    assert_eq!(created.variable("TRUSTED_PEERS"), Some(format!("{bridge},{full}").as_str()));
    bed.pods.wait_ready("da-late-1", SOON);
    bed.assert_injected("da-late-1", &format!("{bridge},{full}"));
    bed.wait_connected("da-late-1", "da-bridge-1");
    bed.wait_connected("da-late-1", "da-full-1");

    // Its peers learn of it by their files.
    let late = bed.address("da-late-1");
    torch.wait_address("da-late-1", &late);
    bed.wait_file("da-bridge-1", "/tmp", &format!("{full},{late}"));
    bed.pods.stay_as_they_are(A_WHILE);
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 1), ("da-late-1", 0)]);
    let restarts = bed.pods.now().current("da-late-1").unwrap().container_restarts();
    check(restarts == 0, || format!("its container was restarted {restarts} times")).unwrap();
}
