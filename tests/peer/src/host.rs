//! The libp2p host: listens, connects to the trusted peers and stays connected.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures::StreamExt;
use hickory_resolver::system_conf::read_system_conf;
use libp2p::core::ConnectedPoint;
use libp2p::identity::Keypair;
use libp2p::multiaddr::{Multiaddr, Protocol};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, Swarm, SwarmBuilder, identify, noise, ping, tcp, yamux};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::trusted::TrustedPeers;

/// How often trusted peers that are not connected are tried again.
const REDIAL_EVERY: Duration = Duration::from_millis(500);
/// How long one try may take, name resolution included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a connection is checked, and how long the answer may take.
const PING_EVERY: Duration = Duration::from_secs(5);

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// What the rest of the program sees of the host.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Where the host listens.
    pub listeners: Vec<Multiaddr>,
    /// The peers that are connected.
    pub connected: BTreeSet<PeerId>,
    /// The trusted peers whose last try failed by an answer, not by silence: a refused
    /// connection, another peer's id, a name that does not resolve.
    pub refused: BTreeSet<PeerId>,
}

impl View {
    /// The addresses to tell others: as in the real node without loopback, where there are others.
    pub fn announced(&self) -> Vec<&Multiaddr> {
        let (loopback, others): (Vec<_>, Vec<_>) =
            self.listeners.iter().partition(|address| is_loopback(address));
        if others.is_empty() { loopback } else { others }
    }
}

fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// The last try to reach a trusted peer.
struct Attempt {
    started: Instant,
    /// Kept to log a failure once and not at every try.
    error: String,
}

/// A libp2p host that [`Host::run`] keeps going.
pub struct Host {
    swarm: Swarm<Behaviour>,
    trusted: TrustedPeers,
    attempts: HashMap<PeerId, Attempt>,
    view: watch::Sender<View>,
}

impl Host {
    /// A host that listens on this address already.
    pub fn listen(key: Keypair, address: SocketAddr, trusted: TrustedPeers) -> Result<Self> {
        let mut swarm = build_swarm(key)?;
        let listen = Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()));
        swarm.listen_on(listen).with_context(|| format!("open the p2p port {address}"))?;
        Ok(Host { swarm, trusted, attempts: HashMap::new(), view: watch::Sender::default() })
    }

    /// What can be seen of this host, now and later.
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Runs the host until it fails.
    pub async fn run(mut self) -> Result<Infallible> {
        let mut redial = tokio::time::interval(REDIAL_EVERY);
        redial.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = redial.tick() => self.dial_missing(),
                event = self.swarm.select_next_some() => self.handle(event)?,
            }
        }
    }

    fn dial_missing(&mut self) {
        for (peer, addresses) in &self.trusted {
            // A port of its own: from the listener's port, two nodes that dial each other at once
            // would meet in a TCP simultaneous open, where both speak as the dialer.
            let options = DialOpts::peer_id(*peer).addresses(addresses.clone()).allocate_new_port().build();
            // An error says that the peer is connected or being dialled: nothing to do then.
            if self.swarm.dial(options).is_ok() {
                let attempt = self
                    .attempts
                    .entry(*peer)
                    .or_insert_with(|| Attempt { started: Instant::now(), error: String::new() });
                attempt.started = Instant::now();
            }
        }
    }

    fn handle(&mut self, event: SwarmEvent<BehaviourEvent>) -> Result<()> {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                self.view.send_modify(|view| view.listeners.push(address));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.view.send_modify(|view| view.listeners.retain(|known| *known != address));
            }
            SwarmEvent::ListenerClosed { reason, .. } => {
                return Err(anyhow!("the p2p listener closed: {reason:?}"));
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => self.connected(peer_id, &endpoint),
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                eprintln!("disconnected {peer_id}");
                self.view.send_modify(|view| {
                    view.connected.remove(&peer_id);
                });
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                self.failed(peer, &error.to_string())
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) if is_dead(&ping) => {
                self.swarm.close_connection(ping.connection);
            }
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self, peer: PeerId, endpoint: &ConnectedPoint) {
        match endpoint {
            ConnectedPoint::Dialer { address, .. } => eprintln!("connected {peer} {address}"),
            ConnectedPoint::Listener { .. } => eprintln!("connected {peer} listener"),
        }
        self.attempts.remove(&peer);
        self.view.send_modify(|view| {
            view.connected.insert(peer);
            view.refused.remove(&peer);
        });
    }

    fn failed(&mut self, peer: PeerId, error: &str) {
        let Some(attempt) = self.attempts.get_mut(&peer) else {
            return;
        };
        if attempt.error != error {
            eprintln!("cannot reach {peer}: {}", error.replace('\n', " "));
            attempt.error = error.to_owned();
        }
        // A try that took all its time heard nothing.
        let answered = attempt.started.elapsed() < DIAL_TIMEOUT;
        self.view.send_modify(|view| {
            if answered {
                view.refused.insert(peer);
            } else {
                view.refused.remove(&peer);
            }
        });
    }
}

/// Whether a connection's other end is gone, as after a lost machine: nothing closes it then.
fn is_dead(ping: &ping::Event) -> bool {
    matches!(&ping.result, Err(failure) if !matches!(failure, ping::Failure::Unsupported))
}

fn build_swarm(key: Keypair) -> Result<Swarm<Behaviour>> {
    let (resolver, mut options) =
        read_system_conf().context("read the name servers from /etc/resolv.conf")?;
    // A peer that comes back has another IP at once: ask again at every try.
    options.cache_size = 0;
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .context("set up TCP, Noise and Yamux")?
        .with_dns_config(resolver, options)
        .with_behaviour(behaviour)
        .context("set up identify and ping")?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(u64::MAX)))
        .with_connection_timeout(DIAL_TIMEOUT)
        .build();
    Ok(swarm)
}

fn behaviour(key: &Keypair) -> Behaviour {
    let agent = format!("torch-test-peer/{}", env!("CARGO_PKG_VERSION"));
    let identify = identify::Config::new("/ipfs/0.1.0".to_owned(), key.public())
        .with_agent_version(agent)
        .with_cache_size(0);
    let ping = ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_EVERY);
    Behaviour { identify: identify::Behaviour::new(identify), ping: ping::Behaviour::new(ping) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_announced_only_where_it_is_all() {
        let loopback: Multiaddr = "/ip4/127.0.0.1/tcp/2121".parse().unwrap();
        let other: Multiaddr = "/ip4/10.1.2.3/tcp/2121".parse().unwrap();
        let mut view = View { listeners: vec![loopback.clone()], ..View::default() };
        assert_eq!(view.announced(), [&loopback]);
        view.listeners.push(other.clone());
        assert_eq!(view.announced(), [&other]);
    }
}
