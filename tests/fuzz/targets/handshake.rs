//! A hostile peer: any bytes in answer to a dial, and any bytes as what a peer with Noise says of itself.
//! No id is believed but the one whose key the peer has.

#![no_main]

use std::sync::LazyLock;

use futures::executor::block_on;
use libfuzzer_sys::fuzz_target;
use libp2p_identity::{Keypair, PeerId};
use snow::{Builder, HandshakeState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use torch::leader::discovery::dial::Dialer;
use torch_fuzz::within;

static DIALER: LazyLock<Dialer> = LazyLock::new(Dialer::default);

/// The peer's key, and the peer id that it makes.
static PEER: LazyLock<PeerId> =
    LazyLock::new(|| Keypair::ed25519_from_bytes([7; 32]).expect("any 32 bytes").public().to_peer_id());

/// The peer's static key for Noise, which `corpus/handshake/true` vouches for.
const STATIC: [u8; 32] = [9; 32];

const MULTISTREAM: &[u8] = b"\x13/multistream/1.0.0\n";
const NOISE: &[u8] = b"\x07/noise\n";

fuzz_target!(|bytes: &[u8]| {
    let [how, said @ ..] = bytes else { return };
    LazyLock::force(&DIALER);
    let said = said.to_vec();
    let proved = within(bytes, 64, || match how {
        0 => block_on(DIALER.shake_hands(tokio::io::join(std::io::Cursor::new(said), tokio::io::sink()))),
        _ => {
            let (ours, theirs) = tokio::io::duplex(4096);
            let answer = answer(theirs, said, *how == 1);
            block_on(async { futures::join!(DIALER.shake_hands(ours), answer).0 })
        }
    });
    match proved {
        Ok(peer) => assert!(*how != 0 && peer == *PEER, "{peer} is believed"),
        Err(why) => assert!(why.to_string().len() < 4096, "{why}"),
    }
});

/// Speaks Noise, and says this of itself; or, where it is not `sealed`, sends it in the place of that.
async fn answer(mut stream: DuplexStream, said: Vec<u8>, sealed: bool) -> Option<()> {
    let mut noise = noise();
    stream.write_all(&[MULTISTREAM, NOISE].concat()).await.ok()?;
    let mut first = vec![0; MULTISTREAM.len() + NOISE.len()];
    stream.read_exact(&mut first).await.ok()?;
    let mut first = vec![0; stream.read_u16().await.ok()?.into()];
    stream.read_exact(&mut first).await.ok()?;
    noise.read_message(&first, &mut [0; 65535]).ok()?;
    let mut frame = vec![0; said.len() + 128];
    let length = if sealed { noise.write_message(&said, &mut frame).ok()? } else { said.len() };
    let frame = if sealed { &frame[..length] } else { &said[..] };
    stream.write_u16(length.try_into().ok()?).await.ok()?;
    stream.write_all(frame).await.ok()?;
    stream.read_to_end(&mut Vec::new()).await.ok().map(drop)
}

fn noise() -> HandshakeState {
    let name = "Noise_XX_25519_ChaChaPoly_SHA256".parse().expect("it is one");
    let builder = Builder::new(name).local_private_key(&STATIC).expect("it is a key");
    builder.build_responder().expect("nothing is missing")
}
