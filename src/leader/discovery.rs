//! Discovery: learning who a node is, and whether it can be reached.

pub mod dial;
mod exec;
mod log;
mod rpc;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::config::{Probe, Settings};
use crate::peers::{Address, PeerId, Pod};
use crate::plan::Reach;
use crate::telemetry::Metrics;

use dial::{DialError, Dialer};

pub use exec::peer_id;
pub use log::listening;
pub use rpc::info;

/// How long one probe may take.
const PROBE: Duration = Duration::from_secs(5);

/// How long a node that runs for moments only is waited for.
const LURK: Duration = Duration::from_secs(12);

/// How often it is tried meanwhile: it may live for a sixth of a second.
const LURK_EVERY: Duration = Duration::from_millis(40);

/// What a probe learned.
#[derive(Clone, Debug, PartialEq)]
pub enum Learned {
    /// Who the node is.
    Peer(PeerId),
    /// Its whole address, from the configuration.
    Address(Address),
}

/// Learns who nodes are.
pub struct Discovery {
    cluster: Cluster,
    dialer: Dialer,
}

impl Discovery {
    /// Probes the pods of this cluster.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, dialer: Dialer::default() }
    }

    /// Tries the probes of the node one after the other until one succeeds. With `lurk` it waits for
    /// the moments in which a node that keeps exiting is there.
    ///
    /// # Errors
    /// What each probe failed of.
    pub async fn learn(
        &self,
        pod: &Pod,
        settings: &Settings,
        lurk: bool,
        metrics: &Metrics,
    ) -> Result<Learned, String> {
        let mut failures = Vec::new();
        for probe in &*settings.probe {
            let (name, within) = (name(probe), if lurk { LURK } else { PROBE } + Duration::from_secs(1));
            let begun = Instant::now();
            let tried = tokio::time::timeout(within, self.probe(probe, pod, settings, lurk)).await;
            let result = tried.unwrap_or_else(|_| Err(format!("no answer within {} s", within.as_secs())));
            metrics.probe(name, result.is_ok(), begun.elapsed());
            match result {
                Ok(learned) => {
                    tracing::debug!(pod = pod.name, probe = name, "learned");
                    return Ok(learned);
                }
                Err(why) => failures.push(format!("{name}: {why}")),
            }
        }
        Err(failures.join("; "))
    }

    async fn probe(
        &self,
        probe: &Probe,
        pod: &Pod,
        settings: &Settings,
        lurk: bool,
    ) -> Result<Learned, String> {
        let container = &settings.container_name;
        let runs = || pod.container(container).is_some_and(|c| c.running.is_some());
        let peer = match probe {
            Probe::Address(address) => return Ok(Learned::Address(address.clone())),
            Probe::Dial => self.dial(pod, settings.port, lurk).await?,
            Probe::Exec(_) if !runs() => return Err("the container does not run".into()),
            Probe::Exec(command) => exec::ask(&self.cluster, &pod.name, container, command).await?,
            Probe::Log => log::read(&self.cluster, &pod.name, container).await?,
            Probe::Rpc { port, token } => rpc::ask(&self.cluster, at(pod, *port)?, token.as_ref()).await?,
        };
        Ok(Learned::Peer(peer))
    }

    async fn dial(&self, pod: &Pod, port: u16, lurk: bool) -> Result<PeerId, String> {
        let at = at(pod, port)?;
        let until = tokio::time::Instant::now() + LURK;
        loop {
            match self.dialer.dial(at, PROBE).await {
                Err(_) if lurk && tokio::time::Instant::now() < until => tokio::time::sleep(LURK_EVERY).await,
                done => return done.map_err(|e| e.to_string()),
            }
        }
    }

    /// Dials an address by its own name, as a peer would.
    pub async fn check(&self, address: &Address) -> Reach {
        let Some((host, port)) = address.host_and_port() else {
            return Reach::Unreachable("it is not dialled by TCP".into());
        };
        let resolved = tokio::time::timeout(PROBE, tokio::net::lookup_host((host.as_str(), port))).await;
        let at = match resolved {
            Ok(Ok(mut found)) => found.next(),
            Ok(Err(error)) => return Reach::Unresolved(format!("{host}: {error}")),
            Err(_) => return Reach::Unresolved(format!("{host}: the DNS server does not answer")),
        };
        let Some(at) = at else {
            return Reach::Unresolved(format!("{host}: it has no IP address"));
        };
        match self.dialer.dial(at, PROBE).await {
            Ok(peer) if peer == address.peer() => Reach::Reachable,
            Ok(peer) => Reach::OtherPeer(format!("{peer} answers at {at}")),
            Err(error @ DialError::Connect { .. }) => Reach::Unreachable(error.to_string()),
            Err(error) => Reach::Unreachable(format!("{at}: {error}")),
        }
    }
}

/// A pod's own IP address; never a part of what its peers are given.
fn at(pod: &Pod, port: u16) -> Result<SocketAddr, String> {
    let ip = pod.ip.ok_or("the pod has no IP address")?;
    Ok(SocketAddr::new(ip, port))
}

fn name(probe: &Probe) -> &'static str {
    match probe {
        Probe::Dial => "dial",
        Probe::Exec(_) => "exec",
        Probe::Log => "log",
        Probe::Rpc { .. } => "rpc",
        Probe::Address(_) => "address",
    }
}
