//! What webhook and policy cost a pod's creation. Run by itself, on a machine that does nothing else:
//! `cargo test --workspace --locked --test e2e -- --ignored --nocapture t14_cost`

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::kubectl;
use crate::measure::tell;
use crate::pod_table::{dry_run, rows};
use crate::torch::Torch;
use crate::wait::{SOON, check, eventually};

const FIXED: &str = "
mutualPeers:
  - peers:
      - nodeName: plain
      - nodeName: peer
        probe: [{address: /dns/peer/tcp/1/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV}]
";

const ROUNDS: usize = 1000;

/// Who is asked about a pod is told by its labels, so that all four kinds take turns.
const ARMS: [(&str, [&str; 2]); 4] = [
    ("nobody", ["no", "no"]),
    ("the policy", ["yes", "no"]),
    ("the webhook", ["no", "yes"]),
    ("both", ["yes", "yes"]),
];

#[test]
#[ignore = "a measurement"]
fn t14_cost_of_a_pod() {
    let bed = Bed::make("t14d");
    bed.allow_everything();
    let torch = Torch::deploy(&bed, FIXED);
    ask_by_label(&bed);
    measure(&torch, "2 nodes");
    for (map, first) in [0, 600, 1200, 1800].into_iter().enumerate() {
        let data = many_nodes(first..(first + 600).min(2000));
        let metadata =
            json!({"name": format!("many-{map}"), "labels": {"torch.celestia.org/injection": "true"}});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
        let create = ["create", "-n", bed.name(), "-f", "-"];
        kubectl::attempt(&create, Some(&object.to_string())).unwrap_or_else(|why| panic!("{why}"));
    }
    measure(&torch, "10,000 nodes");
}

/// Both ask about pods with a label only.
fn ask_by_label(bed: &Bed) {
    for (kind, field, label) in [
        ("mutatingadmissionpolicy", "/spec/matchConstraints/objectSelector", "policy"),
        ("mutatingwebhookconfiguration", "/webhooks/0/objectSelector", "webhook"),
    ] {
        let patch = json!([{"op": "add", "path": field, "value": {"matchLabels": {label: "yes"}}}]);
        bed.kubectl(&["patch", kind, &bed.namespace.outside(), "--type=json", "-p", &patch.to_string()]);
    }
}

/// The entries of groups of five nodes each, as Torch would write them.
fn many_nodes(groups: std::ops::Range<usize>) -> Value {
    let mut data = serde_json::Map::new();
    for group in groups {
        let names: Vec<String> = (0..5).map(|n| format!("node-{group:04}-of-{n:02}")).collect();
        let line = |name: &String| {
            format!(
                "{name}-0 /dns/{name}-0.{name}/tcp/2121/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"
            )
        };
        let lines: Vec<String> = names.iter().map(line).collect();
        data.insert(format!("group_{}", group + 1), lines.join("\n").into());
        data.extend(
            names.into_iter().map(|name| (name, format!("da\n/tmp\n-\ntorch\nothers\n{}", group + 1).into())),
        );
    }
    data.into()
}

fn measure(torch: &Torch<'_>, of: &str) {
    for (arm, labels) in &ARMS[1..] {
        eventually(&format!("it is injected by {arm}"), SOON, || {
            let row = labelled(*labels);
            let pod = &dry_run(torch.namespace(), std::slice::from_ref(&row))[0];
            check(row.outcome(pod) != crate::pod_table::Outcome::Nothing, || pod.to_string())
        });
    }
    let before = api_server();
    for (times, (arm, _)) in create_by_turns(torch.namespace()).iter_mut().zip(ARMS) {
        times.sort();
        let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1000.0;
        tell(
            &format!("a pod's creation, {of}, {arm} asked, p50/p99 of {ROUNDS}"),
            format!("{:.2}/{:.2} ms", at(0.5), at(0.99)),
        );
    }
    for ((what, sum, count), (_, sum_before, count_before)) in api_server().into_iter().zip(before) {
        let mean = (sum - sum_before) / (count - count_before) * 1000.0;
        tell(&format!("of which by the API server's own count, {of}, {what}, mean"), format!("{mean:.2} ms"));
    }
}

fn labelled([policy, webhook]: [&str; 2]) -> crate::pod_table::Row {
    let mut row = rows().swap_remove(0);
    row.pod["metadata"]["labels"] = json!({"policy": policy, "webhook": webhook});
    row
}

/// Creates pods, as an exercise, one after the other; says how long each took.
fn create_by_turns(namespace: &str) -> [Vec<Duration>; 4] {
    let pods =
        ARMS.map(|(_, labels)| serde_json::from_value::<Pod>(labelled(labels).pod).expect("it is a pod"));
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let mut times = <[Vec<Duration>; 4]>::default();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let api: Api<Pod> =
            Api::namespaced(Client::try_default().await.expect("KUBECONFIG is set"), namespace);
        for _ in 0..ROUNDS {
            for (pod, times) in pods.iter().zip(&mut times) {
                let begun = Instant::now();
                api.create(&params, pod).await.expect("it is admitted");
                times.push(begun.elapsed());
            }
        }
    });
    times
}

/// What the API server has counted: sum in seconds, and number.
fn api_server() -> [(&'static str, f64, f64); 2] {
    let metrics = kubectl::run(&["get", "--raw", "/metrics"]);
    let sum = |series: &str| -> f64 {
        let lines = metrics.lines().filter(|line| line.starts_with(series));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let policy = "apiserver_mutating_admission_policy_check_duration_seconds";
    let webhook = "apiserver_admission_webhook_admission_duration_seconds";
    let both = [("the policy", policy), ("the webhook", webhook)];
    both.map(|(what, series)| (what, sum(&format!("{series}_sum{{")), sum(&format!("{series}_count{{"))))
}
