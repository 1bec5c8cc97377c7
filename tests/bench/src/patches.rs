//! What becomes of a pod.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

/// The pod of a review, changed as the answer says.
pub fn apply(review: &str, answer: &[u8]) -> anyhow::Result<Value> {
    let mut pod = serde_json::from_str::<Value>(review)?["request"]["object"].take();
    let answer: Value = serde_json::from_slice(answer)?;
    anyhow::ensure!(answer["response"]["allowed"] == true, "it is not allowed: {answer}");
    if let Some(patch) = answer["response"].get("patch") {
        let patch: json_patch::Patch = serde_json::from_slice(&bytes(patch)?)?;
        json_patch::patch(&mut pod, &patch)?;
    }
    Ok(pod)
}

/// In base64, as the API says, or as a list of numbers, as kube writes it and API servers read it, too.
fn bytes(patch: &Value) -> anyhow::Result<Vec<u8>> {
    match patch.as_str() {
        Some(text) => BASE64.decode(text).context("it is not base64"),
        None => serde_json::from_value(patch.clone()).context("it is no list of bytes"),
    }
}
