//! Any bytes as an admission review: the answer is a review with the same uid that allows; to a pod, its
//! patch applies, adds the variable, the mount, the volume and the annotation and nothing else; and a second pass
//! adds nothing.

#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::serde::Deserialize as _;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use torch::admission::{self, Input};
use torch::peers::{INJECTED, TRUSTED_PEERS};
use torch::view::Snapshot;
use torch_fuzz::{NAMESPACE, addresses, snapshot, within};

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(snapshot);
static ADDRESSES: LazyLock<BTreeSet<String>> = LazyLock::new(addresses);

fuzz_target!(|body: &[u8]| {
    LazyLock::force(&SNAPSHOT);
    let Some(answer) = ask(body) else { return };
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    let answer = &answer["response"];
    assert_eq!(answer["allowed"], true);
    // A number that is too large for it, or a nesting too deep, is nothing to Torch, which skips it.
    let Ok(mut review) = serde_json::from_slice::<Value>(body) else { return };
    // Serde takes `["u"]` for `{"uid": "u"}`, too, which no API server sends.
    if !(review.is_object() && review["request"].is_object()) {
        return;
    }
    assert_eq!(answer["uid"], review["request"]["uid"]);

    let Some(patch) = answer.get("patch") else { return };
    if Pod::deserialize(&review["request"]["object"]).is_err() {
        return;
    }
    assert_eq!(answer["patchType"], "JSONPatch");
    let patch = BASE64_STANDARD.decode(patch.as_str().expect("a text")).expect("base64");
    let patch: Patch = serde_json::from_slice(&patch).expect("operations of RFC 6902");
    let pod = &mut review["request"]["object"];
    patch.iter().for_each(|operation| check(operation, pod));
    json_patch::patch(pod, &patch).expect("it applies");

    let again = ask(review.to_string().as_bytes()).expect("it is a review");
    assert_eq!(again["response"].get("patch"), None, "a second pass changes something");
});

fn ask(body: &[u8]) -> Option<Value> {
    let input = Input { namespace: NAMESPACE, snapshot: &SNAPSHOT };
    let answer = within(body, 24, || admission::review(body, input)).ok()?;
    Some(serde_json::from_slice(&answer.body).expect("it is JSON"))
}

/// Sees that an operation adds what the design says, and that it takes the place of nothing.
fn check(operation: &PatchOperation, pod: &Value) {
    match operation {
        PatchOperation::Add(AddOperation { path, value }) => {
            let mut parts: Vec<String> = path.tokens().map(|token| token.decoded().into_owned()).collect();
            let appended = parts.last().is_some_and(|last| last == "-");
            if appended {
                parts.pop();
            }
            let list = PointerBuf::from_tokens(&parts);
            let (what, added) = match what(&parts) {
                "annotations" if parts.len() == 3 => ("annotations", vec![json!({(&parts[2]): value})]),
                "annotations" => ("annotations", vec![value.clone()]),
                what if appended => (what, vec![value.clone()]),
                what => (what, value.as_array().expect("a new list").clone()),
            };
            let there = list.resolve(pod).unwrap_or(&Value::Null);
            let is_new = appended || there.is_null() || parts.len() == 3;
            assert!(is_new, "{operation:?} replaces {there}");
            let [added] = &added[..] else { panic!("{operation:?} adds several") };
            check_added(what, added);
        }
        PatchOperation::Replace(ReplaceOperation { path, value }) => {
            let parts: Vec<String> = path.tokens().map(|token| token.decoded().into_owned()).collect();
            assert!(
                matches!(&parts[4..], [_, last] if last == "value") && parts[3] == "env",
                "{operation:?}"
            );
            let variable = path.parent().expect("it has one").resolve(pod).expect("it is there");
            assert_eq!(variable["name"], TRUSTED_PEERS);
            check_value(value);
        }
        other => panic!("{other:?}"),
    }
}

fn what(parts: &[String]) -> &str {
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["spec", "containers" | "initContainers", n, list @ ("env" | "volumeMounts")]
            if n.parse::<usize>().is_ok() =>
        {
            list
        }
        ["spec", "volumes"] => "volumes",
        ["metadata", "annotations"] => "annotations",
        ["metadata", "annotations", INJECTED] => "annotations",
        ref other => panic!("nothing is to be added at {other:?}"),
    }
}

fn check_added(what: &str, added: &Value) {
    let keys: Vec<&str> = added.as_object().expect("an object").keys().map(String::as_str).collect();
    match what {
        "env" => {
            assert_eq!((&keys[..], &added["name"]), (&["name", "value"][..], &json!(TRUSTED_PEERS)));
            check_value(&added["value"]);
        }
        "volumeMounts" => {
            assert_eq!(keys, ["mountPath", "name", "subPath"]);
            assert!(matches!(added["mountPath"].as_str(), Some("/tmp" | "/peers")), "{added}");
            assert!(matches!(added["subPath"].as_str(), Some("torch" | "x")), "{added}");
        }
        "volumes" => {
            let claim = json!({"claimName": "shared"});
            assert_eq!(*added, json!({"name": "torch-trusted-peers", "persistentVolumeClaim": claim}));
        }
        _ => assert!(
            matches!(added[INJECTED].as_str(), Some(TRUSTED_PEERS | "TRUSTED_PEERS, volumeMount"))
                && keys.len() == 1,
            "{added}"
        ),
    }
}

fn check_value(value: &Value) {
    let value = value.as_str().expect("a text");
    assert!(value.split(',').all(|address| ADDRESSES.contains(address)), "{value}");
}
