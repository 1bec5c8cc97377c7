//! `torch check --cluster`: whether an installation is as it should be, thing by thing.

mod rights;

use anyhow::Context as _;
use clap::builder::styling::{AnsiColor, Style};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::{Deserialize as _, Serialize};
use tokio_rustls::TlsConnector;

use super::live::{Node, Status, Torch};
use super::rough;
use crate::cluster::{Cluster, Endpoint, Endpoints, Registration};
use crate::tls;

/// What to do where something of Torch is missing.
const APPLY: &str = "kubectl apply -k deploy";

/// What to do where something could not be looked at.
const NEEDS: &str = "`torch check --help` says what leave it needs";

/// One thing that was looked at.
#[derive(Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Whether it is as it should be.
    pub ok: bool,
    /// What is so.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { ok: true, what: what.into(), remedy: None }
    }

    fn bad(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { ok: false, what: what.into(), remedy: Some(remedy.into()) }
    }

    /// As people read it.
    pub fn line(&self) -> String {
        let colour = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
        let (mark, style) =
            if self.ok { ('✓', colour(AnsiColor::Green)) } else { ('✗', colour(AnsiColor::Red)) };
        let remedy = self.remedy.as_ref().map(|remedy| format!("\n    {remedy}")).unwrap_or_default();
        format!("{style}{mark}{style:#} {}{remedy}", self.what)
    }
}

/// Looks at everything, in the order in which one thing needs the other. What is wrong hides nothing but what
/// could not be asked without it.
pub async fn look(torch: &Torch) -> Vec<Finding> {
    let cluster = &torch.cluster;
    let version = match cluster.server_version().await {
        Ok(version) => version,
        Err(error) => {
            let remedy =
                "is that the one that is meant? KUBECONFIG, or `kubectl config use-context`, names another";
            return vec![Finding::bad(format!("{}: {error}", cluster.server()), remedy)];
        }
    };
    let mut findings = vec![Finding::good(format!("the API server answers: Kubernetes {version}"))];
    findings.extend(webhook(torch).await);
    findings.extend(nodes(torch).await);
    findings
}

/// From the registration to the pods that answer.
async fn webhook(torch: &Torch) -> Vec<Finding> {
    let cluster = &torch.cluster;
    let registration = match registration(cluster).await {
        Ok(registration) => registration,
        Err(finding) => return vec![finding],
    };
    let mut findings = vec![bundle(&registration)];
    let replicas = match replicas(cluster, &registration).await {
        Ok(replicas) => replicas,
        Err(finding) => {
            findings.push(finding);
            return findings;
        }
    };
    findings.push(readiness(&replicas, cluster.namespace()));
    for replica in &replicas {
        if replica.is_ready {
            findings.push(certificate(cluster, &registration, replica).await);
        }
        findings.extend(remarks(torch, replica).await);
    }
    findings.push(rights::look(cluster, &registration, &replicas[0].pod).await);
    findings
}

async fn registration(cluster: &Cluster) -> Result<Registration, Finding> {
    let namespace = cluster.namespace();
    let remedy =
        format!("kubectl apply -k deploy, or -n: Torch may be in another namespace than {namespace}");
    let found = cluster.registrations().await.map_err(|error| Finding::bad(error.to_string(), NEEDS))?;
    <[Registration; 1]>::try_from(found).map(|[registration]| registration).map_err(|found| {
        let names: Vec<&str> = found.iter().map(Registration::name).collect();
        if names.is_empty() {
            let what = format!(
                "no webhook is registered of a Service in namespace {namespace}; replicas, certificates and rights are \
                 looked at once one is"
            );
            return Finding::bad(what, remedy);
        }
        let what = format!(
            "several webhooks are registered of a Service in namespace {namespace}: {}",
            names.join(", ")
        );
        Finding::bad(what, "kubectl delete mutatingwebhookconfiguration, of all but one")
    })
}

fn bundle(registration: &Registration) -> Finding {
    let name = registration.name();
    let remedy = "Torch sets it within seconds, or cert-manager's cainjector: their logs say why not";
    for bundle in registration.bundles() {
        match bundle.map(tls::cas) {
            Some(cas) if !cas.is_empty() => {}
            Some(_) => return Finding::bad(format!("the caBundle of {name} holds no certificate"), remedy),
            None => return Finding::bad(format!("{name} has no caBundle"), remedy),
        }
    }
    Finding::good(format!("the webhook is registered, with a CA: MutatingWebhookConfiguration {name}"))
}

async fn replicas(cluster: &Cluster, registration: &Registration) -> Result<Vec<Endpoint>, Finding> {
    let (name, namespace) = (registration.name(), cluster.namespace());
    let called = registration.service().zip(registration.endpoint());
    let ((service, _), (_, port)) =
        called.ok_or_else(|| Finding::bad(format!("{name} calls no Service"), APPLY))?;
    let found = cluster.endpoints(service, port).await.map_err(|error| match error.status() {
        Some(404) => Finding::bad(format!("{name} calls Service {service}, which is not there"), APPLY),
        _ => Finding::bad(error.to_string(), NEEDS),
    })?;
    match found {
        Endpoints::Pods(pods) if pods.is_empty() => Err(Finding::bad(
            format!("no pod is behind the Service {service} in namespace {namespace}"),
            format!(
                "kubectl get deployments,pods -n {namespace} -l app.kubernetes.io/name=torch: scaled to 0?"
            ),
        )),
        Endpoints::Pods(pods) => Ok(pods),
        Endpoints::OtherPorts(ports) => Err(Finding::bad(
            format!("{name} calls port {port} of Service {service}, which has {}", ports.join(", ")),
            format!("kubectl edit mutatingwebhookconfiguration {name}: clientConfig.service.port"),
        )),
    }
}

