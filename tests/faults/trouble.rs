//! What goes wrong in the soak: each makes one fault and mends it.

use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::component::Stopped;
use crate::kubectl;
use crate::pods::Pod;
use crate::rights;
use crate::signals;
use crate::wait::{SOON, eventually};

/// A fault.
pub struct Trouble {
    pub name: &'static str,
    pub make: fn(&Bed, &mut Rng),
}

/// All there are.
pub const ALL: &[Trouble] = &[
    Trouble { name: "node deleted", make: node_deleted },
    Trouble { name: "node's container ended", make: container_ended },
    Trouble { name: "replica killed", make: |bed, rng| kill(bed, rng, 1) },
    Trouble { name: "both replicas killed", make: |bed, rng| kill(bed, rng, 2) },
    Trouble { name: "replica stopped past the Lease", make: stopped },
    Trouble { name: "API server away", make: |_, rng| away("apiserver", rng, 3..12) },
    Trouble { name: "kubelet away", make: |_, rng| away("kubelet", rng, 5..20) },
    Trouble { name: "DNS away", make: |_, rng| away("coredns", rng, 3..12) },
    Trouble { name: "proxy away", make: |_, rng| away("proxy", rng, 3..8) },
    Trouble { name: "webhook without endpoints", make: without_endpoints },
    Trouble { name: "verb missing", make: verb_missing },
    Trouble { name: "book deleted", make: |bed, _| persist(bed, &["delete", "configmap", "torch-book"]) },
];

/// Whether somebody has evicted the pod; in the tests nobody does but Torch.
pub fn is_evicted(pod: &Pod) -> bool {
    let conditions = pod.object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|all| {
        all.iter().any(|c| c["type"] == "DisruptionTarget" && c["reason"] == "EvictionByEvictionAPI")
    })
}

/// Of those that have their variable: who deletes an early one does Torch's work.
fn node_deleted(bed: &Bed, rng: &mut Rng) {
    if let Some(pod) = a_node(bed, rng) {
        persist(bed, &["delete", "pod", pod.name(), "--wait=false"]);
    }
}

fn container_ended(bed: &Bed, rng: &mut Rng) {
    if let Some(pod) = a_node(bed, rng) {
        let _ = kubectl::attempt(&["exec", "-n", bed.name(), pod.name(), "--", "kill", "1"], None);
    }
}

fn a_node(bed: &Bed, rng: &mut Rng) -> Option<Pod> {
    let history = bed.pods.now();
    let nodes = history.all().filter(|pod| pod.stays() && pod.variable("TRUSTED_PEERS").is_some());
    rng.choose_multiple(nodes, 1).pop().cloned()
}

/// Kills some replicas. Their pods go, too: else the kubelet would wait longer before each new start.
fn kill(bed: &Bed, rng: &mut Rng, how_many: usize) {
    let history = bed.pods.now();
    let replicas = history.all_of_torch().filter(|pod| pod.stays() && pod.is_ready());
    for pod in rng.choose_multiple(replicas, how_many) {
        signals::try_send(bed, pod, "KILL");
        persist(bed, &["delete", "pod", pod.name(), "--wait=false", "--ignore-not-found"]);
    }
}

/// Longer than a Lease lasts, and less than the kubelet bears.
fn stopped(bed: &Bed, rng: &mut Rng) {
    let history = bed.pods.now();
    let replicas = history.all_of_torch().filter(|pod| pod.stays() && pod.is_ready());
    if let Some(pod) = rng.choose_multiple(replicas, 1).pop() {
        signals::try_send(bed, pod, "STOP");
        sleep(Duration::from_secs(19));
        signals::try_send(bed, pod, "CONT");
    }
}

fn away(component: &'static str, rng: &mut Rng, seconds: std::ops::Range<u64>) {
    let _stopped = Stopped::new(component);
    sleep(Duration::from_secs(rng.u64(seconds)));
}

fn without_endpoints(bed: &Bed, rng: &mut Rng) {
    let select = |name: &str| {
        let patch = json!({"spec": {"selector": {"app.kubernetes.io/name": name}}}).to_string();
        persist(bed, &["patch", "service", "torch", "-p", &patch]);
    };
    select("nobody");
    sleep(Duration::from_secs(rng.u64(3..10)));
    select("torch");
}

fn verb_missing(bed: &Bed, rng: &mut Rng) {
    let rights = rights::all();
    let right = rng.choice(&rights).expect("there are some");
    let rules = eventually("the verb is taken away", SOON, || right.take(bed));
    sleep(Duration::from_secs(rng.u64(3..10)));
    eventually("the verb is given back", SOON, || right.set(bed, &rules));
}

/// Does what may fail for a while after another fault.
fn persist(bed: &Bed, args: &[&str]) {
    let args = [&["-n", bed.name()], args].concat();
    eventually(&format!("kubectl {}", args.join(" ")), SOON, || kubectl::attempt(&args, None));
}
