//! What Torch keeps in the cluster is deleted, and made anew.

use crate::bed::Bed;
use crate::kubectl;
use crate::node::Node;
use crate::torch::{PAIR, Torch};
use crate::wait::{SOON, check, eventually};

const MAPS: [&str; 3] = ["configmap/torch-book", "configmap/torch-injection", "configmap/torch-ca"];

#[test]
fn t17_deleted_objects() {
    let bed = Bed::make("t17");
    let torch = Torch::deploy(&bed, PAIR);
    bed.start_ready([&Node::bridge("da-bridge-1")]);
    let address = bed.address("da-bridge-1");
    torch.wait_address("da-bridge-1", &address);

    bed.kubectl(&[&["delete", "secret/torch-tls", "lease/torch"][..], &MAPS].concat());
    // A replica that begins now has only what was made anew.
    bed.kubectl(&["rollout", "restart", "deployment/torch"]);
    bed.kubectl(&["rollout", "status", "deployment/torch", "--timeout=120s"]);
    torch.wait_ready();
    for map in MAPS {
        eventually(&format!("{map} is there again"), SOON, || {
            let found = kubectl::get(bed.name(), map)?;
            check(found["data"].is_object(), || found.to_string())
        });
    }
    eventually("the new CA vouches for Torch", SOON, || {
        torch.trust()?;
        torch.node("da-bridge-1")
    });
    torch.wait_address("da-bridge-1", &address);
    bed.assert_restarts([("da-bridge-1", 0)]);
}