/// What a replica itself has to say, such as that it refuses a changed configuration.
async fn remarks(torch: &Torch, Endpoint { pod, is_ready, .. }: &Endpoint) -> Vec<Finding> {
    let namespace = torch.cluster.namespace();
    match torch.remarks(pod).await {
        Ok(remarks) => {
            let log = format!("kubectl logs -n {namespace} {pod}");
            remarks.into_iter().map(|remark| Finding::bad(format!("{pod}: {remark}"), log.clone())).collect()
        }
        // Of one that does not run that is told by now, with what to do.
        Err(_) if !is_ready => Vec::new(),
        Err(error) => vec![Finding::bad(format!("{error:#}"), NEEDS)],
    }
}

fn readiness(replicas: &[Endpoint], namespace: &str) -> Finding {
    let unready: Vec<&str> =
        replicas.iter().filter(|replica| !replica.is_ready).map(|replica| replica.pod.as_str()).collect();
    let all = replicas.len();
    match &unready[..] {
        [] => Finding::good(format!("{all} of {all} replicas are ready")),
        some => Finding::bad(
            format!("{} of {all} replicas are ready; not so {}", all - some.len(), some.join(", ")),
            format!("kubectl logs -n {namespace} {}", some[0]),
        ),
    }
}

/// What the API server would see when it calls the webhook.
async fn certificate(cluster: &Cluster, registration: &Registration, replica: &Endpoint) -> Finding {
    let pod = &replica.pod;
    match shown(cluster, registration, replica).await {
        Ok(Some(validity)) => {
            let left = rough(validity.until.duration_since(Timestamp::now()));
            Finding::good(format!("the certificate of {pod} is of the caBundle's CA, for {left} more"))
        }
        Ok(None) => Finding::bad(format!("{pod} shows no certificate"), "see its log"),
        Err(error) => Finding::bad(
            format!("API servers would not trust {pod}: {error:#}"),
            format!("kubectl logs -n {} {pod}", cluster.namespace()),
        ),
    }
}

async fn shown(
    cluster: &Cluster,
    registration: &Registration,
    replica: &Endpoint,
) -> anyhow::Result<Option<tls::Validity>> {
    let bundle = registration.bundles().flatten().next().context("there is no caBundle")?;
    let (host, _) = registration.endpoint().context("the webhook has no address")?;
    let stream = cluster.connect_to(&replica.pod, replica.port).await?;
    let connector = TlsConnector::from(tls::client_config(bundle)?);
    let stream = connector.connect(ServerName::try_from(host)?, stream).await?;
    let chain: &[CertificateDer<'_>] = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.first().and_then(tls::validity))
}

async fn nodes(torch: &Torch) -> Vec<Finding> {
    let namespace = torch.cluster.namespace();
    let asked = async { Status::deserialize(torch.status().await?).context("cannot read Torch's answer") };
    let status = match asked.await {
        Ok(status) => status,
        Err(error) => {
            let remedy = format!("kubectl get lease torch -n {namespace} shows who leads, and since when");
            return vec![Finding::bad(format!("{error:#}"), remedy)];
        }
    };
    let leads = match status.leader.as_deref() {
        Some(leader) => Finding::good(format!("{leader} leads")),
        None => Finding::bad("nobody leads", format!("kubectl describe pods -n {namespace} shows why")),
    };
    std::iter::once(leads).chain(status.nodes.iter().map(|found| node(found, namespace))).collect()
}

fn node(node: &Node, namespace: &str) -> Finding {
    let what = format!("{} of {}", node.pod, node.groups.join(", "));
    let faults: Vec<&str> = [
        node.waits_for.as_ref().map(|wait| wait.message.as_str()),
        node.reach.as_ref().and_then(|reach| reach.message.as_deref()),
        node.file.as_ref().and_then(|file| file.message.as_deref()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if faults.is_empty() {
        return Finding::good(format!("{what} is complete"));
    }
    let remedy = format!("torch explain {} -n {namespace}", node.pod);
    Finding::bad(format!("{what}: {}", faults.join("; ")), remedy)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_replica_that_is_not_ready_is_named() {
        let replica = |n: u8, is_ready| Endpoint { pod: format!("torch-{n}"), port: 8443, is_ready };
        assert_eq!(readiness(&[replica(0, true)], "da"), Finding::good("1 of 1 replicas are ready"));
        let found = readiness(&[replica(0, true), replica(1, false)], "da");
        assert_eq!(found.what, "1 of 2 replicas are ready; not so torch-1");
        assert_eq!(found.remedy.as_deref(), Some("kubectl logs -n da torch-1"));
    }

    #[test]
    fn a_node_is_complete_or_says_what_it_lacks() {
        let with = |more: Value| {
            let mut all =
                json!({"pod": "a-0", "node": "a", "groups": ["pair"], "phase": "Running", "restarts": 0});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            node(&serde_json::from_value(all).unwrap(), "da")
        };
        assert_eq!(with(json!({"reach": {"state": "reachable"}})), Finding::good("a-0 of pair is complete"));
        let found = with(json!({"waitsFor": {"reason": "pod", "message": "there is no such pod"},
            "reach": {"state": "unresolved", "message": "no such host"}}));
        assert_eq!(found.what, "a-0 of pair: there is no such pod; no such host");
        assert_eq!(found.remedy.as_deref(), Some("torch explain a-0 -n da"));
    }

    #[test]
    fn a_finding_is_one_line_and_how_to_mend_it() {
        let plain = |finding: Finding| anstream::adapter::strip_str(&finding.line()).to_string();
        assert_eq!(plain(Finding::good("it is")), "✓ it is");
        assert_eq!(plain(Finding::bad("it is not", "do this")), "✗ it is not\n    do this");
    }
}
