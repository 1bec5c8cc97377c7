//! What `deploy/` grants to the ServiceAccount `torch`.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::kubectl;

/// Leave to do one thing with one kind of object, of one name where the rule has names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub group: String,
    /// With its subresource, if it has one: `pods/exec`.
    pub resource: String,
    pub verb: String,
    /// Numbered ones are one: how many of them there are depends on the number of nodes alone.
    pub name: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, resource, verb, name } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "{verb} {resource}{dot}{group}")?;
        name.as_ref().map_or(Ok(()), |name| write!(f, " {name}"))
    }
}

/// What is granted, and by which bindings.
pub struct Granted {
    pub rights: BTreeSet<Right>,
    /// As `deploy/` calls them, for a Torch in the namespace `torch`.
    pub bindings: Vec<String>,
}

/// All of it.
pub fn all() -> Granted {
    let printed = kubectl::run(&["create", "--dry-run=client", "-o", "json", "-k", "deploy"]);
    let objects = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
    let objects: Vec<Value> = objects.map(|object| object.expect("kubectl prints JSON")).collect();
    let bindings: Vec<&Value> = objects.iter().filter(|object| is_for_torch(object)).collect();
    let roles = bindings.iter().map(|binding| role(binding, &objects));
    let rights: BTreeSet<Right> = roles.flat_map(|role| list(&role["rules"])).flat_map(of_rule).collect();
    assert!(!rights.is_empty(), "deploy/ grants nothing");
    let bindings = bindings.iter().map(|binding| text(&binding["metadata"]["name"])).collect();
    Granted { rights, bindings }
}

fn is_for_torch(object: &Value) -> bool {
    let is_torch = |subject: &Value| subject["kind"] == "ServiceAccount" && subject["name"] == "torch";
    list(&object["subjects"]).iter().any(is_torch)
}

fn role<'a>(binding: &Value, objects: &'a [Value]) -> &'a Value {
    let of = &binding["roleRef"];
    let found = objects.iter().find(|o| o["kind"] == of["kind"] && o["metadata"]["name"] == of["name"]);
    found.unwrap_or_else(|| panic!("deploy/ has no {of}"))
}

fn of_rule(rule: &Value) -> Vec<Right> {
    let mut rights = Vec::new();
    let names: Vec<Option<String>> = match list(&rule["resourceNames"]) {
        [] => vec![None],
        names => names.iter().map(|name| Some(without_number(&text(name)))).collect(),
    };
    for group in list(&rule["apiGroups"]) {
        for resource in list(&rule["resources"]) {
            for verb in list(&rule["verbs"]) {
                rights.extend(names.iter().map(|name| Right {
                    group: text(group),
                    resource: text(resource),
                    verb: text(verb),
                    name: name.clone(),
                }));
            }
        }
    }
    rights
}

/// `torch-book-<n>` of `torch-book-7`.
pub fn without_number(name: &str) -> String {
    match name.rsplit_once('-') {
        Some((stem, number)) if number.parse::<u32>().is_ok() => format!("{stem}-<n>"),
        _ => name.to_owned(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a rule is made of texts").to_owned()
}
