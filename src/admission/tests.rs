use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config;
use crate::peers::{Address, Book, Known};

const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

const CONFIG: &str = r#"
mutualPeers:
  - peers: [{nodeName: da-bridge-1}, {nodeName: da-full-1}]
  - trustedPeersPath: /peers
    peers: [{nodeName: web}, {nodeName: single}, {nodeName: side, containerName: car}]
  - volume: {claimName: shared, subPath: x}
    peers: [{nodeName: claimed}]
  - volume: {name: scratch}
    peers: [{nodeName: named}, {nodeName: claimed-peer}]
"#;

fn book(pods: &[&str]) -> Book {
    let known = |pod: &str| Known {
        address: format!("/dns/{pod}/tcp/2121/p2p/{PEER}").parse::<Address>().unwrap(),
        workload: None,
        container: "c".into(),
        learned: Timestamp::UNIX_EPOCH,
    };
    Book { nodes: pods.iter().map(|p| (p.to_string(), known(p))).collect(), ..Book::default() }
}

fn pod(name: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "da"},
        "spec": {
            "securityContext": {"fsGroup": 10001},
            "containers": [{"name": "log"}, {"name": "da", "env": [{"name": "A", "value": "1"}], "newField": {"kept": true}}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-0"}}],
        },
    })
}

fn request(pod: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
        "name": pod["metadata"]["name"].as_str().unwrap_or(""), "namespace": "da", "object": pod, "oldObject": null,
    }})
}

fn ask(review_: &Value, known: &[&str]) -> Answer {
    let config = config::parse(CONFIG).unwrap();
    let input = Input { namespace: "da", snapshot: &Snapshot::begin(config.into(), &book(known)) };
    review(review_.to_string().as_bytes(), input).unwrap()
}

/// The pod as the API server would store it, by a JSON Patch of other hands than ours.
fn patched(pod: &Value, known: &[&str]) -> (Value, &'static str) {
    let answer = ask(&request(pod), known);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["response"]["uid"], "u-1");
    assert_eq!(body["response"]["allowed"], true);
    let mut result = pod.clone();
    if let Some(patch) = body["response"]["patch"].as_str() {
        let patch: json_patch::Patch = serde_json::from_slice(&BASE64.decode(patch).unwrap()).unwrap();
        json_patch::patch(&mut result, &patch).unwrap();
    }
    (result, answer.decision.label())
}

#[test]
fn a_configured_pod_gets_the_variable_and_the_mount_and_nothing_else() {
    let before = pod("da-full-1");
    let (after, label) = patched(&before, &["da-bridge-1", "da-full-1"]);
    assert_eq!(label, "injected_with_mount");
    let mut expected = before;
    let container = &mut expected["spec"]["containers"][1];
    container["env"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "TRUSTED_PEERS", "value": format!("/dns/da-bridge-1/tcp/2121/p2p/{PEER}")}));
    container["volumeMounts"] = json!([{"name": "data", "mountPath": "/tmp", "subPath": "torch"}]);
    expected["metadata"]["annotations"] = json!({INJECTED: "TRUSTED_PEERS, volumeMount"});
    assert_eq!(after, expected);
}

#[test]
fn patching_a_patched_pod_changes_nothing() {
    let known = ["da-bridge-1"];
    let (once, _) = patched(&pod("da-full-1"), &known);
    let (twice, label) = patched(&once, &known);
    assert_eq!((label, twice), ("already_set", once));
}

#[test]
fn what_the_policy_set_a_moment_ago_is_set_to_what_is_known_now() {
    let (mut given, _) = patched(&pod("web"), &["single"]);
    given["metadata"]["managedFields"] = json!([{"fieldsV1": {"f:metadata": {"f:annotations": {}}}}]);
    let env = json!({"name": TRUSTED_PEERS, "value": format!("/dns/single/tcp/2121/p2p/{PEER},/dns/side/tcp/2121/p2p/{PEER}")});
    let mut expected = given.clone();
    expected["spec"]["containers"][1]["env"][1] = env;
    assert_eq!(patched(&given, &["single", "side"]), (expected, "refreshed"));
    assert_eq!(patched(&given, &["single"]), (given.clone(), "already_set"));
    assert_eq!(patched(&given, &[]), (given.clone(), "already_set"));

    // A pod whose author wrote both, as when one that runs is created again from what kubectl printed.
    let mut written = given;
    written["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:annotations"] =
        json!({format!("f:{INJECTED}"): {}});
    assert_eq!(patched(&written, &["single", "side"]), (written.clone(), "already_set"));
    written["metadata"].as_object_mut().unwrap().remove("managedFields");
    assert_eq!(patched(&written, &["single", "side"]), (written.clone(), "already_set"));
}

