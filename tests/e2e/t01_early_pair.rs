//! Both nodes of the original project's example start before Torch.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bed::Bed;
use crate::measure::{self, seconds, tell};
use crate::node::Node;
use crate::torch::{PAIR, Torch};

#[test]
fn t01_early_pair() {
    let bed = Bed::make("t01");
    let begun = Instant::now();
    bed.start_ready(&Node::pair());
    let before = bed.pods.now().current("da-full-1").unwrap().clone();
    assert_eq!(before.variable("TRUSTED_PEERS"), None);

    measure::count_calls(&bed);
    let deployed = Instant::now();
    let torch = Torch::deploy(&bed, PAIR);
    bed.pods.wait("both have been restarted", Duration::from_secs(120), |pods| {
        for node in ["da-bridge-1", "da-full-1"] {
            let pod = pods.ready(node)?;
            pod.variable("TRUSTED_PEERS").ok_or_else(|| format!("{node} runs without the variable"))?;
        }
        Ok(())
    });
    bed.wait_connected("da-bridge-1", "da-full-1");
    tell("from an early pair's creation to both connected", seconds(begun.elapsed()));
    tell("of which since Torch's creation", seconds(deployed.elapsed()));

    let [bridge, full] = ["da-bridge-1", "da-full-1"].map(|node| bed.address(node));
    bed.assert_injected("da-bridge-1", &full);
    bed.assert_injected("da-full-1", &bridge);
    bed.wait_file("da-bridge-1", "/tmp", &full);
    bed.wait_file("da-full-1", "/tmp", &bridge);
    assert!(bed.command_line("da-full-1").contains(&format!("--headers.trusted-peers {bridge} ")));
    assert!(bed.command_line("da-bridge-1").contains(&format!("--headers.trusted-peers {full} ")));
    for node in ["da-bridge-1", "da-full-1"] {
        let node = torch.wait_node(node, "/variable", |from| from == "spec");
        assert_eq!((&node["restarts"], &node["waitsFor"]), (&1.into(), &Value::Null), "{node}");
    }

    let calls = measure::calls(&bed);
    tell("calls to the API server until then", calls);
    bed.pods.stay_as_they_are(Duration::from_secs(60));
    tell("calls to the API server in a minute without events", measure::calls(&bed) - calls);
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 1)]);
    tell("memory that Torch works with", measure::memory(&torch.leader().unwrap()));
}
