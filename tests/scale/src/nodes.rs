//! The nodes: one listener, a loopback address and a key for each, and the real responder of Noise.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use libp2p_core::UpgradeInfo as _;
use libp2p_core::upgrade::InboundConnectionUpgrade as _;
use libp2p_identity::Keypair;
use multistream_select::listener_select_proto;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

/// Nodes that answer, by their number.
#[derive(Clone)]
pub struct Nodes {
    /// The port of all.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How often a node has got a new key.
    generations: Mutex<HashMap<usize, u8>>,
    dialled: AtomicU64,
}

impl Nodes {
    /// Listens on every address of this machine, so on all of 127/8.
    pub async fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.context("cannot listen")?;
        let nodes = Self { port: listener.local_addr()?.port(), shared: Arc::default() };
        tokio::spawn(nodes.clone().answer(listener));
        Ok(nodes)
    }

    /// The address that a node answers at.
    pub fn ip(node: usize) -> Ipv4Addr {
        let [high, low] = u16::try_from(node).expect("there are not so many").to_be_bytes();
        Ipv4Addr::new(127, 101, high, low)
    }

    /// What Torch is to find out.
    pub fn address(&self, node: usize) -> String {
        format!("/dns/{}/tcp/{}/p2p/{}", Self::ip(node), self.port, self.key(node).public().to_peer_id())
    }

    /// Gives a node another key; says how often it has got one.
    pub fn change_key(&self, node: usize) -> u8 {
        let mut generations = self.shared.generations.lock().expect("no panic holds it");
        let generation = generations.entry(node).or_default();
        *generation += 1;
        *generation
    }

    /// How many handshakes there were.
    pub fn dialled(&self) -> u64 {
        self.shared.dialled.load(Ordering::Relaxed)
    }

    fn key(&self, node: usize) -> Keypair {
        let generation = self.shared.generations.lock().expect("no panic holds it").get(&node).copied();
        let mut secret = [generation.unwrap_or_default(); 32];
        secret[..8].copy_from_slice(&node.to_be_bytes());
        Keypair::ed25519_from_bytes(secret).expect("any 32 bytes are a key")
    }

    async fn answer(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let nodes = self.clone();
            // Who dials closes at once, and an error of that tells nothing.
            tokio::spawn(async move { nodes.shake_hands(stream).await.ok() });
        }
    }

    async fn shake_hands(&self, stream: TcpStream) -> anyhow::Result<()> {
        let SocketAddr::V4(at) = stream.local_addr()? else {
            anyhow::bail!("no node has an IPv6 address");
        };
        let [_, _, high, low] = at.ip().octets();
        let noise = libp2p_noise::Config::new(&self.key(u16::from_be_bytes([high, low]).into()))?;
        let (protocol, io) = listener_select_proto(stream.compat(), noise.protocol_info()).await?;
        noise.upgrade_inbound(io, protocol).await?;
        self.shared.dialled.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
