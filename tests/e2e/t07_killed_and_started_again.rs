//! Torch is killed, without a moment to tidy up, and started again.

use serde_json::json;

use crate::bed::{Bed, Namespace, peer_image};
use crate::kubectl;
use crate::node::Node;
use crate::torch::{PAIR, Torch};
use crate::wait::{A_WHILE, SOON, check, eventually};

#[test]
fn t07_killed_when_all_is_done() {
    let bed = Bed::make("t07a");
    bed.start_ready(&Node::pair());
    let torch = Torch::deploy(&bed, PAIR);
    wait_done(&bed, &torch);
    let book = torch.book();

    kill(&bed, &torch);
    bed.pods.stay_as_they_are(A_WHILE);
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 1)]);
    assert_eq!(torch.book(), book, "it forgot or relearned something");
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_address(node, &bed.address(node));
        assert_eq!(torch.node(node).unwrap()["restarts"], 1);
    }

    // What somebody deletes is put back, with all that was in it.
    bed.kubectl(&["delete", "configmap", "torch-book", "torch-ca"]);
    eventually("both ConfigMaps are back", SOON, || {
        let back = kubectl::get(bed.name(), "configmap/torch-book")?;
        check(back["data"] == book, || format!("torch-book is {back}"))?;
        kubectl::get(bed.name(), "configmap/torch-ca")
    });
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 1)]);
}

#[test]
fn t07_killed_between_two_restarts() {
    let bed = Bed::make("t07b");
    bed.start_ready(&Node::pair());
    let torch = Torch::deploy(&bed, PAIR);
    bed.pods.wait("the first pod goes", SOON, |pods| {
        let mut all = ["da-bridge-1", "da-full-1"].into_iter().flat_map(|node| pods.of(node));
        check(all.any(|pod| !pod.stays()), || "none does".into())
    });

    kill(&bed, &torch);
    wait_done(&bed, &torch);
    bed.pods.stay_as_they_are(A_WHILE);
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 1)]);
}

/// Waits for each node to have been restarted, and for the book to tell of the new containers.
fn wait_done(bed: &Bed, torch: &Torch) {
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_node(node, "/variable", |from| from == "spec");
        torch.wait_node(node, "/reach/state", |state| state == "reachable");
        let pod = bed.pods.wait_ready(node, SOON);
        let container = pod.text("/status/containerStatuses/0/containerID").to_owned();
        eventually("the book is saved", SOON, || {
            let book = torch.book().to_string();
            check(book.contains(&container), || format!("{container} is not in {book}"))
        });
    }
}

/// Sends SIGKILL to the Torch that leads and waits for its container to be ready once more. Nothing
/// inside of its container could do that, so a pod that sees the machine's processes does, in a
/// namespace that allows it.
fn kill(bed: &Bed, torch: &Torch) {
    let before = eventually("one leads", SOON, || torch.leader());
    let pod = before.name();
    let killer = Namespace::make("t07-kill", "privileged");
    let script = format!(
        "for p in /proc/[0-9]*; do
           [ \"$(tr '\\0' ' ' <$p/cmdline)\" = '/torch serve ' ] &&
             tr '\\0' '\\n' <$p/environ | grep -qx POD_NAME={pod} && exec kill -KILL ${{p#/proc/}}
         done 2>/dev/null; exit 1"
    );
    kubectl::apply(
        &killer.name,
        &json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "kill"},
            "spec": {
                "hostPID": true,
                "nodeName": before.text("/spec/nodeName"),
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "kill",
                    "image": peer_image(),
                    "command": ["sh", "-c", script],
                    "securityContext": {"privileged": true},
                }],
            },
        }),
    );
    let killed = bed.pods.wait("Torch was killed and runs again", SOON, |pods| {
        let now = pods.all_of_torch().find(|now| now.name() == pod).ok_or("its pod is gone")?;
        check(now.container_restarts() == before.container_restarts() + 1, || "it was not killed".into())?;
        check(now.is_ready(), || "it is not ready".into())?;
        Ok(now.clone())
    });
    let last = killed.object.pointer("/status/containerStatuses/0/lastState/terminated/exitCode").cloned();
    assert_eq!(last, Some(json!(137)), "it did not die of SIGKILL");
}
