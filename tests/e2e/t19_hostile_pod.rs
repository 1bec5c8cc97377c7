//! A pod that says it is a node: it is treated as one and gains nothing by it. Nobody else is restarted for
//! it, nothing is run or written outside of it, and nothing that it is sent or asked is a secret.

use serde_json::json;

use crate::bed::Bed;
use crate::node::{Node, bare_pod};
use crate::torch::{PAIR, Torch};
use crate::wait::{A_WHILE, SOON, check, eventually};

/// With what it is run a shell, it keeps what that is told. It is there before the container is: Torch writes
/// the file as soon as it sees that run. And the file leads to somebody else's.
const PREPARE: &str = r#"mkdir /tmp/bin /tmp/heard
printf '#!/bin/dash\n{ echo "$@"; env; } >>/tmp/heard/shell; exec /bin/dash "$@"\n' >/tmp/bin/sh
chmod +x /tmp/bin/sh
ln -s /tmp/heard/elsewhere /tmp/TRUSTED_PEERS"#;

/// Keeps what it is sent on the ports of a node.
const SCRIPT: &str = "nc -ll -p 2121 -e tee -a /tmp/heard/p2p &
nc -ll -p 26658 -e tee -a /tmp/heard/rpc &
sleep infinity";

#[test]
fn t19_hostile_pod() {
    let bed = Bed::make("t19");
    bed.start_ready(&Node::pair());
    let torch = Torch::deploy(&bed, PAIR);
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_node(node, "/variable", |from| from == "spec");
    }
    let others = ["da-bridge-1-0", "da-full-1-0"].map(|pod| (pod, uid(&bed, pod)));

    bed.apply(&impostor());
    bed.pods.wait_ready("zz-impostor", SOON);
    torch_is_heard(&bed);
    bed.pods.stay_as_they_are(A_WHILE);
    assert_eq!(others, ["da-bridge-1-0", "da-full-1-0"].map(|pod| (pod, uid(&bed, pod))), "restarted for it");

    // The link was replaced, not followed.
    bed.exec("zz-impostor", &["test", "!", "-e", "/tmp/heard/elsewhere"]);
    let heard = bed.exec("zz-impostor", &["/bin/busybox", "cat", "/tmp/heard/shell", "/tmp/heard/p2p"]);
    assert!(heard.contains("/multistream/1.0.0"), "it was not dialled: {heard}");
    for secret in ["eyJ", "Bearer", "PRIVATE KEY", "KUBECONFIG"] {
        assert!(!heard.contains(secret), "it was told a secret ({secret}): {heard}");
    }
    // What it says of itself is in the log as one line, whatever it is.
    let log = bed.kubectl(&["logs", "deployment/torch", "--all-pods", "--tail=-1"]);
    assert!(!log.contains("pwned\n") && log.len() < 64 * 1024, "{log}");
}

/// Of the first node's StatefulSet, by what it says. The real one's controller would send it away, so it
/// names another kind of that name, which nobody looks after.
fn impostor() -> serde_json::Value {
    let mut pod = bare_pod("zz-impostor", SCRIPT);
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "hostile.example/v1", "kind": "StatefulSet", "name": "da-bridge-1", "uid": "hostile",
        "controller": true,
    }]);
    pod["metadata"]["annotations"] = json!({
        "torch.celestia.org/injected": "\u{1b}[31mpwned\npwned\n", "torch.celestia.org/inject": "$(touch /tmp/run)",
    });
    pod["spec"]["volumes"] = json!([{"name": "tmp", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp"}]);
    let mut prepares = pod["spec"]["containers"][0].clone();
    prepares["name"] = json!("prepare");
    prepares["command"] = json!(["sh", "-c", PREPARE]);
    pod["spec"]["initContainers"] = json!([prepares]);
    pod["spec"]["containers"][0]["env"] = json!([
        {"name": "PATH", "value": "/tmp/bin:/usr/local/bin:/usr/bin:/bin"},
        {"name": "TRUSTED_PEERS", "value": "$(touch /tmp/run)\"; touch /tmp/run; \u{1b}[31mpwned\npwned\n"},
    ]);
    pod
}

#[track_caller]
fn torch_is_heard(bed: &Bed) {
    eventually("Torch has dialled it and run a command in it", SOON, || {
        let heard = bed.exec("zz-impostor", &["/bin/busybox", "ls", "/tmp/heard"]);
        check(heard.contains("p2p") && heard.contains("shell"), || heard)
    });
}

fn uid(bed: &Bed, pod: &str) -> String {
    let history = bed.pods.now();
    history.all().rfind(|p| p.name() == pod && p.stays()).map_or_else(String::new, |p| p.uid().to_owned())
}
