//! Torch may not do something that it needs: one verb after another is missing when it starts.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::account::{self, Account, End, NODES};
use crate::bed::Bed;
use crate::events;
use crate::kubectl;
use crate::node::Node;
use crate::of_the_webhook::without_policy;
use crate::rights::{self, Right};
use crate::runner::Fault;
use crate::torch::Torch;
use crate::wait::{SOON, check, eventually};

/// In so many namespaces at once.
const GROUPS: usize = 6;

const FULL: &str = NODES[1];

/// So that the container's log is needed, too.
const BY_LOG: &str = "
mutualPeers:
  - peers:
      - nodeName: da-bridge-1
      - nodeName: da-full-1
        probe: [log]
";

pub fn faults() -> Vec<Fault> {
    let all = rights::all();
    let groups = (0..GROUPS).map(|group| all.iter().skip(group).step_by(GROUPS).cloned().collect::<Vec<_>>());
    let fault = |(i, rights): (usize, Vec<Right>)| {
        Fault::new(format!("verbs-{}", i + 1), move || missing(i + 1, &rights))
    };
    groups.enumerate().map(fault).collect()
}

fn missing(group: usize, rights: &[Right]) {
    let bed = Bed::make(&format!("f-verbs-{group}"));
    let (torch, _) = account::settled(&bed, &Node::pair());
    torch.configure(BY_LOG);
    without_policy(&bed);
    rights.iter().for_each(|right| without(right, &bed, &torch));
}

fn without(right: &Right, bed: &Bed, torch: &Torch) {
    torch.scale(0);
    torch.wait_gone();
    let account = Account::open(bed, torch);
    // Early, so that there is something to do.
    assert_eq!(bed.recreate(FULL).variable("TRUSTED_PEERS"), None);
    have_it_needed(right, bed);
    let rules = right.take(bed).unwrap_or_else(|why| panic!("{why}"));
    torch.scale(2);
    // In the API server's words, or in Torch's own where those say nothing.
    let refusal = match (right.verb.as_str(), right.resource.as_str()) {
        ("create", "pods/exec") => {
            format!("cannot create pods/exec in {FULL}-0: pods \"{FULL}-0\" is forbidden")
        }
        (verb, resource) => format!("cannot {verb} resource \"{resource}\""),
    };
    eventually(&format!("Torch's log says: {refusal}"), SOON, || {
        // Somebody has to ask for it to be asked who that is.
        let _ = torch.curl("/list", "");
        let log = kubectl::attempt(
            &["logs", "-n", bed.name(), "--tail=-1", "-l", "app.kubernetes.io/name=torch"],
            None,
        )?;
        // Where it is a value that has blanks, its quotes are escaped.
        check(log.replace('\\', "").contains(&refusal), || log.clone())
    });
    let told = match right.resource.as_str() {
        "events" => "in the log (Events being what it may not create)".into(),
        _ => format!("in the log and an Event `{}`", events::wait(bed, "", &refusal)),
    };

    right.set(bed, &rules).unwrap_or_else(|why| panic!("{why}"));
    bed.kubectl(&["delete", "poddisruptionbudget", "--all"]);
    let fault = format!("Torch may not {right}");
    let what = format!("“{refusal}…” {told}; no crash");
    let end = End { fault, what, own: [0, 1], within: Duration::from_secs(60), kills: 0 };
    account.close(bed, torch, Instant::now(), end)
}

/// Most rights are needed at every start of Torch; for others there has to be a reason.
fn have_it_needed(right: &Right, bed: &Bed) {
    let empty = |what: &str| {
        bed.kubectl(&["patch", what, "--type=json", "-p", r#"[{"op": "remove", "path": "/data"}]"#]);
    };
    match (right.resource.as_str(), right.verb.as_str()) {
        ("configmaps", "create") => drop(bed.kubectl(&["delete", "configmap", "torch-book", "torch-ca"])),
        ("configmaps", "get" | "patch") => empty("configmap/torch-ca"),
        ("leases", "create") => drop(bed.kubectl(&["delete", "lease", "torch"])),
        ("secrets", "create") => drop(bed.kubectl(&["delete", "secret", "torch-tls"])),
        ("secrets", "update") => empty("secret/torch-tls"),
        ("mutatingwebhookconfigurations", "patch") => {
            let name = format!("mutatingwebhookconfiguration/{}", bed.namespace.outside());
            let patch = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
            bed.kubectl(&["patch", &name, "--type=json", "-p", patch]);
        }
        ("events", _) => bed.apply(&json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": FULL},
            "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": FULL}}},
        })),
        _ => {}
    }
}