#[track_caller]
fn unchanged(label: &str, change: impl FnOnce(&mut Value)) {
    let mut review_ = request(&pod("da-full-1"));
    change(&mut review_["request"]);
    let answer = ask(&review_, &["da-bridge-1"]);
    assert_eq!(answer.decision.label(), label);
    assert!(matches!(answer.decision, Decision::Unchanged(_)));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["response"], json!({"uid": "u-1", "allowed": true}));
}

#[test]
fn what_is_not_ours_to_change_is_admitted_unchanged() {
    unchanged("not_a_pod_creation", |r| r["operation"] = json!("UPDATE"));
    unchanged("not_a_pod_creation", |r| r["kind"]["kind"] = json!("Service"));
    unchanged("not_a_pod_creation", |r| r["object"] = json!(null));
    unchanged("other_namespace", |r| r["namespace"] = json!("other"));
    unchanged("not_configured", |r| r["object"]["metadata"]["name"] = json!("stranger"));
    unchanged("mirror_pod", |r| {
        r["object"]["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"})
    });
    unchanged("opted_out", |r| r["object"]["metadata"]["annotations"] = json!({INJECT: "false"}));
    unchanged("unknown_container", |r| r["object"]["spec"]["containers"][1]["name"] = json!("other"));
    unchanged("already_set", |r| {
        r["object"]["spec"]["containers"][1]["env"] = json!([{"name": TRUSTED_PEERS, "valueFrom": {}}]);
    });
    unchanged("nothing_known", |r| r["object"]["metadata"]["name"] = json!("da-bridge-1"));
    unchanged("unreadable", |r| r["object"]["spec"]["containers"] = json!("text"));
    unchanged("unreadable", |r| drop(r["object"].as_object_mut().unwrap().remove("metadata")));
    // So many would be ten times as large in memory as in the review.
    unchanged("unreadable", |r| r["object"]["spec"]["containers"] = json!(vec![json!({"name": ""}); 10_001]));
    unchanged("unreadable", |r| {
        let many = (0..10_001).map(|n| (n.to_string(), json!("")));
        r["object"]["metadata"]["annotations"] = Value::Object(many.collect());
    });
}

