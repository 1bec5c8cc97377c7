//! Whether Torch may do what it cannot do its work without.

use super::{Finding, NEEDS};
use crate::cluster::{Cluster, Registration, Right, Setup};

/// What Torch cannot do its work without; `deploy/rbac.yaml` has all.
const RIGHTS: [Right<'static>; 22] = [
    right("list", "", "pods"),
    right("watch", "", "pods"),
    right("list", "", "services"),
    right("watch", "", "services"),
    right("get", "", "pods/exec"),
    right("create", "", "pods/exec"),
    right("get", "", "pods/log"),
    right("create", "", "pods/eviction"),
    of_one("list", "", "configmaps", "torch-book"),
    of_one("watch", "", "configmaps", "torch-book"),
    of_one("patch", "", "configmaps", "torch-book"),
    of_one("list", "", "configmaps", "torch-ca"),
    of_one("watch", "", "configmaps", "torch-ca"),
    of_one("patch", "", "configmaps", "torch-ca"),
    of_one("list", "", "configmaps", "torch-injection"),
    of_one("watch", "", "configmaps", "torch-injection"),
    of_one("patch", "", "configmaps", "torch-injection"),
    of_one("get", "coordination.k8s.io", "leases", "torch"),
    of_one("update", "coordination.k8s.io", "leases", "torch"),
    right("create", "events.k8s.io", "events"),
    of_cluster("create", "authentication.k8s.io", "tokenreviews"),
    of_cluster("create", "authorization.k8s.io", "subjectaccessreviews"),
];

/// What it cannot do without where it keeps its own certificates; `certs/rbac.yaml` has all.
const OWN_CERTIFICATES: [Right<'static>; 4] = [
    of_one("list", "", "secrets", "torch-tls"),
    of_one("watch", "", "secrets", "torch-tls"),
    of_one("update", "", "secrets", "torch-tls"),
    right("create", "", "secrets"),
];

/// A right of the namespace.
const fn right(verb: &'static str, group: &'static str, resource: &'static str) -> Right<'static> {
    Right { verb, group, resource, name: None, is_namespaced: true }
}

const fn of_one(
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    name: &'static str,
) -> Right<'static> {
    Right { name: Some(name), ..right(verb, group, resource) }
}

const fn of_cluster(verb: &'static str, group: &'static str, resource: &'static str) -> Right<'static> {
    Right { is_namespaced: false, ..right(verb, group, resource) }
}

/// Whether the ServiceAccount of this pod of Torch may do all of that.
pub(super) async fn look(cluster: &Cluster, registration: &Registration, pod: &str) -> Finding {
    match lacking(cluster, registration, pod).await {
        Ok(Rights { account, looked_at, lacking }) if lacking.is_empty() => {
            Finding::good(format!("ServiceAccount {account} has the {looked_at} rights that are looked at"))
        }
        Ok(Rights { account, lacking, .. }) => Finding::bad(
            format!("ServiceAccount {account} lacks the right to {}", lacking.join(", ")),
            "kubectl apply -k deploy: deploy/rbac.yaml and certs/rbac.yaml grant it",
        ),
        Err(error) => Finding::bad(format!("{error:#}"), NEEDS),
    }
}

struct Rights {
    account: String,
    looked_at: usize,
    lacking: Vec<String>,
}

async fn lacking(cluster: &Cluster, registration: &Registration, pod: &str) -> anyhow::Result<Rights> {
    let Setup { service_account: account, arguments } = cluster.setup(pod).await?;
    let of_webhook = |verb| Right {
        name: Some(registration.name()),
        ..of_cluster(verb, "admissionregistration.k8s.io", "mutatingwebhookconfigurations")
    };
    let mut needed = RIGHTS.to_vec();
    needed.extend(["list", "watch"].map(of_webhook));
    if !arguments.iter().any(|argument| argument.starts_with("--tls-dir")) {
        needed.extend(OWN_CERTIFICATES);
        needed.push(of_webhook("patch"));
    }
    let mut lacking = Vec::new();
    for &right in &needed {
        if !cluster.has_right(&account, right).await? {
            lacking.push(right.to_string());
        }
    }
    Ok(Rights { account, looked_at: needed.len(), lacking })
}
