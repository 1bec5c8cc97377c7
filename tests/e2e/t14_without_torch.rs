//! The policy below the webhook injects what the webhook would, while nothing of Torch runs.

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::kubectl;
use crate::node::Node;
use crate::pod_table::{Row, config, dry_run, rows};
use crate::torch::{PAIR, Torch};
use crate::wait::{A_WHILE, SOON, check, eventually};

#[test]
fn t14_a_node_is_recreated_while_there_is_no_torch() {
    let bed = Bed::make("t14a");
    bed.start_ready(&Node::pair());
    let torch = Torch::deploy(&bed, PAIR);
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_node(node, "/variable", |from| from == "spec");
        bed.pods.wait_ready(node, SOON);
    }
    let bridge = bed.address("da-bridge-1");
    wait_injection(&bed, "group_0", |text| text.contains(&bridge));

    torch.scale(0);
    torch.wait_gone();
    bed.recreate("da-full-1");
    bed.assert_injected("da-full-1", &bridge);
    bed.wait_connected("da-full-1", "da-bridge-1");

    torch.scale(2);
    torch.wait_ready();
    torch.wait_node("da-full-1", "/variable", |from| from == "spec");
    bed.pods.stay_as_they_are(A_WHILE);
    // One by Torch, and that by hand.
    bed.assert_restarts([("da-bridge-1", 1), ("da-full-1", 2)]);
}

#[test]
fn t14_same_pods_as_by_the_webhook() {
    let bed = Bed::make("t14b");
    bed.allow_everything();
    let torch = Torch::deploy(&bed, &config());
    torch.scale(1);
    let rows = rows();
    wait_injection(&bed, "plain", |text| text.starts_with("da\n"));
    let all = wait_injection(&bed, "group_0", |text| !text.is_empty());
    assert_eq!(all["metadata"]["labels"]["torch.celestia.org/injection"], "true");

    bed.kubectl(&["delete", "mutatingadmissionpolicybinding", &bed.namespace.outside()]);
    wait_reason(&torch, &rows[0], "injected_with_mount");
    let by_webhook = dry_run(bed.name(), &rows);

    torch.configure(&config());
    wait_reason(&torch, &rows[0], "already_set");
    torch.scale(0);
    torch.wait_gone();
    let by_policy = dry_run(bed.name(), &rows);

    for (row, (webhook, policy)) in rows.iter().zip(by_webhook.iter().zip(&by_policy)) {
        assert_eq!(row.outcome(webhook), row.expected, "{}, by the webhook: {webhook:#}", row.what);
        assert_eq!(webhook, policy, "{}: by the webhook, and by the policy", row.what);
    }
}

#[test]
fn t14_what_it_injects_from_is_put_right() {
    let bed = Bed::make("t14c");
    bed.allow_everything();
    let torch = Torch::deploy(&bed, &config());
    // The API server would ask the same one of two again and again: one, whose metrics are read.
    torch.scale(1);
    let good = wait_injection(&bed, "group_0", |text| !text.is_empty())["data"].clone();
    let is_back = |what: &str| {
        eventually(what, SOON, || {
            let map = kubectl::get(bed.name(), "configmap/torch-injection")?;
            check(
                map["data"] == good && map["metadata"]["labels"]["torch.celestia.org/injection"] == "true",
                || map.to_string(),
            )
        });
    };
    bed.kubectl(&["delete", "configmap", "torch-injection"]);
    is_back("it is made again");
    let garbage =
        json!({"metadata": {"labels": null}, "data": {"group_0": "?", "plain": null, "stranger": "x"}});
    bed.kubectl(&["patch", "configmap", "torch-injection", "--type=merge", "-p", &garbage.to_string()]);
    is_back("the garbage is gone");

    // It is old, since Torch may not write it any more: the webhook, which knows better, has the last word.
    let role = kubectl::get(bed.name(), "role/torch").unwrap();
    let rules = role["rules"].as_array().unwrap();
    let rule = rules.iter().position(|rule| rule["resourceNames"][0] == "torch-injection").unwrap();
    let forbid =
        json!([{"op": "replace", "path": format!("/rules/{rule}/verbs"), "value": ["get", "list", "watch"]}]);
    bed.kubectl(&["patch", "role", "torch", "--type=json", "-p", &forbid.to_string()]);
    let plain = &rows()[0];
    let right = value(&dry_run(bed.name(), std::slice::from_ref(plain))[0]);
    let old = json!({"data": {"group_0": "peer-a /dns/old/tcp/1/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"}});
    bed.kubectl(&["patch", "configmap", "torch-injection", "--type=merge", "-p", &old.to_string()]);
    wait_reason(&torch, plain, "refreshed");
    assert_eq!(value(&dry_run(bed.name(), std::slice::from_ref(plain))[0]), right);
    let map = kubectl::get(bed.name(), "configmap/torch-injection").unwrap();
    assert_eq!(map["data"]["group_0"], old["data"]["group_0"], "who wrote it?");
}

fn value(pod: &Value) -> String {
    let env = pod["spec"]["containers"][1]["env"].as_array().unwrap();
    let found = env.iter().find(|v| v["name"] == "TRUSTED_PEERS").unwrap_or_else(|| panic!("{pod:#}"));
    found["value"].as_str().unwrap().to_owned()
}

/// Waits for an entry of what the policy injects from.
#[track_caller]
fn wait_injection(bed: &Bed, key: &str, is_so: impl Fn(&str) -> bool) -> Value {
    eventually(&format!("{key} of torch-injection"), SOON, || {
        let map = kubectl::get(bed.name(), "configmap/torch-injection")?;
        check(is_so(map["data"][key].as_str().unwrap_or_default()), || map.to_string())?;
        Ok(map)
    })
}

/// Creates the pod, as an exercise, until Torch counts that it has seen it for this reason.
#[track_caller]
fn wait_reason(torch: &Torch<'_>, row: &Row, reason: &str) {
    let label = format!("reason=\"{reason}\"");
    eventually(&format!("the webhook says {reason}"), SOON, || {
        dry_run(torch.namespace(), std::slice::from_ref(row));
        let metrics = torch.get_plain("/metrics").body;
        check(metrics.lines().any(|line| line.contains(&label)), || metrics)
    });
}
