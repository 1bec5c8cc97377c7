//! The real API server: pods created there, the webhook that it asks, and what it measures itself.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::Args;
use crate::load::{Seen, one_by_one};
use crate::process::wait;
use crate::reviews::Review;
use crate::servers::{NAMESPACE, Server};

/// The webhook in the API server's metrics.
const WEBHOOK: &str = "inject.bench.torch";

/// The configuration with it, the Service and the EndpointSlice.
const NAME: &str = "torch";

/// The API server of the kubeconfig that `KUBECONFIG` names.
pub struct Api<'a> {
    args: &'a Args,
    work: &'a Path,
    url: String,
    credentials: Vec<String>,
}

/// How the API server has called a webhook until now.
pub struct Calls {
    pub count: f64,
    pub seconds: f64,
}

/// A webhook that is registered.
pub struct Webhook<'a>(&'a Api<'a>);

impl<'a> Api<'a> {
    /// Puts what is to be sent, and by whom, into the directory `work`.
    pub fn find(args: &'a Args, work: &'a Path) -> anyhow::Result<Self> {
        let mut api = Self { args, work, url: String::new(), credentials: Vec::new() };
        let config: Value = serde_json::from_str(&api.kubectl("config view --raw --minify -o json", None)?)?;
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        api.url = cluster["server"].as_str().context("the kubeconfig names no server")?.into();
        for (option, data) in [
            ("--cacert", &cluster["certificate-authority-data"]),
            ("--cert", &user["client-certificate-data"]),
            ("--key", &user["client-key-data"]),
        ] {
            let file = work.join(option);
            let data = data.as_str().with_context(|| format!("the kubeconfig has nothing for {option}"))?;
            fs::write(&file, BASE64.decode(data)?)?;
            api.credentials.extend([option.into(), file.display().to_string()]);
        }
        fs::write(work.join("pod"), Review::usual().pod(NAMESPACE)?.to_string())?;
        Ok(api)
    }

    /// Creates a pod so many times. A dry run does all but keep it: what etcd takes would be in all figures.
    pub fn create_pods(&self, times: u32) -> anyhow::Result<Seen> {
        let url = format!("{}/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", self.url);
        one_by_one(&url, &self.work.join("pod"), times, &self.credentials)
    }

    /// Has the API server ask this server about each pod that is created in the namespace.
    pub fn register(&'a self, server: &Server) -> anyhow::Result<Webhook<'a>> {
        let ca = BASE64.encode(fs::read(server.tls.join("ca.crt"))?);
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
            service(server.port), self.endpoints(server.port), configuration(server.port, &ca),
        ]});
        self.kubectl("apply -f -", Some(&objects))?;
        let webhook = Webhook(self);
        wait("the webhook is asked", || self.injects().unwrap_or(false))?;
        Ok(webhook)
    }

    fn endpoints(&self, port: u16) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [self.args.address]}],
            "ports": [{"port": port, "protocol": "TCP"}],
        })
    }

    /// Whether a pod that is created gets its peers.
    fn injects(&self) -> anyhow::Result<bool> {
        let pod: Value = serde_json::from_slice(&fs::read(self.work.join("pod"))?)?;
        Ok(self.kubectl("create --dry-run=server -o json -f -", Some(&pod))?.contains("TRUSTED_PEERS"))
    }

    /// What the API server says of the webhook.
    pub fn calls(&self) -> anyhow::Result<Calls> {
        let metrics = self.kubectl("get --raw /metrics", None)?;
        let sum = |what: &str| {
            let name = format!("apiserver_admission_webhook_admission_duration_seconds_{what}{{");
            let of_webhook = |line: &&str| line.starts_with(&name) && line.contains(WEBHOOK);
            let lines = metrics.lines().filter(of_webhook);
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        Ok(Calls { count: sum("count"), seconds: sum("sum") })
    }

    fn kubectl(&self, arguments: &str, input: Option<&Value>) -> anyhow::Result<String> {
        let mut command = Command::new(&self.args.kubectl);
        command
            .args(arguments.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl has no input")?;
        input.map(|input| stdin.write_all(input.to_string().as_bytes())).transpose()?;
        drop(stdin);
        let done = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        anyhow::ensure!(done.status.success(), "kubectl {arguments}: {said}");
        Ok(String::from_utf8(done.stdout)?)
    }
}

impl Webhook<'_> {
    /// Has the API server forget it.
    pub fn remove(self) -> anyhow::Result<()> {
        let Self(api) = self;
        api.kubectl(&format!("delete mutatingwebhookconfiguration {NAMESPACE}"), None)?;
        wait("the webhook is not asked", || !api.injects().unwrap_or(true))?;
        Ok(())
    }
}

/// A port of its own for each server: the API server keeps the connections that it has to another.
fn service(port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"ports": [{"port": port, "protocol": "TCP"}]},
    })
}

/// With the rules of Torch's own, but no conditions; and a call that fails is seen.
fn configuration(port: u16, ca: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAMESPACE},
        "webhooks": [{
            "name": WEBHOOK,
            "clientConfig": {
                "service": {"name": NAME, "namespace": NAMESPACE, "port": port, "path": "/mutate"},
                "caBundle": ca,
            },
            "rules": [{
                "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
            }],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
            "sideEffects": "None", "failurePolicy": "Fail", "timeoutSeconds": 2,
            "admissionReviewVersions": ["v1"],
        }],
    })
}
