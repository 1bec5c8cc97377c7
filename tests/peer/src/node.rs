//! A node's life: the p2p port first, then its peers, RPC last.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use libp2p::PeerId;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::host::{Host, View};
use crate::rpc::{self, Api};
use crate::store::{NodeType, Store};
use crate::trusted::{self, TrustedPeers};

/// When a real node whose peers all refuse gives up, counted from its start.
const REFUSED_AFTER: Duration = Duration::from_millis(250);
/// When a real node whose peers do not answer gives up.
const SILENT_AFTER: Duration = Duration::from_secs(20);
/// In this time the host reports all addresses that it listens on.
const ADDRESSES_KNOWN_AFTER: Duration = Duration::from_millis(100);

/// What a real node says when it finds nobody to get its first header from.
const NO_HEADER: &str = "error getting latest head during Start: network head: subjective head: \
                         exchange head: header: not found";

/// How a node is to run.
pub struct Options {
    /// Which kind it is.
    pub node_type: NodeType,
    /// Where its keys are.
    pub store: Store,
    /// Values of `--headers.trusted-peers`.
    pub trusted_peers: Vec<String>,
    /// Where the p2p host listens.
    pub p2p: SocketAddr,
    /// Where RPC listens.
    pub rpc: SocketAddr,
    /// Whether RPC takes calls without a token.
    pub skip_auth: bool,
    /// Whether the node cannot start without a trusted peer.
    pub require_peers: bool,
}

/// Runs a node until it is told to stop by a signal.
pub async fn run(options: Options) -> Result<()> {
    // First of all: process 1 of a container ignores signals that it has no handler for.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        result = start(options) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

async fn start(options: Options) -> Result<()> {
    let mut trusted = trusted::parse(&options.trusted_peers)?;
    let key = options.store.identity()?;
    let id = key.public().to_peer_id();
    let needs_peer = drop_self(&mut trusted, id) || options.require_peers;
    eprintln!("starting {} node {id}", options.node_type.name());

    let peers = trusted.keys().copied().collect();
    let host = Host::listen(key, options.p2p, trusted).context("node: failed to start")?;
    let view = host.view();
    let serve = async {
        if needs_peer {
            find_peer(peers, view.clone()).await?;
        }
        serve(&options, id, view).await
    };
    tokio::select! {
        result = host.run() => result.map(|never| match never {}),
        result = serve => result.context("node: failed to start"),
    }
}

/// Takes the node's own address from its peers; true if it was the only one.
fn drop_self(trusted: &mut TrustedPeers, id: PeerId) -> bool {
    let found = trusted.remove(&id).is_some();
    if found {
        eprintln!("skipping trusted peer {id}: dial to self attempted");
    }
    found && trusted.is_empty()
}

/// Waits for one of these peers to be connected, as long as a real node would.
async fn find_peer(peers: Vec<PeerId>, view: watch::Receiver<View>) -> Result<()> {
    let mut seen = view.clone();
    let connected = seen.wait_for(|view| peers.iter().any(|id| view.connected.contains(id)));
    let mut seen = view;
    let refused = async {
        sleep(REFUSED_AFTER).await;
        seen.wait_for(|view| peers.iter().all(|id| view.refused.contains(id))).await
    };
    tokio::select! {
        biased;
        Ok(_) = connected => Ok(()),
        Ok(_) = refused => bail!(NO_HEADER),
        () = sleep(SILENT_AFTER) => bail!(NO_HEADER),
    }
}

async fn serve(options: &Options, id: PeerId, view: watch::Receiver<View>) -> Result<()> {
    sleep(ADDRESSES_KNOWN_AFTER).await;
    let listener =
        TcpListener::bind(options.rpc).await.with_context(|| format!("open the RPC port {}", options.rpc))?;
    print_addresses(id, &view.borrow());
    let api = Api { id, view, secret: options.store.secret_or_new()?, skip_auth: options.skip_auth };
    rpc::serve(listener, api).await
}

/// Says that the start is done, in the real node's words.
fn print_addresses(id: PeerId, view: &View) {
    println!("The p2p host is listening on:");
    for address in view.announced() {
        println!("*  {address}/p2p/{id}");
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// Runs [`find_peer`] for one peer that the host sees so, and says how long it took.
    async fn find(change: impl FnOnce(&mut View, PeerId)) -> (Result<()>, Duration) {
        let peer = PeerId::random();
        let host = watch::Sender::new(View::default());
        host.send_modify(|view| change(view, peer));
        let started = Instant::now();
        let result = find_peer(vec![peer], host.subscribe()).await;
        (result, started.elapsed())
    }

    fn assert_about(took: Duration, expected: Duration) {
        let late = took.saturating_sub(expected);
        assert!(took >= expected && late < Duration::from_millis(50), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_peers_at_all_end_it_soon() {
        let host = watch::Sender::new(View::default());
        let started = Instant::now();
        let error = find_peer(vec![], host.subscribe()).await.unwrap_err();
        assert_about(started.elapsed(), REFUSED_AFTER);
        assert!(error.to_string().ends_with("header: not found"));
    }

    #[tokio::test(start_paused = true)]
    async fn peers_that_refuse_end_it_soon() {
        let (result, took) = find(|view, peer| {
            view.refused.insert(peer);
        })
        .await;
        result.unwrap_err();
        assert_about(took, REFUSED_AFTER);
    }

    #[tokio::test(start_paused = true)]
    async fn silent_peers_end_it_late() {
        let (result, took) = find(|_, _| {}).await;
        result.unwrap_err();
        assert_about(took, SILENT_AFTER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_does_not_count() {
        let (result, took) = find(|view, _| {
            view.connected.insert(PeerId::random());
        })
        .await;
        result.unwrap_err();
        assert_about(took, SILENT_AFTER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connected_peer_is_enough() {
        let (result, took) = find(|view, peer| {
            view.connected.insert(peer);
        })
        .await;
        result.unwrap();
        assert_about(took, Duration::ZERO);
    }
}
