//! The pods of the nodes, on the real API server, as kubelets would report them.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::nodes::Nodes;

/// How many nodes are in a group, beside the hub.
const GROUP: usize = 5;

/// How many calls are made at once.
const AT_ONCE: usize = 32;

/// Pods in a namespace of their own.
pub struct Fleet {
    /// The namespace.
    pub namespace: String,
    client: Client,
    nodes: Nodes,
    size: usize,
    /// Whether the first node is in every group.
    hub: bool,
}

impl Fleet {
    /// Makes the namespace. With a `hub`, the first node is in every group.
    pub async fn make(client: Client, nodes: Nodes, hub: bool) -> anyhow::Result<Self> {
        let namespace = format!("torch-scale-{}", std::process::id());
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(&PostParams::default(), &object).await.context("cannot create the namespace")?;
        let fleet = Self { namespace, client, nodes, size: 0, hub };
        fleet.wait_for_account().await?;
        // As the manifests do: where there is none, Torch waits for it first.
        let lease: Lease = serde_json::from_value(json!({"metadata": {"name": "torch"}}))?;
        Api::namespaced(fleet.client.clone(), &fleet.namespace)
            .create(&PostParams::default(), &lease)
            .await?;
        Ok(fleet)
    }

    /// Pods need it, and a controller makes it a moment after the namespace.
    async fn wait_for_account(&self) -> anyhow::Result<()> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        while api.get_opt("default").await?.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Adds pods until there are so many.
    pub async fn grow(&mut self, size: usize) -> anyhow::Result<()> {
        let pods: Vec<_> = (self.size..size).map(|node| self.start(node, size)).collect();
        stream::iter(pods).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        self.size = size;
        Ok(())
    }

    /// The configuration that names them all.
    pub fn config(&self) -> String {
        let mut text = format!("port: {}\nmutualPeers:\n", self.nodes.port);
        for first in (0..self.size).step_by(GROUP) {
            text.push_str("  - peers:\n");
            for node in self.members(first, self.size) {
                writeln!(text, "      - {{nodeName: {}, host: {}}}", name(node), Nodes::ip(node))
                    .expect("a String takes everything");
            }
        }
        text
    }

    /// The container of a node starts anew, with another key.
    pub async fn change(&self, node: usize) -> anyhow::Result<()> {
        let restarts = self.nodes.change_key(node);
        self.report(node, restarts).await
    }

    /// What Torch has written down, by the nodes' names.
    pub async fn book(&self) -> anyhow::Result<HashMap<String, String>> {
        let books = self.written(&["torch-book"]).await?;
        let entries = books.into_iter().flat_map(|map| map.data.unwrap_or_default());
        Ok(entries.filter_map(|(key, text)| Some((key.strip_prefix("node_")?.to_owned(), text))).collect())
    }

    /// Takes away all that Torch has written down, so that it has to learn everything.
    pub async fn forget(&self) -> anyhow::Result<()> {
        for map in self.written(&["torch-book", "torch-injection"]).await? {
            self.maps()
                .delete(&map.name_any(), &DeleteParams::default())
                .await
                .context("cannot delete a ConfigMap")?;
        }
        Ok(())
    }

    /// The ConfigMaps whose names begin with one of these.
    async fn written(&self, prefixes: &[&str]) -> anyhow::Result<Vec<ConfigMap>> {
        let mut maps =
            self.maps().list(&ListParams::default()).await.context("cannot list ConfigMaps")?.items;
        maps.retain(|map| prefixes.iter().any(|prefix| map.name_any().starts_with(prefix)));
        Ok(maps)
    }

    /// Takes everything away, and waits for none of it.
    pub async fn remove(&self) {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let api: Api<Namespace> = Api::all(self.client.clone());
        if let Err(error) = api.delete(&self.namespace, &now).await {
            eprintln!("cannot delete the namespace {}: {error}", self.namespace);
        }
    }

    async fn start(&self, node: usize, size: usize) -> anyhow::Result<()> {
        let pod = serde_json::from_value(self.pod(node, size))?;
        self.pods().create(&PostParams::default(), &pod).await.context("cannot create a pod")?;
        self.report(node, 0).await
    }

    async fn report(&self, node: usize, restarts: u8) -> anyhow::Result<()> {
        let patch = Patch::Merge(status(node, restarts));
        let done = self.pods().patch_status(&name(node), &PatchParams::default(), &patch).await;
        done.map(drop).context("cannot write a pod's status")
    }

    /// The members of a group that begins with the node `first`, of so many nodes.
    fn members(&self, first: usize, size: usize) -> impl Iterator<Item = usize> {
        let hub = (self.hub && first > 0).then_some(0);
        hub.into_iter().chain(first..size.min(first + GROUP))
    }

    /// With the variable, as the webhook gives it, so that no restart is due; the hub with its first group only. No
    /// scheduler takes it.
    fn pod(&self, node: usize, size: usize) -> Value {
        let others = self.members(node - node % GROUP, size).filter(|&other| other != node);
        let value = others.map(|other| self.nodes.address(other)).collect::<Vec<_>>().join(",");
        json!({
            "metadata": {
                "name": name(node),
                "annotations": {"torch.celestia.org/injected": "TRUSTED_PEERS in da"},
            },
            "spec": {
                "schedulerName": "nobody",
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "da",
                    "image": "localhost/peer:test",
                    "env": [{"name": "TRUSTED_PEERS", "value": value}],
                }],
            },
        })
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// A node's name, and its pod's.
pub fn name(node: usize) -> String {
    format!("da-full-{node:05}")
}

fn status(node: usize, restarts: u8) -> Value {
    let (ip, now) = (Nodes::ip(node), jiff::Timestamp::now());
    json!({"status": {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": format!("{now:.0}"),
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{
            "name": "da",
            "image": "localhost/peer:test",
            "imageID": "sha256:0",
            "containerID": format!("containerd://{node:032x}{restarts:032x}"),
            "ready": true,
            "started": true,
            "restartCount": restarts,
            "state": {"running": {"startedAt": format!("{now:.0}")}},
        }],
    }})
}
