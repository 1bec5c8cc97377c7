//! Numbers that nothing is asserted of.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::kubectl;
use crate::pods::Pod;
use crate::wait::{SOON, eventually};

/// Prints a measurement where the test harness does not swallow it.
pub fn tell(what: &str, value: impl Display) {
    let _ = writeln!(std::io::stderr(), "measured: {what}: {value}");
}

/// A time, for people.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// What the kubelet says of the memory of one of Torch's pods.
pub fn memory(pod: &Pod) -> String {
    let path = format!("/api/v1/nodes/{}/proxy/stats/summary", pod.text("/spec/nodeName"));
    let bytes = eventually("the kubelet's statistics show Torch", SOON, || {
        let text = kubectl::attempt(&["get", "--raw", &path], None)?;
        let stats: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let of_torch =
            stats["pods"].as_array().and_then(|all| all.iter().find(|p| p["podRef"]["name"] == pod.name()));
        let bytes = of_torch.and_then(|p| p.pointer("/containers/0/memory/workingSetBytes")?.as_u64());
        bytes.ok_or_else(|| format!("{of_torch:?}"))
    });
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Has the API server count Torch's calls: the only numbers that it keeps of one caller are those of a
/// FlowSchema, so Torch gets one.
pub fn count_calls(bed: &Bed) {
    let torch =
        json!({"kind": "ServiceAccount", "serviceAccount": {"name": "torch", "namespace": bed.name()}});
    bed.apply(&json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": bed.namespace.outside()},
        "spec": {
            "matchingPrecedence": 500,
            "priorityLevelConfiguration": {"name": "workload-low"},
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{
                "subjects": [torch],
                "resourceRules": [{
                    "verbs": ["*"],
                    "apiGroups": ["*"],
                    "resources": ["*"],
                    "namespaces": ["*"],
                    "clusterScope": true,
                }],
            }],
        },
    }));
}

/// How many calls Torch has made since [`count_calls`].
pub fn calls(bed: &Bed) -> u64 {
    let metrics = kubectl::run(&["get", "--raw", "/metrics"]);
    let of_torch = format!("flow_schema=\"{}\"", bed.namespace.outside());
    let lines = metrics.lines().filter(|line| {
        line.starts_with("apiserver_flowcontrol_dispatched_requests_total{") && line.contains(&of_torch)
    });
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
