//! A table of pods, each a case of the rules by which pods are injected.

use serde_json::{Deserializer, Value, json};

use crate::kubectl;

const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

/// How many members make a value that an environment variable only just holds.
const MANY: usize = 1700;

/// What a pod gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Nothing,
    Variable,
    VariableAndMount,
}

use Outcome::{Nothing, Variable, VariableAndMount};

/// A pod, and what it is to get.
pub struct Row {
    pub what: &'static str,
    pub pod: Value,
    pub expected: Outcome,
}

/// Nodes whose addresses are fixed, so that all is known without any pod.
pub fn config() -> String {
    let fixed =
        |name: &str| format!("{{nodeName: {name}, probe: [{{address: /dns/{name}/tcp/1/p2p/{PEER}}}]}}");
    let many: Vec<String> = (0..MANY).map(|n| fixed(&format!("m{n:04}"))).collect();
    let more: Vec<String> = (0..100).map(|n| fixed(&format!("n{n:04}"))).collect();
    let [a, b, many, more] = [fixed("peer-a"), fixed("peer-b"), many.join(", "), more.join(", ")];
    format!(
        "
mutualPeers:
  - peers: [{{nodeName: plain}}, {a}, {{nodeName: set}}, {{nodeName: both}}]
  - peers: [{{nodeName: both}}, {b}, {a}, {selfish}, {{nodeName: set-1}}]
  - trustedPeersPath: /peers
    peers: [{{nodeName: web}}, {one}, {{nodeName: side, containerName: car}}]
  - trustedPeersPath: /var/lib/peers
    peers: [{{nodeName: deep}}, {two}]
  - trustedPeersPath: /home/node
    peers: [{{nodeName: home}}, {three}]
  - volume: {{claimName: shared, subPath: x/y}}
    peers: [{{nodeName: claimed}}, {four}]
  - volume: {{name: scratch}}
    peers: [{{nodeName: named}}, {five}]
  - trustedPeersPath: /etc
    volume: {{name: data}}
    peers: [{{nodeName: system}}, {six}]
  - peers: [{{nodeName: lonely}}, {{nodeName: lonely-too}}]
  - peers: [{{nodeName: big}}, {{nodeName: too-big}}, {many}]
  - peers: [{{nodeName: too-big}}, {more}]
",
        selfish = fixed("selfish").replace("probe", "includeSelf: true, probe"),
        one = fixed("one"),
        two = fixed("two"),
        three = fixed("three"),
        four = fixed("four"),
        five = fixed("five"),
        six = fixed("six"),
    )
}

impl Row {
    /// What a pod of this row got.
    pub fn outcome(&self, pod: &Value) -> Outcome {
        let containers = |pod: &Value| {
            let lists = ["containers", "initContainers"].map(|list| pod["spec"][list].as_array().cloned());
            lists.into_iter().flatten().flatten().collect::<Vec<_>>()
        };
        let count = |pod: &Value, list: &str| -> usize {
            containers(pod).iter().map(|c| c[list].as_array().map_or(0, Vec::len)).sum()
        };
        let more = |list| count(pod, list) - count(&self.pod, list);
        match (more("env"), more("volumeMounts")) {
            (0, 0) => Nothing,
            (1, 0) => Variable,
            (1, 1) => VariableAndMount,
            other => panic!("{}: variables and mounts added: {other:?}: {pod:#}", self.what),
        }
    }
}

/// Has the API server say what would become of the pods.
#[track_caller]
pub fn dry_run(namespace: &str, rows: &[Row]) -> Vec<Value> {
    let pods: Vec<&Value> = rows.iter().map(|row| &row.pod).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string();
    let args = ["create", "-n", namespace, "--dry-run=server", "-o", "json", "-f", "-"];
    let printed = kubectl::attempt(&args, Some(&list)).unwrap_or_else(|why| panic!("{why}"));
    let pods = Deserializer::from_str(&printed).into_iter::<Value>();
    let pods: Vec<Value> = pods.map(|pod| comparable(pod.expect("kubectl prints JSON"))).collect();
    assert_eq!(pods.len(), rows.len());
    pods
}

