//! The webhook cannot be called while a node is recreated.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::account::{self, End, NODES};
use crate::bed::Bed;
use crate::direct;
use crate::events;
use crate::kubectl;
use crate::node::Node;
use crate::torch::Torch;
use crate::wait::{SOON, check, eventually};

const WITHIN: Duration = Duration::from_secs(60);

const FULL: &str = NODES[1];

/// How long it is watched that a restart which would be in vain is not made.
const A_WHILE: Duration = Duration::from_secs(10);

pub fn without_endpoints() {
    let bed = Bed::make("f-webhook");
    let (torch, account) = account::settled(&bed, &Node::pair());
    unreachable(&bed, &torch);
    let pod = bed.recreate(FULL);
    assert!(pod.variable("TRUSTED_PEERS").is_some(), "the policy did not inject");
    bed.pods.stay_as_they_are(A_WHILE);
    select(&bed, "torch");
    let what = "it carries the variable by the policy, and is not restarted".into();
    let fault = "webhook without endpoints while a node is recreated".into();
    let end = End { fault, what, own: [0, 1], within: WITHIN, kills: 0 };
    account.close(&bed, &torch, Instant::now(), end);
}

pub fn without_endpoints_and_policy() {
    let bed = Bed::make("f-no-policy");
    let (torch, account) = account::settled(&bed, &Node::pair());
    without_policy(&bed);
    unreachable(&bed, &torch);
    let pod = bed.recreate(FULL);
    assert_eq!(pod.variable("TRUSTED_PEERS"), None, "it came through the webhook");
    let why = eventually("Torch says why it does not restart it", SOON, || {
        let why = direct::waits_for(&bed, &torch, FULL)?;
        check(why.contains("the webhook cannot be reached"), || why.clone())?;
        Ok(why)
    });
    events::wait(&bed, pod.name(), "the webhook cannot be reached");
    bed.pods.stay_as_they_are(A_WHILE);
    select(&bed, "torch");
    let what = format!("it lacks the variable and is left running: “{why}”; then one restart");
    let fault = "the same without the policy".into();
    let end = End { fault, what, own: [0, 1], within: WITHIN, kills: 0 };
    account.close(&bed, &torch, Instant::now(), end);
}

/// Takes the net below the webhook away.
pub fn without_policy(bed: &Bed) {
    bed.kubectl(&["delete", "mutatingadmissionpolicybinding", &bed.namespace.outside()]);
}

/// Takes the Service's endpoints away. API servers go on using the connections that they have: those end
/// with the pods.
fn unreachable(bed: &Bed, torch: &Torch) {
    select(bed, "nobody");
    eventually("the Service has no endpoints", SOON, || {
        let slices = kubectl::get(bed.name(), "endpointslices")?;
        let of_torch = slices["items"].as_array().into_iter().flatten();
        let mut of_torch = of_torch
            .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "torch")
            .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
        of_torch.next().map_or(Ok(()), |endpoint| Err(endpoint.to_string()))
    });
    bed.kubectl(&["delete", "pod", "-l", "app.kubernetes.io/name=torch"]);
    torch.wait_ready();
}

/// Has Torch's Service select the pods of that label.
fn select(bed: &Bed, name: &str) {
    let patch = json!({"spec": {"selector": {"app.kubernetes.io/name": name}}}).to_string();
    bed.kubectl(&["patch", "service", "torch", "-p", &patch]);
}
