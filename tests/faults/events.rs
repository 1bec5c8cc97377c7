//! The Events that Torch tells.

use serde_json::Value;

use crate::bed::Bed;
use crate::kubectl;
use crate::wait::{SOON, eventually};

/// Waits for Torch to tell of a pod whose name begins so, with this text in the note.
#[track_caller]
pub fn wait(bed: &Bed, pod: &str, text: &str) -> String {
    eventually(&format!("an Event of {pod} with {text:?}"), SOON, || {
        let found = kubectl::get(bed.name(), "events.events.k8s.io")?;
        let mut events = found["items"].as_array().into_iter().flatten();
        let told = events.find(|event| {
            event["reportingController"] == "torch.celestia.org/torch"
                && event["regarding"]["name"].as_str().is_some_and(|name| name.starts_with(pod))
                && event["note"].as_str().is_some_and(|note| note.contains(text))
        });
        let reason = told.and_then(|event| event["reason"].as_str()).map(String::from);
        reason.ok_or_else(|| format!("there are {:?}", notes(&found)))
    })
}

fn notes(events: &Value) -> Vec<&str> {
    events["items"].as_array().into_iter().flatten().filter_map(|e| e["note"].as_str()).collect()
}
