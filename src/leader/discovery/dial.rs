//! The probe `dial`: a node proves its peer id in the Noise handshake.

use std::net::SocketAddr;
use std::time::Duration;

use libp2p_core::UpgradeInfo as _;
use libp2p_core::upgrade::OutboundConnectionUpgrade as _;
use libp2p_identity::{Keypair, PeerId};
use multistream_select::{NegotiationError, Version, dialer_select_proto};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

/// Why a node could not be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nothing listens there.
    #[error("cannot connect to {at}: {why}")]
    Connect {
        /// Where.
        at: SocketAddr,
        /// Why.
        why: std::io::Error,
    },
    /// What listens there does not speak Noise over multistream-select.
    #[error("no libp2p node with Noise answers there: {0}")]
    Negotiate(#[from] NegotiationError),
    /// It did not prove its id.
    #[error("the Noise handshake failed: {0}")]
    Handshake(#[from] libp2p_noise::Error),
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Deadline(Duration),
}

/// Dials nodes under an identity of this process only.
pub struct Dialer {
    noise: libp2p_noise::Config,
}

impl Default for Dialer {
    fn default() -> Self {
        let noise = libp2p_noise::Config::new(&Keypair::generate_ed25519());
        Self { noise: noise.expect("a key that was just made signs") }
    }
}

impl Dialer {
    /// The peer id that the node at `at` proves; the connection is closed at once.
    ///
    /// # Errors
    /// Where nothing proves one `within` that time.
    pub async fn dial(&self, at: SocketAddr, within: Duration) -> Result<PeerId, DialError> {
        let proof = async {
            let stream = TcpStream::connect(at).await.map_err(|why| DialError::Connect { at, why })?;
            self.shake_hands(stream).await
        };
        tokio::time::timeout(within, proof).await.unwrap_or(Err(DialError::Deadline(within)))
    }

    /// The peer id that the other end of a stream proves, however long that takes.
    ///
    /// # Errors
    /// Where it proves none.
    pub async fn shake_hands(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<PeerId, DialError> {
        let noise = self.noise.clone();
        let (protocol, io) = dialer_select_proto(stream.compat(), noise.protocol_info(), Version::V1).await?;
        let (peer, _) = noise.upgrade_outbound(io, protocol).await?;
        Ok(peer)
    }
}
