//! What goes wrong in the soak: each makes one fault and mends it.

use std::collections::HashSet;
use std::ops::Range;
use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

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
    pub make: fn(&mut Hand),
}

/// Who makes them.
pub struct Hand<'a> {
    pub bed: &'a Bed,
    pub rng: Rng,
    /// The UIDs of the nodes' pods that it has deleted.
    pub deleted: HashSet<String>,
}

/// All there are.
pub const ALL: &[Trouble] = &[
    Trouble { name: "node deleted", make: |hand| hand.delete_node() },
    Trouble { name: "node's container ended", make: |hand| hand.end_container() },
    Trouble { name: "replica killed", make: |hand| hand.kill(1) },
    Trouble { name: "both replicas killed", make: |hand| hand.kill(2) },
    Trouble { name: "replica stopped past the Lease", make: |hand| hand.stop() },
    Trouble { name: "API server away", make: |hand| hand.away("apiserver", 3..12) },
    Trouble { name: "kubelet away", make: |hand| hand.away("kubelet", 5..20) },
    Trouble { name: "DNS away", make: |hand| hand.away("coredns", 3..12) },
    Trouble { name: "proxy away", make: |hand| hand.away("proxy", 3..8) },
    Trouble { name: "webhook without endpoints", make: |hand| hand.take_endpoints() },
    Trouble { name: "verb missing", make: |hand| hand.take_verb() },
    Trouble { name: "book deleted", make: |hand| hand.kubectl(&["delete", "configmap", "torch-book"]) },
];

impl Hand<'_> {
    /// Of those that have their variable: who deletes an early one does Torch's work.
    fn delete_node(&mut self) {
        if let Some(pod) = self.a_node() {
            self.deleted.insert(pod.uid().to_owned());
            self.kubectl(&["delete", "pod", pod.name(), "--wait=false"]);
        }
    }

    fn end_container(&mut self) {
        if let Some(pod) = self.a_node() {
            let _ = kubectl::attempt(&["exec", "-n", self.bed.name(), pod.name(), "--", "kill", "1"], None);
        }
    }

    fn a_node(&mut self) -> Option<Pod> {
        let history = self.bed.pods.now();
        let nodes = history.all().filter(|pod| pod.stays() && pod.variable("TRUSTED_PEERS").is_some());
        self.rng.choose_multiple(nodes, 1).pop().cloned()
    }

    fn replicas(&mut self, how_many: usize) -> Vec<Pod> {
        let history = self.bed.pods.now();
        let replicas = history.all_of_torch().filter(|pod| pod.stays() && pod.is_ready());
        self.rng.choose_multiple(replicas, how_many).into_iter().cloned().collect()
    }

    /// Their pods go, too: else the kubelet would wait longer before each new start.
    fn kill(&mut self, how_many: usize) {
        for pod in self.replicas(how_many) {
            signals::try_send(self.bed, &pod, "KILL");
            self.kubectl(&["delete", "pod", pod.name(), "--wait=false", "--ignore-not-found"]);
        }
    }

    /// Longer than a Lease lasts, and less than the kubelet bears.
    fn stop(&mut self) {
        for pod in self.replicas(1) {
            signals::try_send(self.bed, &pod, "STOP");
            sleep(Duration::from_secs(19));
            signals::try_send(self.bed, &pod, "CONT");
        }
    }

    fn away(&mut self, component: &'static str, seconds: Range<u64>) {
        let _stopped = Stopped::new(component);
        self.pause(seconds);
    }

    fn take_endpoints(&mut self) {
        for (name, seconds) in [("nobody", 3..10), ("torch", 0..1)] {
            let patch = json!({"spec": {"selector": {"app.kubernetes.io/name": name}}}).to_string();
            self.kubectl(&["patch", "service", "torch", "-p", &patch]);
            self.pause(seconds);
        }
    }

    fn take_verb(&mut self) {
        let rights = rights::all();
        let right = self.rng.choice(&rights).expect("there are some");
        let rules = eventually("the verb is taken away", SOON, || right.take(self.bed));
        self.pause(3..10);
        eventually("the verb is given back", SOON, || right.set(self.bed, &rules));
    }

    fn pause(&mut self, seconds: Range<u64>) {
        sleep(Duration::from_secs(self.rng.u64(seconds)));
    }

    /// Does what may fail for a while after another fault.
    fn kubectl(&self, args: &[&str]) {
        let args = [&["-n", self.bed.name()], args].concat();
        eventually(&format!("kubectl {}", args.join(" ")), SOON, || kubectl::attempt(&args, None));
    }
}
