//! Torch asked by the IP of one of its pods: without its Service, without DNS, and without the API server.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::pods::Pod;
use crate::review;
use crate::torch::Torch;
use crate::wait::check;

/// What a node waits for, in Torch's words.
pub fn waits_for(bed: &Bed, torch: &Torch, name: &str) -> Result<String, String> {
    let answer = torch.curl("/list", &format!("--connect-to ::{}:8443", replica(bed)?.ip()))?;
    check(answer.status == 200, || format!("{answer:?}"))?;
    let list = answer.json();
    let mut nodes = list["body"].as_array().into_iter().flatten();
    let node = nodes.find(|node| node["node"] == name).ok_or_else(|| format!("{name} is not in {list}"))?;
    let why = node["waitsFor"]["message"].as_str();
    why.map(String::from).ok_or_else(|| format!("it waits for nothing: {node}"))
}

/// What the webhook says to a pod like this one, if it were created without the variable. It is asked from
/// this machine, and its certificate is not verified: it is not for an IP address.
pub fn review(bed: &Bed, pod: &Pod) -> Result<Value, String> {
    let containers = json!([{"name": "da", "image": "none"}]);
    let owners = &pod.object["metadata"]["ownerReferences"];
    let metadata = json!({"name": pod.name(), "namespace": bed.name(), "ownerReferences": owners});
    let review = review::of(json!({"metadata": metadata, "spec": {"containers": containers}}));
    let url = format!("https://{}:8443/mutate", replica(bed)?.ip());
    let mut curl = Command::new("curl")
        .args([
            "-sSk",
            "--max-time",
            "5",
            "-H",
            "Content-Type: application/json",
            "--data-binary",
            "@-",
            &url,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run curl: {e}"))?;
    let mut stdin = curl.stdin.take().expect("it was asked for");
    stdin.write_all(review.to_string().as_bytes()).map_err(|e| e.to_string())?;
    drop(stdin);
    let output = curl.wait_with_output().map_err(|e| e.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|e| format!("{url}: {e}"))
}

fn replica(bed: &Bed) -> Result<Pod, String> {
    let history = bed.pods.now();
    history.all_of_torch().rfind(|pod| pod.stays()).cloned().ok_or_else(|| "Torch has no pod".into())
}
