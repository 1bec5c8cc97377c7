//! Reviews: one as any other, and such as take the most memory to read.

use serde_json::{Value, json};

/// Just below the largest body that Torch reads.
const LARGE: usize = 4_000_000;

/// The review of a pod that gets its variable.
pub fn review(namespace: &str, uid: &str) -> Vec<u8> {
    let env: Vec<Value> =
        (0..40).map(|n| json!({"name": format!("V{n}"), "value": "x".repeat(60)})).collect();
    let object = json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "da-full-1", "namespace": namespace},
        "spec": {"containers": [{"name": "da", "image": "none", "env": env}]},
    });
    with_object(namespace, uid, &object.to_string())
}

fn with_object(namespace: &str, uid: &str, object: &str) -> Vec<u8> {
    let head = json!({
        "uid": uid,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": namespace,
        "operation": "CREATE",
    });
    let head = head.to_string();
    let head = head.trim_end_matches('}');
    // The kind's closing brace went, too, where it came last.
    let head = if head.matches('{').count() > head.matches('}').count() + 1 {
        format!("{head}}}")
    } else {
        head.into()
    };
    let kind = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":"#;
    format!("{kind}{head},\"object\":{object}}}}}").into_bytes()
}

/// Reviews of which as much as can be is kept while they are read.
pub fn bombs(namespace: &str) -> Vec<Vec<u8>> {
    let pod = |spec: String| format!(r#"{{"metadata":{{"name":"da-full-1"}},"spec":{{{spec}}}}}"#);
    let list = |entry: &str| vec![entry; LARGE / (entry.len() + 1)].join(",");
    let few = |entry: &str, times: usize| vec![entry; times].join(",");
    let keys: Vec<String> = (0..LARGE / 12).map(|n| format!(r#""{n:06}":"""#)).collect();
    // Of 17 a list has room for 32, and what is escaped is copied.
    let env = format!(r#"{{"name":"a","env":[{}]}}"#, few(r#"{"name":"\n"}"#, 17));
    let objects = [
        pod(format!(r#""containers":[{}]"#, list(r#"{"name":"a"}"#))),
        pod(format!(r#""volumes":[{}]"#, list(r#"{"name":"a"}"#))),
        pod(format!(r#""containers":[{{"name":"da","env":[{}]}}]"#, list(r#"{"name":"a"}"#))),
        pod(format!(r#""containers":[{}]"#, list(&env))),
        // Within every bound.
        pod(format!(r#""containers":[{}],"x":"{}""#, few(&env, 10_000 / 18), "x".repeat(LARGE / 2))),
        format!(r#"{{"metadata":{{"name":"da-full-1","annotations":{{{}}}}},"spec":{{}}}}"#, keys.join(",")),
        format!(
            r#"{{"metadata":{{"name":"da-full-1","x":{}{}}},"spec":{{}}}}"#,
            "[".repeat(LARGE / 2),
            "]".repeat(LARGE / 2)
        ),
    ];
    let mut bombs: Vec<Vec<u8>> = objects.iter().map(|object| with_object(namespace, "u", object)).collect();
    bombs.push(with_object(namespace, &"u".repeat(LARGE), "null"));
    bombs
}