/// Without what differs from one creation to the next.
fn comparable(mut pod: Value) -> Value {
    let metadata = pod["metadata"].as_object_mut().expect("every pod has it");
    for field in ["uid", "creationTimestamp", "managedFields"] {
        metadata.remove(field);
    }
    if metadata.contains_key("generateName") {
        metadata.remove("name");
    }
    pod
}

fn row(what: &'static str, expected: Outcome, name: &str, change: impl FnOnce(&mut Value)) -> Row {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            // Its volume would have another name every time.
            "automountServiceAccountToken": false,
            "securityContext": {"fsGroup": 10001},
            "containers": [
                {"name": "log", "image": "log"},
                {"name": "da", "image": "da", "env": [{"name": "A", "value": "1"}]},
            ],
            "volumes": [claim("data", "data-0")],
        },
    });
    change(&mut pod);
    Row { what, pod, expected }
}

fn claim(volume: &str, claim: &str) -> Value {
    json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}})
}

fn read_only(volume: &str, claim: &str) -> Value {
    json!({"name": volume, "persistentVolumeClaim": {"claimName": claim, "readOnly": true}})
}

fn scratch(volume: &str) -> Value {
    json!({"name": volume, "emptyDir": {}})
}

fn mount(volume: &str, path: &str) -> Value {
    json!({"name": volume, "mountPath": path})
}

fn device(volume: &str, path: &str) -> Value {
    json!({"name": volume, "devicePath": path})
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![row("the ordinary case", VariableAndMount, "plain", |_| {})];
    rows.extend(who_it_is());
    rows.extend(whether_it_is_ours());
    rows.extend(the_value());
    rows.extend(which_volume());
    rows.extend(what_is_mounted());
    rows.extend(whether_it_stays_writable());
    rows.extend(annotations());
    rows
}

fn owned(
    kind: &'static str,
    owner: &'static str,
    labels: Value,
    controller: bool,
) -> impl FnOnce(&mut Value) {
    move |pod| {
        pod["metadata"]["labels"] = labels;
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u", "controller": controller}]);
    }
}

/// As its ReplicaSet makes it, without a name.
fn unnamed(owner: &'static str, labels: Value) -> impl FnOnce(&mut Value) {
    move |pod| {
        owned("ReplicaSet", owner, labels, true)(pod);
        let metadata = pod["metadata"].as_object_mut().expect("it was just written");
        metadata.remove("name");
        metadata.insert("generateName".into(), format!("{owner}-").into());
    }
}

fn who_it_is() -> Vec<Row> {
    let hash = || json!({"pod-template-hash": "954fb5869"});
    vec![
        row("not configured", Nothing, "stranger", |_| {}),
        row(
            "a pod of a StatefulSet",
            VariableAndMount,
            "set-0",
            owned("StatefulSet", "set", json!({}), true),
        ),
        row(
            "a pod, and its StatefulSet",
            VariableAndMount,
            "set-1",
            owned("StatefulSet", "set", json!({}), true),
        ),
        row("a pod, and no StatefulSet", VariableAndMount, "set-1", |_| {}),
        row(
            "an owner that does not control it",
            Nothing,
            "set-0",
            owned("StatefulSet", "set", json!({}), false),
        ),
        row("a pod of a Deployment", VariableAndMount, "", unnamed("web-954fb5869", hash())),
        row("a pod of a ReplicaSet", VariableAndMount, "", unnamed("web", json!({}))),
        row("a ReplicaSet by another name", Nothing, "", unnamed("web-954fb5860", hash())),
        row("a sidecar", VariableAndMount, "side", |pod| {
            pod["spec"]["initContainers"] =
                json!([{"name": "car", "image": "car", "restartPolicy": "Always"}]);
        }),
        row("an init container that ends", Nothing, "side", |pod| {
            pod["spec"]["initContainers"] = json!([{"name": "car", "image": "car"}]);
        }),
        row("no such container", Nothing, "plain", |pod| {
            pod["spec"]["containers"][1]["name"] = json!("other")
        }),
    ]
}