/// A review whose maps are written backwards: no serializer of Go's does so, but JSON allows it.
fn backwards(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries = map.iter().rev().map(|(key, value)| format!("{}:{}", json!(key), backwards(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(backwards).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[test]
fn a_review_is_read_in_any_order() {
    let config = config::parse(CONFIG).unwrap();
    let input = Input { namespace: "da", snapshot: &Snapshot::begin(config.into(), &book(&["single"])) };
    let mut owned = pod("web-954fb5869-x");
    owned["metadata"]["labels"] = json!({"pod-template-hash": "954fb5869"});
    owned["metadata"]["managedFields"] = json!([]);
    owned["metadata"]["ownerReferences"] =
        json!([{"kind": "ReplicaSet", "name": "web-954fb5869", "controller": true}]);
    for pod in [pod("da-full-1"), pod("web"), pod("stranger"), owned] {
        let [forwards, backwards] = [request(&pod).to_string(), backwards(&request(&pod))];
        assert_ne!(forwards, backwards);
        let answer = |text: &str| review(text.as_bytes(), input).unwrap();
        assert_eq!(answer(&forwards), answer(&backwards), "{backwards}");
    }
}

#[test]
fn of_a_field_that_comes_twice_the_last_counts() {
    let known = ["da-bridge-1"];
    let once = request(&pod("da-full-1")).to_string();
    let config = config::parse(CONFIG).unwrap();
    let input = Input { namespace: "da", snapshot: &Snapshot::begin(config.into(), &book(&known)) };
    let label = |text: String| review(text.as_bytes(), input).unwrap().decision.label();
    let nameless =
        once.replacen(r#""object":"#, r#""object":{"metadata":{"annotations":{"a":"b"}}},"object":"#, 1);
    assert_eq!(review(nameless.as_bytes(), input).unwrap(), review(once.as_bytes(), input).unwrap());
    let twice = once.replacen(r#""oldObject":"#, r#""object":{"spec":{}},"oldObject":"#, 1);
    assert_eq!(label(twice), "unreadable");
}

#[test]
fn of_a_pod_that_is_not_configured_no_more_is_read_than_what_says_so() {
    let config = config::parse(CONFIG).unwrap();
    let input = Input { namespace: "da", snapshot: &Snapshot::begin(config.into(), &book(&["single"])) };
    let label = |name: &str, metadata: &str| {
        let review_ = format!(
            r#"{{"request": {{"uid": "u-1", "kind": {{"version": "v1", "kind": "Pod"}}, "name": "{name}",
                "namespace": "da", "operation": "CREATE", "object": {{"metadata": {{{metadata}}}, broken"#
        );
        review(review_.as_bytes(), input).map(|answer| answer.decision.label()).ok()
    };
    assert_eq!([label("stranger", ""), label("web", "")], [Some("not_configured"), None]);
    let owned = |by| {
        format!(
            r#""ownerReferences": [{{"kind": "X", "name": "{by}", "controller": true}}], "managedFields": broken"#
        )
    };
    assert_eq!([label("", &owned("stranger")), label("", &owned("web"))], [Some("not_configured"), None]);
}

#[test]
fn what_is_not_a_review_is_an_error() {
    let config = config::Config::default();
    let input = Input { namespace: "da", snapshot: &Snapshot::begin(config.into(), &Book::default()) };
    // The answer carries the uid.
    let long = json!({"request": {"uid": "x".repeat(129)}}).to_string();
    for body in ["", "[]", "{}", "{\"request\":{}}", "\u{0}", &long] {
        assert!(review(body.as_bytes(), input).is_err(), "{body:?}");
    }
}

#[test]
fn a_pod_without_a_name_is_found_by_its_deployment() {
    let mut nameless = pod("x");
    nameless["metadata"] = json!({
        "generateName": "web-954fb5869-", "labels": {"pod-template-hash": "954fb5869"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-954fb5869", "controller": true}],
    });
    let (after, label) = patched(&nameless, &["single"]);
    assert_eq!(label, "injected_with_mount");
    assert_eq!(after["spec"]["containers"][1]["volumeMounts"][0]["mountPath"], "/peers");
}

#[test]
fn a_sidecar_is_found_among_the_init_containers() {
    let mut side = pod("side");
    side["spec"]["initContainers"] = json!([{"name": "car"}]);
    assert_eq!(patched(&side, &["web"]).1, "unknown_container");
    side["spec"]["initContainers"][0]["restartPolicy"] = json!("Always");
    let (after, _) = patched(&side, &["web"]);
    assert_eq!(after["spec"]["initContainers"][0]["env"][0]["name"], TRUSTED_PEERS);
}

#[track_caller]
fn mount_of(name: &str, label: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut before = pod(name);
    change(&mut before["spec"]);
    let (after, said) = patched(&before, &["da-bridge-1", "single", "claimed-peer", "named"]);
    assert_eq!(said, label);
    after["spec"].clone()
}

#[test]
fn the_mount_follows_the_volumes_of_the_pod() {
    let claims = |n: usize| -> Vec<Value> {
        (0..n)
            .map(|i| json!({"name": format!("v{i}"), "persistentVolumeClaim": {"claimName": "c"}}))
            .collect()
    };
    mount_of("da-full-1", "injected_no_claim", |s| s["volumes"] = json!([]));
    mount_of("da-full-1", "injected_no_claim", |s| s["volumes"] = json!(null));
    mount_of("da-full-1", "injected_several_claims", |s| s["volumes"] = json!(claims(2)));
    mount_of("da-full-1", "injected_volume_read_only", |s| {
        s["volumes"][0]["persistentVolumeClaim"]["readOnly"] = json!(true);
    });
    mount_of("da-full-1", "injected_already_persistent", |s| {
        s["containers"][1]["volumeMounts"] = json!([{"name": "data", "mountPath": "/tmp/"}]);
    });
    mount_of("da-full-1", "injected_mount_path_occupied", |s| {
        s["volumes"].as_array_mut().unwrap().push(json!({"name": "e", "emptyDir": {}}));
        s["containers"][1]["volumeMounts"] = json!([{"name": "e", "mountPath": "/tmp"}]);
    });
    mount_of("da-full-1", "injected_with_mount", |s| {
        s["containers"][1]["volumeMounts"] = json!([{"name": "data", "mountPath": "/tm"}]);
    });
    for unclear in ["tmp", "//tmp", "/tmp/.", "/x/../tmp/"] {
        mount_of("da-full-1", "injected_unclear_mount_path", |s| {
            s["containers"][1]["volumeMounts"] = json!([{"name": "data", "mountPath": unclear}]);
        });
    }
    mount_of("da-full-1", "injected_volume_is_a_block_device", |s| {
        s["containers"][0]["volumeDevices"] = json!([{"name": "data", "devicePath": "/dev/xvda"}]);
    });
    mount_of("da-full-1", "injected_mount_path_occupied", |s| {
        s["containers"][1]["volumeDevices"] = json!([{"name": "other", "devicePath": "/tmp"}]);
    });
}

#[test]
fn a_directory_that_programs_write_to_is_mounted_only_where_they_still_can() {
    let without = |s: &mut Value| s["securityContext"] = json!(null);
    mount_of("da-full-1", "injected_might_not_be_writable", without);
    mount_of("web", "injected_with_mount", without);
    mount_of("da-full-1", "injected_with_mount", |s| s["securityContext"] = json!({"runAsUser": 0}));
    mount_of("da-full-1", "injected_might_not_be_writable", |s| {
        s["securityContext"] = json!({"runAsUser": 0});
        s["containers"][1]["securityContext"] = json!({"runAsUser": 10001});
    });
    mount_of("web", "injected_might_not_be_writable", |s| {
        without(s);
        s["containers"][1]["env"] = json!([{"name": "HOME", "value": "/peers/"}]);
    });
}

#[test]
fn the_configured_volume_is_taken() {
    let spec = mount_of("named", "injected_unknown_volume", |_| {});
    assert_eq!(spec["containers"][1]["volumeMounts"], json!(null));
    mount_of("named", "injected_with_mount", |s| s["volumes"][0]["name"] = json!("scratch"));
    mount_of("named", "injected_volume_is_no_claim", |s| {
        s["volumes"].as_array_mut().unwrap().push(json!({"name": "scratch", "emptyDir": {}}));
    });
}

#[test]
fn a_directory_that_nothing_runs_without_is_never_mounted_over() {
    let mount = |path: &str| {
        let config = format!(
            "mutualPeers: [{{trustedPeersPath: {path}, volume: {{name: data}}, peers: [{{nodeName: a}}, {{nodeName: b}}]}}]"
        );
        let config = config::parse(&config).unwrap();
        let input = Input { namespace: "da", snapshot: &Snapshot::begin(config.into(), &book(&["b"])) };
        review(request(&pod("a")).to_string().as_bytes(), input).unwrap().decision.label()
    };
    for system in ["/etc", "/usr/bin/", "/bin/sh", "/usr/lib/x86_64-linux-gnu", "/dev", "/var/lib"] {
        assert_eq!(mount(system), "injected_system_directory", "{system}");
    }
    for other in ["/etc/peers", "/usr/share/peers", "/dev/shm", "/var/lib/peers", "/tmp"] {
        assert_eq!(mount(other), "injected_with_mount", "{other}");
    }
}

#[test]
fn a_configured_claim_is_added_where_the_pod_has_no_volume_of_it() {
    let config = config::parse(&format!("{CONFIG}  - peers: [{{nodeName: claimed, volume: {{claimName: shared, subPath: x}}}}, {{nodeName: single, trustedPeersPath: /peers}}]\n")).unwrap();
    let input = Input { namespace: "da", snapshot: &Snapshot::begin(config.into(), &book(&["single"])) };
    let before = pod("claimed");
    let answer = review(request(&before).to_string().as_bytes(), input).unwrap();
    let Decision::Injected { patch, no_mount: None } = answer.decision else {
        panic!("{:?}", answer.decision)
    };
    let mut after = before;
    let patch: json_patch::Patch = serde_json::from_slice(patch.json()).unwrap();
    json_patch::patch(&mut after, &patch).unwrap();
    assert_eq!(
        after["spec"]["volumes"][1],
        json!({"name": "torch-trusted-peers", "persistentVolumeClaim": {"claimName": "shared"}})
    );
    assert_eq!(
        after["spec"]["containers"][1]["volumeMounts"],
        json!([{"name": "torch-trusted-peers", "mountPath": "/tmp", "subPath": "x"}])
    );
}

#[test]
fn what_lacks_a_name_is_not_read() {
    let label = |break_it: fn(&mut Value)| {
        let mut pod = pod("da-full-1");
        break_it(&mut pod["spec"]);
        patched(&pod, &["da-bridge-1"]).1
    };
    assert_eq!(label(|_| {}), "injected_with_mount");
    for break_it in [
        |s: &mut Value| s["containers"][1]["volumeMounts"] = json!([{"name": "data"}]),
        |s: &mut Value| s["containers"][0] = json!({"name": ""}),
        |s: &mut Value| s["volumes"][0] = json!({"persistentVolumeClaim": {"claimName": "data"}}),
        |s: &mut Value| s["containers"] = json!({}),
        |s: &mut Value| s["securityContext"] = json!({"fsGroup": "1"}),
    ] {
        assert_eq!(label(break_it), "unreadable");
    }
}

#[test]
fn null_is_as_if_it_were_not_there() {
    let mut nulls = pod("da-full-1");
    nulls["metadata"]["annotations"] = json!({"a": null});
    nulls["spec"]["containers"][0]["env"] = Value::Null;
    nulls["spec"]["volumes"][0]["persistentVolumeClaim"]["readOnly"] = Value::Null;
    assert_eq!(patched(&nulls, &["da-bridge-1"]).1, "injected_with_mount");
}

#[test]
fn a_claim_that_is_mounted_read_only_keeps_no_file() {
    let label = |break_it: fn(&mut Value)| {
        let mut pod = pod("da-full-1");
        pod["spec"]["containers"][1]["volumeMounts"] = json!([{"name": "data", "mountPath": "/tmp"}]);
        break_it(&mut pod["spec"]);
        patched(&pod, &["da-bridge-1"]).1
    };
    assert_eq!(label(|_| {}), "injected_already_persistent");
    assert_eq!(
        label(|s| s["containers"][1]["volumeMounts"][0]["readOnly"] = json!(true)),
        "injected_volume_read_only"
    );
    assert_eq!(
        label(|s| s["volumes"][0]["persistentVolumeClaim"]["readOnly"] = json!(true)),
        "injected_volume_read_only"
    );
}

#[test]
fn annotations_that_are_full_stay_as_they_are() {
    let mut full = pod("da-full-1");
    full["metadata"]["annotations"] = json!({"a": "x".repeat(256 * 1024 - 20)});
    let (after, label) = patched(&full, &["da-bridge-1"]);
    assert_eq!(label, "injected_with_mount");
    assert_eq!(after["metadata"], full["metadata"]);
}

#[test]
fn warnings_are_as_short_as_kubernetes_asks() {
    use NoMount::*;
    for why in [
        AlreadyPersistent,
        Occupied,
        UnclearMountPath,
        NoClaim,
        SeveralClaims,
        UnknownVolume,
        NotAClaim,
        ReadOnly,
        BlockDevice,
        SystemDirectory,
        MightNotBeWritable,
    ] {
        assert!(why.warning().is_none_or(|w| w.len() <= 120), "{why:?}");
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[ -~\u{e9}\u{1f600}\"\\\\]{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z~/]{1,6}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever else a pod carries, the patch applies, keeps it, and a second pass adds nothing.
    #[test]
    fn any_pod_is_patched_once(extra in json_value(), env in prop::option::of(prop::collection::vec("[A-Z]{1,4}", 0..3)), fs_group in any::<bool>()) {
        let mut before = pod("da-full-1");
        before["spec"]["extra"] = extra.clone();
        before["metadata"]["annotations"] = json!({"a~b/c": "d"});
        before["spec"]["containers"][1]["env"] = json!(env.map(|e| e.into_iter().map(|n| json!({"name": n})).collect::<Vec<_>>()));
        if !fs_group { before["spec"]["securityContext"] = Value::Null; }
        let (once, _) = patched(&before, &["da-bridge-1"]);
        prop_assert_eq!(&once["spec"]["extra"], &extra);
        prop_assert_eq!(&once["metadata"]["annotations"]["a~b/c"], "d");
        let added = json_patch::diff(&before, &once);
        prop_assert!(added.0.iter().all(|o| !matches!(o, json_patch::PatchOperation::Remove(_))));
        let (twice, label) = patched(&once, &["da-bridge-1"]);
        prop_assert_eq!(label, "already_set");
        prop_assert_eq!(twice, once);
    }

    /// No bytes make it panic, and whatever it answers allows.
    #[test]
    fn any_bytes_are_survived(object in json_value(), cut in 0usize..400) {
        let review_ = request(&object).to_string();
        let config = config::parse(CONFIG).unwrap();
        let input = Input { namespace: "da", snapshot: &Snapshot::begin(config.into(), &book(&["da-bridge-1"])) };
        let cut = review_.floor_char_boundary(cut.min(review_.len()));
        let _ = review(&review_.as_bytes()[..cut], input);
        let body: Value = serde_json::from_slice(&review(review_.as_bytes(), input).unwrap().body).unwrap();
        prop_assert_eq!(&body["response"]["allowed"], true);
    }
}

#[test]
fn the_annotation_is_escaped_for_a_pointer() {
    assert_eq!(INJECTED_POINTER, INJECTED.replace('/', "~1"));
}
