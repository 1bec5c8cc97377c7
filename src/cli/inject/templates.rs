//! The pods that objects are, or that their controllers would make.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

/// How many of a StatefulSet's pods are looked at.
const MOST_PODS: u64 = 1000;

/// A pod, or a template of pods, in a document.
#[derive(Debug, PartialEq)]
pub struct Template {
    /// Where it is in the document, as a JSON pointer.
    pub path: String,
    /// The object that makes the pods, such as `StatefulSet da`; none for a pod itself.
    pub maker: Option<String>,
    /// The pods as the API server would be sent them; the first stands for all that are alike. Those of a
    /// StatefulSet have names.
    pub pods: Vec<Value>,
    /// How many more there would be.
    pub left_out: u64,
}

/// The templates of a document: its own, or those of a List's items.
pub fn templates(document: &Value) -> Vec<Template> {
    let mut found = Vec::new();
    collect(document, "", &mut found);
    found
}

fn collect(object: &Value, path: &str, found: &mut Vec<Template>) {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        (version, list) if list.ends_with("List") && object["items"].is_array() => {
            let kind = list.trim_end_matches("List");
            for (i, item) in object["items"].as_array().into_iter().flatten().enumerate() {
                collect(&of_list(item, version, kind), &format!("{path}/items/{i}"), found);
            }
        }
        ("v1", "Pod") => {
            found.push(Template { path: path.into(), maker: None, pods: vec![object.clone()], left_out: 0 });
        }
        ("apps/v1", "StatefulSet") => {
            let (pods, left_out) = replicas(object);
            found.push(made(object, path, pods, left_out));
        }
        ("apps/v1", "Deployment") => found.push(made(object, path, vec![of_deployment(object)], 0)),
        (_, kind @ ("ReplicaSet" | "DaemonSet" | "ReplicationController" | "Job")) if is_builtin(object) => {
            found.push(made(object, path, vec![nameless(object, kind)], 0));
        }
        _ => {}
    }
}

/// An item of a list: the API server's own lists say its kind once, for all.
fn of_list<'a>(item: &'a Value, version: &str, kind: &str) -> Cow<'a, Value> {
    if kind.is_empty() || item.get("kind").is_some() || !item.is_object() {
        return Cow::Borrowed(item);
    }
    let mut item = item.clone();
    item["apiVersion"] = json!(version);
    item["kind"] = json!(kind);
    Cow::Owned(item)
}

fn is_builtin(object: &Value) -> bool {
    matches!(object["apiVersion"].as_str(), Some("v1" | "apps/v1" | "batch/v1"))
}

fn made(object: &Value, path: &str, pods: Vec<Value>, left_out: u64) -> Template {
    let kind = object["kind"].as_str().unwrap_or_default();
    let maker = Some(format!("{kind} {}", name_of(object)));
    Template { path: format!("{path}/spec/template"), maker, pods, left_out }
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// A StatefulSet's pods; of one that is scaled to 0 the first that it will have.
fn replicas(set: &Value) -> (Vec<Value>, u64) {
    let spec = &set["spec"];
    let first = spec["ordinals"]["start"].as_u64().unwrap_or(0);
    let replicas = spec["replicas"].as_u64().unwrap_or(1).max(1);
    let shown = replicas.min(MOST_PODS);
    let pods = (0..shown).map(|i| replica(set, first.saturating_add(i))).collect();
    (pods, replicas - shown)
}

fn replica(set: &Value, ordinal: u64) -> Value {
    let name = format!("{}-{ordinal}", name_of(set));
    let mut pod = pod(set, "StatefulSet", name_of(set));
    pod["metadata"]["name"] = json!(name);
    let claims: Vec<&str> =
        set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten().map(name_of).collect();
    if !claims.is_empty() && pod["spec"].is_object() {
        pod["spec"]["volumes"] = with_claims(&pod["spec"]["volumes"], &claims, &name);
    }
    pod
}

/// The volumes with those of the claims, which take the place of others of their names.
fn with_claims(volumes: &Value, claims: &[&str], pod: &str) -> Value {
    let others = volumes.as_array().into_iter().flatten();
    let others = others.filter(|volume| !volume["name"].as_str().is_some_and(|name| claims.contains(&name)));
    let of_claims = claims.iter().map(
        |claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": format!("{claim}-{pod}")}}),
    );
    Value::Array(of_claims.chain(others.cloned()).collect())
}

/// A Deployment's pod, which a ReplicaSet makes. The hash is the API server's to compute.
fn of_deployment(deployment: &Value) -> Value {
    let hash = "hash";
    let mut pod = pod(deployment, "ReplicaSet", &format!("{}-{hash}", name_of(deployment)));
    let metadata = &mut pod["metadata"];
    if !metadata["labels"].is_object() {
        metadata["labels"] = json!({});
    }
    metadata["labels"]["pod-template-hash"] = json!(hash);
    pod
}

fn nameless(object: &Value, kind: &str) -> Value {
    pod(object, kind, name_of(object))
}

/// The pod of an object's template, yet without a name.
fn pod(object: &Value, owner_kind: &str, owner_name: &str) -> Value {
    let template = &object["spec"]["template"];
    let mut metadata: Map<String, Value> = template["metadata"].as_object().cloned().unwrap_or_default();
    metadata.insert("generateName".into(), json!(format!("{owner_name}-")));
    metadata.insert("namespace".into(), object["metadata"]["namespace"].clone());
    metadata.insert(
        "ownerReferences".into(),
        json!([{"kind": owner_kind, "name": owner_name, "controller": true}]),
    );
    metadata.remove("name");
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}
