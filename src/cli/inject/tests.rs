use proptest::prelude::*;

use super::*;
use crate::peers::TRUSTED_PEERS;

const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

const CONFIG: &str = "
mutualPeers:
  - trustedPeersPath: /peers
    peers: [{nodeName: da}, {nodeName: full}, {nodeName: web}]
";

fn injector(known: &[&str]) -> Injector {
    let config = config::parse(CONFIG).unwrap();
    let peers: Value = known.iter().map(|pod| (pod.to_string(), json!(address(pod)))).collect();
    let book = peers::book(Some(&peers.to_string()), &config).unwrap();
    Injector { snapshot: Snapshot::begin(config.into(), &book), namespace: None }
}

fn address(pod: &str) -> String {
    format!("/dns/{pod}/tcp/2121/p2p/{PEER}")
}

#[track_caller]
fn injected(known: &[&str], text: &str) -> (String, Vec<String>) {
    injector(known).text(text).unwrap()
}

const SET: &str = "\
# A node.
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: da}
spec:
  replicas: 2
  template:
    metadata:
      labels:
        app: da   # kept
    spec:
      containers:
      - name: log
        image: \"log\"   # not this one
      - name: da
        env:
        - name: A
          value: |
            text
        # about mounts
        volumeMounts:
          - {name: data, mountPath: /home}
  volumeClaimTemplates:
    - metadata: {name: data}
";

#[test]
fn a_stateful_set_gets_what_its_first_pod_does_and_keeps_its_comments() {
    let around = ["---\nkind:   Other # as it is\n", "---\n", "--- \r\nlast: [ ]"];
    let text = format!("{}{}{SET}{}", around[0], around[1], around[2]);
    let (after, lines) = injected(&["full", "da-0", "da-1"], &text);
    let expected = SET
        .replace(
            "            text\n",
            &format!(
                "            text\n        - name: TRUSTED_PEERS\n          value: {},{}\n",
                address("da-1"),
                address("full")
            ),
        )
        .replace(
            "mountPath: /home}\n",
            "mountPath: /home}\n          - mountPath: /peers\n            name: data\n            subPath: torch\n",
        )
        .replace(
            "# kept\n",
            "# kept\n      annotations:\n        torch.celestia.org/injected: TRUSTED_PEERS, volumeMount\n",
        );
    assert_eq!(after, format!("{}{}{expected}{}", around[0], around[1], around[2]));
    assert_eq!(
        lines,
        [
            "da-0 of StatefulSet da: injected_with_mount: TRUSTED_PEERS set; file kept on a volume",
            "da-1 of StatefulSet da: injected_with_mount: TRUSTED_PEERS set; file kept on a volume; not what the first pod gets, which is shown"
        ]
    );
}

#[test]
fn workloads_are_known_by_the_names_that_their_pods_have_for_owners() {
    for (api_version, kind) in [
        ("v1", "ReplicationController"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "Job"),
    ] {
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web"}, "spec": {
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "da"}]}},
        }});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Service"}, object]});
        let (after, lines) = injected(&["full"], &list.to_string());
        let after: Value = serde_yaml::from_str(&after).unwrap();
        let env = &after["items"][1]["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!(*env, json!([{"name": TRUSTED_PEERS, "value": address("full")}]), "{kind}");
        assert_eq!(
            lines,
            [format!(
                "a pod of {kind} web: injected_no_claim: TRUSTED_PEERS set; file not kept: the pod has no PersistentVolumeClaim"
            )]
        );
    }
}

#[test]
fn a_pod_that_gets_nothing_is_told_of_and_stays_as_it_is() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: full} # x\nspec: {containers: [{name: da}]}\n";
    let (after, lines) = injected(&[], text);
    assert_eq!(after, text);
    assert_eq!(lines, ["full: nothing_known: the address of none of its peers is known"]);
    let other = Injector { namespace: Some("da".into()), ..injector(&["web-1"]) };
    let (_, lines) = other.text(&text.replace("{name: full}", "{name: full, namespace: other}")).unwrap();
    assert!(lines[0].starts_with("full: other_namespace: "), "{lines:?}");
    assert!(other.text(text).unwrap().1[0].starts_with("full: injected_"));
}

#[test]
fn what_is_below_an_alias_is_written_anew_and_that_is_said() {
    let text = "\
---
apiVersion: v1
kind: Pod
metadata: {name: full}
spec:
  initContainers:
    - name: first
      env: &env # shared
        - {name: A, value: \"1\"}
  containers:
    - name: da
      env: *env
";
    let (after, lines) = injected(&["da-0"], text);
    assert!(after.starts_with("---\n") && lines[1].contains("line 1 is written anew"), "{after}{lines:?}");
    let after: Value = serde_yaml::from_str(&after).unwrap();
    let env = |list: &str| after["spec"][list][0]["env"].as_array().unwrap().len();
    assert_eq!([env("initContainers"), env("containers")], [1, 2]);
    assert_eq!(after["spec"]["containers"][0]["env"][0]["value"], "1", "a text stays one");
}

#[test]
fn lists_that_are_null_or_empty_are_filled_where_they_stand() {
    for empty in ["env:", "env: # none", "env: []", "env: null # none", "env: ~"] {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: full\n  annotations: {{}}\nspec:\n  containers:\n    - name: da\n      {empty}\n      image: x\n"
        );
        let (after, lines) = injected(&["da-0"], &text);
        assert_eq!(lines.len(), 1, "{empty}: {after}");
        let changed = similar::TextDiff::from_lines(&text, &after);
        let inserted = changed.iter_all_changes().filter(|c| c.tag() == similar::ChangeTag::Insert);
        assert_eq!(inserted.count(), 2, "{empty}: {after}");
    }
}

