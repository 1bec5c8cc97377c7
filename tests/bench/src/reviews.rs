//! What is sent: reviews of a pod of a StatefulSet, of several sizes.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

/// The pod's workload: the first of the configuration's.
pub const NODE: &str = "celestia-bridge-00000";

/// A workload that the configuration does not name.
const STRANGER: &str = "celestia-others-00000";

const SMALL: &str = include_str!("../reviews/small.json");
const STATEFUL_SET: &str = include_str!("../reviews/stateful-set.json");

/// How long a variable is that makes a pod larger.
const VARIABLE: usize = 228;

/// A review.
pub struct Review {
    /// What it is called in tables and files.
    pub name: &'static str,
    /// How many variables are added to its pod.
    more: usize,
    text: &'static str,
    node: &'static str,
}

/// All of them.
pub const ALL: [Review; 5] = [
    Review { name: "small", more: 0, text: SMALL, node: NODE },
    Review { name: "7kB", more: 0, text: STATEFUL_SET, node: NODE },
    Review { name: "7kB-not-configured", more: 0, text: STATEFUL_SET, node: STRANGER },
    Review { name: "114kB", more: 470, text: STATEFUL_SET, node: NODE },
    Review { name: "1MB", more: 4350, text: STATEFUL_SET, node: NODE },
];

impl Review {
    /// The one that stands for all where only one is measured.
    pub fn usual() -> &'static Self {
        &ALL[1]
    }

    /// Its pod, as somebody creates it.
    pub fn pod(&self, namespace: &str) -> anyhow::Result<Value> {
        let mut review: Value = serde_json::from_str(&self.text(namespace))?;
        let mut pod = review["request"]["object"].take();
        for (parent, key) in [("/metadata", "managedFields"), ("", "status")] {
            pod.pointer_mut(parent).and_then(Value::as_object_mut).context("no such part")?.remove(key);
        }
        Ok(pod)
    }

    /// Its text, of a pod in that namespace.
    pub fn text(&self, namespace: &str) -> String {
        let text = self.text.replace("NODE", self.node).replace("NAMESPACE", namespace);
        let at = text.rfind("\"env\":[").expect("there is one") + "\"env\":[".len();
        let mut more = String::new();
        for n in 0..self.more {
            write!(more, "{{\"name\":\"V{n:05}\",\"value\":\"{}\"}},", "v".repeat(VARIABLE - 30))
                .expect("a String takes everything");
        }
        format!("{}{more}{}", &text[..at], &text[at..])
    }
}
