//! Restart: the eviction of a node whose restart is noted, once it would not be in vain.

use std::sync::OnceLock;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::certificates::Standing;
use crate::cluster::{Cluster, Evicted};
use crate::election::Leadership;
use crate::tls;

/// How long the webhook must have been in reach: this node's view of the Service may be ahead of the
/// API server's.
const STEADY: Duration = Duration::from_secs(2);

const WITHIN: Duration = Duration::from_secs(3);

/// What came of a restart.
#[derive(Debug)]
pub enum Restarted {
    /// The pod is on its way.
    Done,
    /// It was gone already.
    Gone,
    /// A budget forbids it for now.
    Refused(String),
    /// It would be in vain, or may not be asked for.
    HeldBack(String),
    /// Nobody can tell whether it was, or will be, carried out: there was no answer.
    Unclear(String),
}

impl Restarted {
    /// Its value of the metric label `outcome`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Gone => "gone",
            Self::Refused(_) => "refused",
            Self::HeldBack(_) => "held_back",
            Self::Unclear(_) => "unclear",
        }
    }
}

/// Restarts nodes.
pub struct Restarter {
    cluster: Cluster,
    standing: watch::Receiver<Standing>,
    leadership: watch::Receiver<Leadership>,
    reached: OnceLock<Instant>,
}

impl Restarter {
    /// Restarts pods of this cluster as long as the webhook stands and this replica leads.
    pub fn new(
        cluster: Cluster,
        standing: watch::Receiver<Standing>,
        leadership: watch::Receiver<Leadership>,
    ) -> Self {
        Self { cluster, standing, leadership, reached: OnceLock::new() }
    }

    /// Evicts the pod of that UID, unchanged since that version, if the webhook would be there for the one that follows.
    pub async fn restart(&self, pod: &str, uid: &str, version: &str) -> Restarted {
        if let Err(why) = self.webhook_stands().await {
            return Restarted::HeldBack(why);
        }
        if !self.leadership.borrow().is_ours() {
            // That one may evict the very same pod, since it is noted.
            return Restarted::Unclear("another replica leads by now".into());
        }
        match self.cluster.evict(pod, uid, version).await {
            Ok(Evicted::Done) => Restarted::Done,
            Ok(Evicted::Gone) => Restarted::Gone,
            Ok(Evicted::Refused(why)) => Restarted::Refused(why),
            Err(error) if error.status().is_some() => Restarted::HeldBack(error.to_string()),
            Err(error) => Restarted::Unclear(error.to_string()),
        }
    }

    /// Whether the API server would reach the webhook: it is registered with our CA, and answers at the
    /// very name that is registered, with a certificate of that CA.
    async fn webhook_stands(&self) -> Result<(), String> {
        let (endpoint, ca) = match &*self.standing.borrow() {
            Standing::Registered { endpoint, ca } => (endpoint.clone(), ca.clone()),
            Standing::Not(why) => return Err(why.clone()),
        };
        reach(&endpoint, &ca).await?;
        let since = self.reached.get_or_init(Instant::now);
        let early = STEADY.saturating_sub(since.elapsed());
        if !early.is_zero() {
            tokio::time::sleep(early).await;
            reach(&endpoint, &ca).await?;
        }
        Ok(())
    }
}

async fn reach((host, port): &(String, u16), ca: &str) -> Result<(), String> {
    let reached = tokio::time::timeout(WITHIN, handshake(host, *port, ca)).await;
    reached
        .unwrap_or_else(|_| Err("no answer".into()))
        .map_err(|why| format!("the webhook cannot be reached as it is registered, at {host}:{port}: {why}"))
}

async fn handshake(host: &str, port: u16, ca: &str) -> Result<(), String> {
    let config = tls::client_config(ca).map_err(|e| e.to_string())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let stream = TcpStream::connect((host, port)).await.map_err(|e| e.to_string())?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|e| e.to_string())?;
    Ok(())
}
