//! The configuration changes while Torch runs.

use crate::bed::Bed;
use crate::node::Node;
use crate::torch::{PAIR, Torch};
use crate::wait::{A_WHILE, SOON, check, eventually};

const THIRD: &str = r#"
      - nodeName: "da-full-2"
"#;

#[test]
fn t10_configuration_change() {
    let bed = Bed::make("t10");
    let pair = Node::pair();
    let third = Node::light("da-full-2");
    bed.start_ready(pair.iter().chain([&third]));
    let torch = Torch::deploy(&bed, PAIR);
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_node(node, "/variable", |from| from == "spec");
    }
    let [bridge, full, third] = ["da-bridge-1", "da-full-1", "da-full-2"].map(|node| bed.address(node));
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 1), ("da-full-2", 0)]);

    let pod = torch.pod();
    let three = format!("{}{THIRD}", PAIR.replace("    trustedPeersPath: \"/tmp\"\n", "").trim_end());
    torch.reconfigure(&three);
    torch.wait_node("da-full-2", "/variable", |from| from == "spec");
    bed.pods.wait_ready("da-full-2", SOON);
    bed.assert_injected("da-full-2", &format!("{bridge},{full}"));
    bed.wait_connected("da-full-2", "da-bridge-1");
    bed.wait_connected("da-full-2", "da-full-1");
    bed.wait_file("da-bridge-1", "/tmp", &format!("{full},{third}"));
    bed.wait_file("da-full-1", "/tmp", &format!("{bridge},{third}"));

    let in_force = torch.get("/config").json();
    torch.reconfigure(&format!("{three}\nmutualPeer: []\n"));
    eventually("the broken file is noticed", SOON, || {
        let report = torch.get_plain("/readyz?verbose");
        check(report.status == 200 && report.body.contains("refused"), || format!("{report:?}"))
    });
    let report = torch.get_plain("/readyz?verbose").body;
    assert!(report.contains("mutualPeer") && report.contains("line "), "{report}");
    assert!(report.contains("the old one stays in force"), "{report}");
    let metrics = torch.get_plain("/metrics").body;
    assert!(metrics.contains("torch_config_reloads_total{outcome=\"failure\"} 1"), "{metrics}");
    assert!(bed.kubectl(&["logs", &pod]).contains("the changed configuration is refused"));
    assert_eq!(torch.get("/config").json(), in_force);

    bed.pods.stay_as_they_are(A_WHILE);
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 1), ("da-full-2", 1)]);
    assert_eq!(torch.pod(), pod);
    assert_eq!(torch.leader().unwrap().container_restarts(), 0, "Torch itself was restarted");
}