fn whether_it_is_ours() -> Vec<Row> {
    let annotated = |key: &str, value: &str| {
        let annotations = json!({key: value});
        move |pod: &mut Value| pod["metadata"]["annotations"] = annotations
    };
    let set =
        |variable: Value| move |pod: &mut Value| pod["spec"]["containers"][1]["env"] = json!([variable]);
    let by_field =
        json!({"name": "TRUSTED_PEERS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
    vec![
        row("opted out", Nothing, "plain", annotated("torch.celestia.org/inject", "false")),
        row("not opted out", VariableAndMount, "plain", annotated("torch.celestia.org/inject", "true")),
        row("a mirror pod", Nothing, "plain", |pod| {
            annotated("kubernetes.io/config.mirror", "x")(pod);
            pod["spec"]["nodeName"] = json!("node1");
        }),
        row("one of Torch's own", Nothing, "plain", |pod| {
            pod["metadata"]["labels"] = json!({"app.kubernetes.io/name": "torch"});
        }),
        row("the author's value", Nothing, "plain", set(json!({"name": "TRUSTED_PEERS", "value": "/mine"}))),
        row("the author's empty value", Nothing, "plain", set(json!({"name": "TRUSTED_PEERS"}))),
        row("the author's value from elsewhere", Nothing, "plain", set(by_field)),
        row("the author's value, and the annotation", Nothing, "plain", |pod| {
            set(json!({"name": "TRUSTED_PEERS", "value": "/mine"}))(pod);
            annotated("torch.celestia.org/injected", "TRUSTED_PEERS")(pod);
        }),
        row("another container's value", VariableAndMount, "plain", |pod| {
            pod["spec"]["containers"][0]["env"] = json!([{"name": "TRUSTED_PEERS", "value": "/mine"}]);
        }),
    ]
}

fn the_value() -> Vec<Row> {
    vec![
        row("nothing known", Nothing, "lonely", |_| {}),
        row("in two groups that share a member", VariableAndMount, "both", |_| {}),
        row("with its own address", VariableAndMount, "selfish", |_| {}),
        row("without its own address", VariableAndMount, "peer-b", |_| {}),
        row("a value that is almost too long", VariableAndMount, "big", |_| {}),
        row("a value that is too long", Nothing, "too-big", |_| {}),
        row("no variable yet", VariableAndMount, "plain", |pod| {
            pod["spec"]["containers"][1].as_object_mut().expect("a container").remove("env");
        }),
        row("an empty list of variables", VariableAndMount, "plain", |pod| {
            pod["spec"]["containers"][1]["env"] = json!([])
        }),
    ]
}

fn volumes(volumes: Value) -> impl FnOnce(&mut Value) {
    move |pod| pod["spec"]["volumes"] = volumes
}

fn which_volume() -> Vec<Row> {
    let two = json!([claim("a", "a"), claim("b", "b")]);
    let data = claim("data", "data-0");
    vec![
        row("no volume", Variable, "plain", volumes(json!(null))),
        row("no claim", Variable, "plain", volumes(json!([scratch("s")]))),
        row("several claims", Variable, "plain", volumes(two.clone())),
        row("a read-only claim", Variable, "plain", volumes(json!([read_only("data", "data-0")]))),
        row("a block device", Variable, "plain", |pod| {
            pod["spec"]["containers"][0]["volumeDevices"] = json!([device("data", "/dev/xvda")]);
        }),
        row("a block device of an init container", Variable, "plain", |pod| {
            pod["spec"]["initContainers"] =
                json!([{"name": "i", "image": "i", "volumeDevices": [device("data", "/dev/xvda")]}]);
        }),
        row("a claim to be added", VariableAndMount, "claimed", |_| {}),
        row("a claim to be added to nothing", VariableAndMount, "claimed", volumes(json!(null))),
        row(
            "the claim is there",
            VariableAndMount,
            "claimed",
            volumes(json!([data, claim("mine", "shared")])),
        ),
        row(
            "the claim is there, read-only",
            Variable,
            "claimed",
            volumes(json!([read_only("mine", "shared")])),
        ),
        row(
            "the claim is there, read-only first",
            Variable,
            "claimed",
            volumes(json!([read_only("mine", "shared"), claim("too", "shared")])),
        ),
        row(
            "the name to be added is taken",
            Variable,
            "claimed",
            volumes(json!([scratch("torch-trusted-peers")])),
        ),
        row(
            "the claim has the name to be added",
            VariableAndMount,
            "claimed",
            volumes(json!([claim("torch-trusted-peers", "shared")])),
        ),
        row(
            "the named volume, which ends with the pod",
            Variable,
            "named",
            volumes(json!([scratch("s"), scratch("scratch")])),
        ),
        row(
            "the named volume, of a claim",
            VariableAndMount,
            "named",
            volumes(json!([claim("scratch", "c")])),
        ),
        row("over what nothing runs without", Variable, "system", |_| ()),
        row("the named volume, read-only", Variable, "named", volumes(json!([read_only("scratch", "c")]))),
        row("no volume of the name", Variable, "named", volumes(two)),
    ]
}

/// A pod with a claim `data` and a scratch volume `s`.
fn mounted(name: &'static str, what: &'static str, expected: Outcome, mounts: Value) -> Row {
    row(what, expected, name, |pod| {
        volumes(json!([claim("data", "data-0"), scratch("s")]))(pod);
        pod["spec"]["containers"][1]["volumeMounts"] = mounts;
    })
}

fn what_is_mounted() -> Vec<Row> {
    vec![
        mounted("plain", "on the claim as it is", Variable, json!([mount("data", "/tmp")])),
        mounted("plain", "on the claim, with a slash", Variable, json!([mount("data", "/tmp//")])),
        mounted("plain", "the root on the claim", Variable, json!([mount("data", "/")])),
        mounted("plain", "the root elsewhere", VariableAndMount, json!([mount("s", "/")])),
        mounted("plain", "occupied", Variable, json!([mount("s", "/tmp/")])),
        mounted(
            "plain",
            "a name that begins like it",
            VariableAndMount,
            json!([mount("data", "/tm"), mount("s", "/tmpx")]),
        ),
        mounted(
            "deep",
            "above it on the claim",
            Variable,
            json!([mount("data", "/var/"), mount("s", "/srv")]),
        ),
        mounted(
            "deep",
            "the claim hidden by another",
            VariableAndMount,
            json!([mount("data", "/var"), mount("s", "/var/lib")]),
        ),
        mounted(
            "deep",
            "another hidden by the claim",
            Variable,
            json!([mount("data", "/var/lib"), mount("s", "/var")]),
        ),
        mounted("deep", "below it", VariableAndMount, json!([mount("data", "/var/lib/peers/x")])),
        mounted(
            "plain",
            "twice, the claim last",
            Variable,
            json!([mount("s", "/tmp"), mount("data", "/tmp/")]),
        ),
        mounted("plain", "not absolute", Variable, json!([mount("s", "tmp")])),
        mounted("plain", "two slashes", Variable, json!([mount("s", "//tmp")])),
        mounted("plain", "a dot", Variable, json!([mount("s", "/tmp/.")])),
        mounted("plain", "two dots", Variable, json!([mount("s", "/x/../tmp/")])),
        mounted("plain", "two dots elsewhere", Variable, json!([mount("s", "/x/..")])),
        mounted("plain", "dots in a name", VariableAndMount, json!([mount("s", "/.x/..y/z.")])),
        mounted("plain", "slashes at its end", VariableAndMount, json!([mount("s", "/x//")])),
        row("a device not absolute", Variable, "claimed", |pod| {
            pod["spec"]["containers"][1]["volumeDevices"] = json!([device("data", "tmp")]);
        }),
        row("a device in its place", Variable, "claimed", |pod| {
            pod["spec"]["containers"][1]["volumeDevices"] = json!([device("data", "/tmp/")]);
        }),
        row("a device elsewhere", VariableAndMount, "claimed", |pod| {
            pod["spec"]["containers"][1]["volumeDevices"] = json!([device("data", "/dev/x")]);
        }),
    ]
}

fn secured(of_pod: Value, of_container: Value) -> impl FnOnce(&mut Value) {
    move |pod| {
        pod["spec"]["securityContext"] = of_pod;
        pod["spec"]["containers"][1]["securityContext"] = of_container;
    }
}

fn at_home(home: Value) -> impl FnOnce(&mut Value) {
    move |pod| {
        secured(json!({}), json!({}))(pod);
        pod["spec"]["containers"][1]["env"] = home;
    }
}

fn whether_it_stays_writable() -> Vec<Row> {
    let user = |user: i64| json!({"runAsUser": user});
    let home = |path: &str| json!({"name": "HOME", "value": path});
    let none = || json!({});
    vec![
        row("nobody's", Variable, "plain", secured(none(), none())),
        row("no security context", Variable, "plain", secured(json!(null), json!(null))),
        row("nobody's, but elsewhere", VariableAndMount, "web", secured(none(), none())),
        row("nobody's, but volume asks for it", VariableAndMount, "claimed", secured(none(), none())),
        row("the group 0's", VariableAndMount, "plain", secured(json!({"fsGroup": 0}), none())),
        row("root's", VariableAndMount, "plain", secured(user(0), none())),
        row("root's, but for the container", Variable, "plain", secured(user(0), user(10001))),
        row("the container is root's", VariableAndMount, "plain", secured(user(10001), user(0))),
        row("somebody's", Variable, "plain", secured(user(10001), none())),
        row("a home", Variable, "home", secured(none(), none())),
        row("the home by its variable", Variable, "web", at_home(json!([home("/peers/")]))),
        row("another home", VariableAndMount, "web", at_home(json!([home("/peers/x")]))),
        row("two homes", Variable, "web", at_home(json!([home("/x"), home("/peers")]))),
        row(
            "two homes, of which the last counts",
            VariableAndMount,
            "web",
            at_home(json!([home("/peers"), home("/x")])),
        ),
        row("a home without a value", VariableAndMount, "web", at_home(json!([{"name": "HOME"}]))),
    ]
}

fn annotations() -> Vec<Row> {
    // 256 KiB are allowed in all.
    let full = |text: &'static str, bytes: usize| {
        move |pod: &mut Value| pod["metadata"]["annotations"] = json!({"a": text.repeat(bytes / text.len())})
    };
    let [both, variable] = ["TRUSTED_PEERS, volumeMount", "TRUSTED_PEERS"]
        .map(|done| "torch.celestia.org/injected".len() + done.len());
    let room = 256 * 1024 - 1;
    vec![
        row("an annotation", VariableAndMount, "plain", full("x", 1)),
        row("just room for one more", VariableAndMount, "plain", full("x", room - both)),
        row("no room for one more", VariableAndMount, "plain", full("x", room - both + 1)),
        row("room for a shorter one", Variable, "plain", move |pod| {
            full("x", room - variable)(pod);
            pod["spec"]["volumes"] = json!(null);
        }),
        row("no room, counted in bytes", VariableAndMount, "plain", full("\u{e9}", room - both + 2)),
    ]
}
