//! An injector as kube's examples have it: the review as a type, its pod as dynamic JSON, the patch as the
//! difference between what came and what it is to be.

use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use serde_json::{Value, json};

/// What a workload's pods get.
pub struct Injection {
    pub node: String,
    pub peers: String,
}

/// Answers reviews.
pub fn router(injection: Injection) -> Router {
    let router = Router::new().route("/mutate", post(mutate)).with_state(Arc::new(injection));
    router.layer(DefaultBodyLimit::max(8 * 1024 * 1024))
}

async fn mutate(
    State(injection): State<Arc<Injection>>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Json<AdmissionReview<DynamicObject>> {
    let request: AdmissionRequest<DynamicObject> = match review.try_into() {
        Ok(request) => request,
        Err(error) => return Json(AdmissionResponse::invalid(format!("{error}")).into_review()),
    };
    let response = AdmissionResponse::from(&request);
    let answer = inject(&injection, &request, response);
    Json(answer.unwrap_or_else(|error| AdmissionResponse::invalid(format!("{error:#}"))).into_review())
}

fn inject(
    injection: &Injection,
    request: &AdmissionRequest<DynamicObject>,
    response: AdmissionResponse,
) -> anyhow::Result<AdmissionResponse> {
    let object = request.object.as_ref().context("there is no object")?;
    let mut owners = object.metadata.owner_references.iter().flatten();
    if !owners.any(|owner| owner.controller == Some(true) && owner.name == injection.node) {
        return Ok(response);
    }
    let before = serde_json::to_value(object)?;
    let mut after = before.clone();
    change(&mut after, &injection.peers).context("the pod lacks what is changed")?;
    Ok(response.with_patch(json_patch::diff(&before, &after))?)
}

/// What Torch does with such a pod.
fn change(pod: &mut Value, peers: &str) -> Option<()> {
    let spec = &pod["spec"];
    let claimed = spec["volumes"].as_array()?.iter().find(|v| v.get("persistentVolumeClaim").is_some())?;
    let volume = claimed["name"].clone();
    let containers = pod["spec"]["containers"].as_array_mut()?;
    let container = containers.iter_mut().find(|container| container["name"] == "node")?;
    container["env"].as_array_mut()?.push(json!({"name": "TRUSTED_PEERS", "value": peers}));
    let mount = json!({"name": volume, "mountPath": "/peers", "subPath": "torch"});
    container["volumeMounts"].as_array_mut()?.push(mount);
    pod["metadata"]["annotations"]["torch.celestia.org/injected"] = "TRUSTED_PEERS, volumeMount".into();
    Some(())
}
