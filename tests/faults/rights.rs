//! What Torch may do, as `deploy` says, and taking it away.

use std::fmt;

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::kubectl;

/// A verb that a Role or ClusterRole of Torch's allows.
#[derive(Clone, PartialEq)]
pub struct Right {
    kind: String,
    /// The Role's, as `deploy` has it.
    role: String,
    group: String,
    pub resource: String,
    pub verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)
    }
}

/// All of them, whatever objects they are for.
pub fn all() -> Vec<Right> {
    let text = kubectl::run(&["create", "--dry-run=client", "-o", "json", "-k", "deploy"]);
    let objects = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let objects = objects.map(|object| object.expect("kubectl prints JSON"));
    let mut rights: Vec<Right> = Vec::new();
    for right in objects.flat_map(|object| of(&object)) {
        if !rights.contains(&right) {
            rights.push(right);
        }
    }
    rights
}

fn of(role: &Value) -> Vec<Right> {
    let mut rights = Vec::new();
    for rule in list(&role["rules"]) {
        for (group, resource) in
            list(&rule["apiGroups"]).iter().flat_map(|g| list(&rule["resources"]).iter().map(move |r| (g, r)))
        {
            rights.extend(list(&rule["verbs"]).iter().map(|verb| Right {
                kind: text(&role["kind"]),
                role: text(&role["metadata"]["name"]),
                group: text(group),
                resource: text(resource),
                verb: text(verb),
            }));
        }
    }
    rights
}

impl Right {
    /// Takes it from the Torch of a namespace; gives the rules as they were.
    pub fn take(&self, bed: &Bed) -> Result<Value, String> {
        let rules = kubectl::get(bed.name(), &self.role(bed))?["rules"].take();
        let without: Vec<Value> = list(&rules).iter().flat_map(|rule| self.without(rule)).collect();
        self.set(bed, &json!(without))?;
        Ok(rules)
    }

    /// Makes these the rules.
    pub fn set(&self, bed: &Bed, rules: &Value) -> Result<(), String> {
        let patch = json!([{"op": "replace", "path": "/rules", "value": rules}]).to_string();
        let args = ["patch", "-n", bed.name(), &self.role(bed), "--type=json", "-p", &patch];
        kubectl::attempt(&args, None).map(drop)
    }

    fn role(&self, bed: &Bed) -> String {
        match self.kind.as_str() {
            "Role" => format!("role/{}", self.role),
            kind => format!("{}/{}", kind.to_lowercase(), bed.namespace.outside()),
        }
    }

    /// A rule in two: one for this resource, without the verb, and one for all others.
    fn without(&self, rule: &Value) -> Vec<Value> {
        if !list(&rule["apiGroups"]).iter().any(|group| *group == self.group) {
            return vec![rule.clone()];
        }
        let (mine, others): (Vec<_>, Vec<_>) =
            list(&rule["resources"]).iter().cloned().partition(|resource| *resource == self.resource);
        let verbs: Vec<_> = list(&rule["verbs"]).iter().filter(|verb| **verb != self.verb).collect();
        let with = |resources: Vec<Value>, verbs: Value| {
            let mut rule = rule.clone();
            rule["resources"] = json!(resources);
            rule["verbs"] = verbs;
            rule
        };
        let mine = (!mine.is_empty() && !verbs.is_empty()).then(|| with(mine, json!(verbs)));
        let others = (!others.is_empty()).then(|| with(others, rule["verbs"].clone()));
        mine.into_iter().chain(others).collect()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
