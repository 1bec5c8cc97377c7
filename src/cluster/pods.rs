//! Pods: reading them into Torch's words, their logs, their eviction.

use std::collections::HashMap;
use std::time::Duration;

use futures::AsyncReadExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::LogParams;
use serde_json::json;

use super::{Cluster, Error, call, call_within, found, in_words};
use crate::peers::{Container, INJECT, INJECTED, Owner, Pod, TRUSTED_PEERS, is_host};

/// What came of an eviction.
#[derive(Debug, PartialEq, Eq)]
pub enum Evicted {
    /// The pod is on its way.
    Done,
    /// That pod is no longer there, or no longer as it was.
    Gone,
    /// It is refused for now, with what the API server said: a PodDisruptionBudget in most cases.
    Refused(String),
}

/// How long an eviction may take: it ends before another replica can lead (see `election`), and may think
/// better of it.
const EVICT_WITHIN: Duration = Duration::from_secs(4);

impl Cluster {
    /// Evicts the pod, if it is still the one of that UID and has not changed since that version: a
    /// container that has come back meanwhile may have what it lacked.
    ///
    /// # Errors
    /// Where the call fails for another reason than those of [`Evicted`].
    pub async fn evict(&self, pod: &str, uid: &str, version: &str) -> Result<Evicted, Error> {
        let act = || format!("create pods/eviction of {pod}");
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", self.namespace);
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
            "deleteOptions": {"preconditions": {"uid": uid, "resourceVersion": version}},
        });
        let request = http::Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .expect("a path of names makes a request");
        match call_within(EVICT_WITHIN, act, self.client.request::<Status>(request)).await {
            Ok(_) => Ok(Evicted::Done),
            Err(error) => match (error.status(), error) {
                (Some(404 | 409), _) => Ok(Evicted::Gone),
                (Some(429), Error::Api { why, .. }) => Ok(Evicted::Refused(in_words(&why))),
                (_, error) => Err(error),
            },
        }
    }

    /// One pod as it is now, if it is there.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn pod(&self, name: &str) -> Result<Option<Pod>, Error> {
        let pod = found(call(|| format!("get pod {name}"), self.api::<core::Pod>().get(name)).await)?;
        Ok(pod.as_ref().and_then(read))
    }

    /// The first `limit` bytes of the log of a container.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn log(&self, pod: &str, container: &str, limit: i64) -> Result<String, Error> {
        let params =
            LogParams { container: Some(container.into()), limit_bytes: Some(limit), ..LogParams::default() };
        let read = async {
            let stream = self.api::<core::Pod>().log_stream(pod, &params).await?;
            let mut log = Vec::new();
            // Nodes that are not what they seem send more than they were asked for.
            stream.take(limit.unsigned_abs()).read_to_end(&mut log).await.map_err(kube::Error::ReadEvents)?;
            Ok(String::from_utf8_lossy(&log).into_owned())
        };
        call(|| format!("get pods/log of {pod}"), read).await
    }
}

/// Reads what Torch needs of a pod; `None` for one without a name that a host can have. API servers take no
/// other names, and addresses are made of them.
pub fn read(pod: &core::Pod) -> Option<Pod> {
    let meta = &pod.metadata;
    let owner = meta.owner_references.iter().flatten().find(|o| o.controller == Some(true));
    let owner =
        owner.cloned().map(|o| Owner { api_version: o.api_version, kind: o.kind, name: o.name, uid: o.uid });
    let hash = meta.labels.as_ref().and_then(|l| l.get("pod-template-hash")).map(String::as_str);
    let status = pod.status.as_ref();
    let annotation = |key| meta.annotations.as_ref().and_then(|a| a.get(key)).map(String::as_str);
    Some(Pod {
        name: meta.name.clone().filter(|name| is_host(name))?,
        uid: meta.uid.clone().unwrap_or_default(),
        version: meta.resource_version.clone().unwrap_or_default(),
        workload: owner.as_ref().map(|o| o.workload(hash).to_owned()),
        owner,
        phase: status.and_then(|s| s.phase.clone()).unwrap_or_else(|| "Pending".into()),
        ip: status.and_then(|s| s.pod_ip.as_ref()?.parse().ok()),
        subdomain: pod.spec.as_ref().and_then(|s| s.subdomain.clone()).filter(|name| is_host(name)),
        created: meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
        deleting: meta.deletion_timestamp.is_some(),
        ready: status.is_some_and(is_ready),
        opted_out: annotation(INJECT) == Some("false"),
        injected: annotation(INJECTED).is_some(),
        containers: containers(pod),
    })
}

fn is_ready(status: &core::PodStatus) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn containers(pod: &core::Pod) -> Box<[Container]> {
    let statuses: HashMap<&str, &core::ContainerStatus> = pod
        .status
        .iter()
        .flat_map(|s| s.container_statuses.iter().chain(&s.init_container_statuses).flatten())
        .map(|s| (s.name.as_str(), s))
        .collect();
    let spec = pod.spec.iter().flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()));
    spec.map(|c| container(c, statuses.get(c.name.as_str()).copied())).collect()
}

fn container(spec: &core::Container, status: Option<&core::ContainerStatus>) -> Container {
    let variable = spec.env.iter().flatten().find(|v| v.name == TRUSTED_PEERS);
    let running = status.and_then(|s| s.state.as_ref()?.running.as_ref());
    Container {
        name: spec.name.clone(),
        variable: variable.map(|v| v.value.clone().unwrap_or_default()),
        id: status.and_then(|s| s.container_id.clone()),
        running: running.map(|r| r.started_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0)),
        restarts: status.map_or(0, |s| s.restart_count.try_into().unwrap_or(0)),
        exited_after: status.and_then(exited_after),
    }
}

fn exited_after(status: &core::ContainerStatus) -> Option<SignedDuration> {
    let states = [&status.state, &status.last_state].into_iter().flatten();
    let ended = states.filter_map(|s| s.terminated.as_ref()).next()?;
    Some(ended.finished_at.as_ref()?.0.duration_since(ended.started_at.as_ref()?.0))
}
