//! What the API server's audit log says that the ServiceAccounts `torch` have done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use serde_json::Value;

use crate::granted::{Right, without_number};
use crate::kubectl;

/// The calls of all Torches since a moment.
#[derive(Default)]
pub struct Log {
    /// How often what was done that a rule of `deploy/` allows.
    done: BTreeMap<Right, u64>,
    /// How often what was refused.
    pub refused: BTreeMap<Right, u64>,
    /// The namespaces of the accounts.
    pub accounts: BTreeSet<String>,
}

impl Log {
    pub fn read(since: &str, bindings: &[String]) -> Self {
        let mut log = Self::default();
        for path in paths() {
            let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            for line in BufReader::new(file).lines() {
                let line = line.expect("the log is text");
                if !line.contains(":torch\"") {
                    continue;
                }
                // The last line may not be whole yet.
                if let Ok(event) = serde_json::from_str::<Value>(&line)
                    && text(&event["requestReceivedTimestamp"]) >= since
                {
                    log.take(&event, bindings);
                }
            }
        }
        log
    }

    /// How often a right was made use of.
    pub fn uses(&self, right: &Right) -> u64 {
        let count = |right: &Right| self.done.get(right).copied().unwrap_or_default();
        // Whoever opens an exec by WebSocket (`get`) is asked for `create`, too, which the log does not show;
        // `make faults` shows that it is needed, by taking it away.
        let also = Right { verb: "get".into(), ..right.clone() };
        let is_asked_for = right.resource == "pods/exec" && right.verb == "create";
        count(right) + if is_asked_for { count(&also) } else { 0 }
    }

    fn take(&mut self, event: &Value, bindings: &[String]) {
        let user = text(&event["user"]["username"]).strip_prefix("system:serviceaccount:");
        let Some(namespace) = user.and_then(|user| user.strip_suffix(":torch")) else { return };
        self.accounts.insert(namespace.to_owned());
        let Some(mut right) = right(event, namespace) else { return };
        let reason = text(&event["annotations"]["authorization.k8s.io/reason"]);
        match text(&event["annotations"]["authorization.k8s.io/decision"]) {
            // What a test grants beside `deploy/`, and what everybody may, is no use of these rights.
            "allow" if !bindings.iter().any(|binding| is_by(binding, reason, namespace)) => {}
            "allow" => {
                *self.done.entry(right.clone()).or_default() += 1;
                right.name = None;
                *self.done.entry(right).or_default() += 1;
            }
            _ => *self.refused.entry(right).or_default() += 1,
        }
    }
}

/// Its newest part, and those before it.
fn paths() -> Vec<PathBuf> {
    let files = fs::read_dir(kubectl::test_bed()).expect("the test bed runs");
    let paths = files.map(|file| file.expect("it can be listed").path());
    let is_log = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with("audit") && name.ends_with(".log")
    };
    let paths: Vec<PathBuf> = paths.filter(is_log).collect();
    assert!(!paths.is_empty(), "the test bed has no audit log: tests/cluster/up makes one that has");
    paths
}

/// What was asked for; nothing where it is no object.
fn right(event: &Value, namespace: &str) -> Option<Right> {
    let object = event.get("objectRef")?;
    let resource = match text(&object["subresource"]) {
        "" => text(&object["resource"]).to_owned(),
        subresource => format!("{}/{subresource}", text(&object["resource"])),
    };
    // As `deploy/` calls what is named after its namespace.
    let outside = format!("torch-{namespace}");
    let name = Some(text(&object["name"])).filter(|name| !name.is_empty());
    let name = name.map(|name| if name == outside { "torch-torch".into() } else { without_number(name) });
    Some(Right {
        group: text(&object["apiGroup"]).to_owned(),
        resource,
        verb: text(&event["verb"]).to_owned(),
        name,
    })
}

/// Whether it is by a binding of `deploy/` that it was allowed: one in the namespace, or one named after it.
fn is_by(binding: &str, reason: &str, namespace: &str) -> bool {
    let by = |name: String| reason.contains(&format!("RoleBinding \"{name}\""));
    by(format!("{binding}/{namespace}")) || (binding == "torch-torch" && by(format!("torch-{namespace}")))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
