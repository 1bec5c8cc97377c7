//! A node loses its data, and with it the key that it was known by.

use crate::bed::Bed;
use crate::node::Node;
use crate::torch::{PAIR, Torch};
use crate::wait::A_WHILE;

#[test]
fn t09_key_change() {
    let bed = Bed::make("t09");
    bed.start_ready(&Node::pair());
    let torch = Torch::deploy(&bed, PAIR);
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_node(node, "/variable", |from| from == "spec");
    }
    let [bridge, old] = ["da-bridge-1", "da-full-1"].map(|node| bed.address(node));
    bed.wait_file("da-bridge-1", "/tmp", &old);

    bed.exec("da-full-1", &["sh", "-c", "rm -rf /home/celestia/*"]);
    let pod = bed.recreate("da-full-1");
    assert_eq!(pod.variable("TRUSTED_PEERS"), Some(bridge.as_str()));
    let new = bed.address("da-full-1");
    assert_ne!(new, old, "its key is the same");

    torch.wait_address("da-full-1", &new);
    bed.wait_file("da-bridge-1", "/tmp", &new);
    let book = torch.book().to_string();
    assert!(book.contains(&new) && !book.contains(&old), "{book}");
    // The bridge runs on with the old one: to restart it for that is for the configuration to say.
    bed.pods.stay_as_they_are(A_WHILE);
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 2)]);

    let pod = bed.recreate("da-bridge-1");
    assert_eq!(pod.variable("TRUSTED_PEERS"), Some(new.as_str()));
    bed.wait_connected("da-bridge-1", "da-full-1");
    bed.pods.stay_as_they_are(A_WHILE);
    bed.assert_restarts([("da-bridge-1", 2), ("da-full-1", 2)]);
}