#[test]
fn what_is_added_has_the_line_ends_of_the_text() {
    let text = SET.replace('\n', "\r\n");
    let (after, _) = injected(&["da-1"], &text);
    assert!(after.len() > text.len() && !after.replace("\r\n", "").contains('\n'), "{after:?}");
}

#[test]
fn the_items_of_an_api_servers_list_are_of_its_kind() {
    let pod = json!({"metadata": {"name": "full"}, "spec": {"containers": [{"name": "da"}]}});
    let list = json!({"apiVersion": "v1", "kind": "PodList", "items": [pod]});
    let (_, lines) = injected(&["da-0"], &list.to_string());
    assert!(lines[0].starts_with("full: injected_"), "{lines:?}");
}

#[test]
fn what_holds_no_pod_is_told_of() {
    for text in ["", "# nothing\n", "%YAML 1.2\n---\nkind: Service\n"] {
        assert_eq!(
            injected(&[], text),
            (text.into(), vec!["nothing in it is a pod or makes pods, by its apiVersion and kind".into()])
        );
    }
}

#[test]
fn a_pod_that_no_api_has_is_told_with_its_fault() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: full, annotations: {torch.celestia.org/inject: false}}, spec: {containers: [{name: da}]}}";
    let (_, lines) = injected(&["da-0"], text);
    let expected = "full: unreadable: the pod cannot be read: metadata.annotations.torch.celestia.org/inject: invalid type: boolean `false`";
    assert!(lines[0].starts_with(expected), "{lines:?}");
}

#[test]
fn torch_itself_is_not_asked_about() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: full, labels: {app.kubernetes.io/name: torch}}, spec: {containers: [{name: da}]}}";
    let (after, lines) = injected(&["da-0"], text);
    assert_eq!(after, text);
    assert!(lines[0].starts_with("full: it is Torch"), "{lines:?}");
}

#[test]
fn a_text_that_is_no_yaml_is_an_error_with_its_place() {
    let error = injector(&[]).text("a: 1\n---\nb: [\n").unwrap_err();
    assert!(error.to_string().contains("begins on line 2"), "{error}");
}

#[test]
fn what_changes_is_shown_as_a_diff() {
    assert_eq!(diff("f", "a\n", "a\n"), "");
    assert_eq!(diff("f", "a\n", "a\nb\n"), "--- f\n+++ f (injected)\n@@ -1 +1,2 @@\n a\n+b\n");
}

/// A pod with or without each of the things that it gets something into.
fn any_pod() -> impl Strategy<Value = Value> {
    let env = prop::option::of(prop::collection::vec(("[A-Z]{1,4}", "[ -~\u{e9}\n]{0,12}"), 0..3));
    let volumes = prop::option::of(0usize..3);
    let annotations = prop::option::of(prop::collection::hash_map("[a-z./~]{1,8}", "[ -~]{0,8}", 0..3));
    (env, volumes, annotations, any::<bool>(), "da|full|web|other").prop_map(
        |(env, volumes, annotations, mounts, name)| {
            let mut container = json!({"name": "da", "image": "x"});
            if let Some(env) = env {
                container["env"] = env.iter().map(|(n, v)| json!({"name": n, "value": v})).collect();
            }
            if mounts {
                container["volumeMounts"] = json!([{"name": "v0", "mountPath": "/data"}]);
            }
            let mut pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                "spec": {"containers": [{"name": "log"}, container]},
            });
            if let Some(n) = volumes {
                let claim = |i| json!({"name": format!("v{i}"), "persistentVolumeClaim": {"claimName": "c"}});
                pod["spec"]["volumes"] = (0..n).map(claim).collect();
            }
            if let Some(annotations) = annotations {
                pod["metadata"]["annotations"] = json!(annotations);
            }
            pod
        },
    )
}

/// The pod as the API server would make it of the webhook's answer, by a JSON Patch of other hands than ours.
fn admitted(pod: &Value, injector: &Injector) -> Value {
    let review = json!({"request": {
        "uid": "u", "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "name": pod["metadata"]["name"], "namespace": "da", "object": pod,
    }});
    let input = Input { namespace: "da", snapshot: &injector.snapshot };
    let decision = admission::review(review.to_string().as_bytes(), input).unwrap().decision;
    let mut admitted = pod.clone();
    if !decision.patch().is_empty() {
        let patch: json_patch::Patch = serde_json::from_slice(decision.patch().json()).unwrap();
        json_patch::patch(&mut admitted, &patch).unwrap();
    }
    admitted
}

proptest! {
    /// In whichever form a pod is written it becomes what admission makes of it, once, in place, and what is
    /// beside it stays as it is.
    #[test]
    fn a_pod_becomes_what_admission_makes_of_it(pod in any_pod(), form in 0..4) {
        let written = match form {
            0 => pod.to_string(),
            1 => serde_json::to_string_pretty(&pod).unwrap(),
            2 => serde_yaml::to_string(&pod).unwrap(),
            _ => serde_yaml::to_string(&pod).unwrap().replace("\nspec:", "\nspec: # about it\n"),
        };
        let injector = injector(&["da", "full", "web"]);
        let before = "# A stranger\nkind:  Service   # as it is\n---\n";
        let behind = "\n---\nb:   2";
        let (once, lines) = injector.text(&format!("{before}{written}{behind}")).unwrap();
        let (twice, _) = injector.text(&once).unwrap();
        prop_assert_eq!(&twice, &once);
        prop_assert_eq!(lines.len(), 1, "not in place: {}", once);
        let middle = once.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
        prop_assert!(middle.is_some(), "{}", once);
        let read: Value = serde_yaml::from_str(middle.unwrap_or_default()).unwrap();
        prop_assert_eq!(read, admitted(&pod, &injector));
    }
}
