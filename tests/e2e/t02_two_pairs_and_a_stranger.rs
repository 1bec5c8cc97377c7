//! Both pairs of the project's own configuration at once, beside a node that it does not name.

use std::fs;

use crate::bed::Bed;
use crate::kubectl;
use crate::node::{Node, bare_pod};
use crate::torch::Torch;
use crate::wait::A_WHILE;

const PAIRS: [[&str; 2]; 2] = [["da-bridge-1", "da-full-1"], ["da-bridge-2", "da-full-2"]];

#[test]
fn t02_two_pairs_and_a_stranger() {
    let bed = Bed::make("t02");
    let stranger = "exec celestia light start --node.store /tmp/store --rpc.skip-auth";
    bed.apply(&bare_pod("stranger", stranger));
    let nodes = PAIRS.map(|[bridge, full]| [Node::bridge(bridge), Node::light(full)]);
    bed.start_ready(nodes.as_flattened());
    let before = bed.pods.wait_ready("stranger", crate::wait::SOON);

    let seed = fs::read_to_string("deploy/config.yaml").expect("the manifests have a configuration");
    let torch = Torch::deploy(&bed, &seed);
    for node in PAIRS.as_flattened() {
        torch.wait_node(node, "/variable", |from| from == "spec");
    }
    for [bridge, full] in PAIRS {
        bed.wait_connected(bridge, full);
        let addresses = [bed.address(bridge), bed.address(full)];
        bed.assert_injected(bridge, &addresses[1]);
        bed.assert_injected(full, &addresses[0]);
        bed.wait_file(bridge, "/tmp", &addresses[1]);
        bed.wait_file(full, "/tmp", &addresses[0]);
    }
    bed.pods.stay_as_they_are(A_WHILE);
    let each_once = PAIRS.as_flattened().iter().map(|node| (*node, 1));
    bed.assert_restarts(<[_; 4]>::try_from(each_once.collect::<Vec<_>>()).unwrap());

    let after = bed.pods.now().current("stranger").unwrap().clone();
    for part in ["/metadata/uid", "/metadata/annotations", "/metadata/labels", "/spec"] {
        assert_eq!(before.object.pointer(part), after.object.pointer(part), "{part} of the stranger");
    }
    assert_eq!(after.variable("TRUSTED_PEERS"), None);
    assert_eq!(after.text("/metadata/annotations/torch.celestia.org~1injected"), "");
    assert!(torch.node("stranger").is_err(), "/list shows what the configuration does not name");
    assert!(!torch.book().to_string().contains("stranger"));
    let file = ["exec", "-n", bed.name(), "stranger", "--", "cat", "/tmp/TRUSTED_PEERS"];
    kubectl::attempt(&file, None).expect_err("Torch wrote into a stranger");
}
