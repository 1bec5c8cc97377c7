//! What the fuzz targets share: a bound on memory, and a Torch that knows some nodes.

use std::alloc::System;
use std::collections::BTreeSet;
use std::panic;
use std::sync::{Arc, LazyLock, Once};

use cap::Cap;
use jiff::Timestamp;
use torch::config::{self, Config};
use torch::peers::{Book, Known};
use torch::view::Snapshot;

/// Past its limit there is no memory, which ends the process: libFuzzer takes it for the crash that it is.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// What may be held whatever the input is, in bytes.
const ALWAYS: usize = 512 * 1024;

/// Does something with an input; it may hold `factor` bytes at once for each byte of the input.
pub fn within<T>(input: &[u8], factor: usize, act: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(tell_of_panics);
    limit(MEMORY.allocated() + ALWAYS + factor * input.len());
    let done = act();
    limit(usize::MAX);
    done
}

/// To tell of a panic takes more memory than what panics may have.
fn tell_of_panics() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        limit(usize::MAX);
        tell(panic);
    }));
}

fn limit(bytes: usize) {
    MEMORY.set_limit(bytes).expect("it is above what is held");
}

/// The Ed25519 key of RFC 8032, test 1.
pub const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

/// The namespace that is served.
pub const NAMESPACE: &str = "da";

/// Nodes of every kind.
pub static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| {
    let text = "
mutualPeers:
  - peers: [{nodeName: da-bridge-1}, {nodeName: da-full-1}]
  - trustedPeersPath: /peers
    restart: {when: [early, partial, changed], settle: 1s}
    peers: [{nodeName: web}, {nodeName: single}, {nodeName: side, containerName: car}]
  - volume: {claimName: shared, subPath: x}
    includeSelf: true
    peers: [{nodeName: claimed}, {nodeName: claimed-peer}]
  - volume: {name: scratch}
    peers: [{nodeName: named}, {nodeName: da}]
";
    Arc::new(config::parse(text).expect("it has no fault"))
});

/// A book that knows some of them.
pub static BOOK: LazyLock<Book> = LazyLock::new(|| {
    let known = |workload: &str| Known {
        address: format!("/dns/{workload}/tcp/2121/p2p/{PEER}").parse().expect("it is an address"),
        workload: Some(workload.into()),
        container: "containerd://1".into(),
        learned: Timestamp::UNIX_EPOCH,
    };
    let nodes = ["da-bridge-1", "single", "claimed-peer", "da"];
    Book { nodes: nodes.map(|n| (format!("{n}-0"), known(n))).into(), ..Book::default() }
});

/// What is known.
pub fn snapshot() -> Snapshot {
    Snapshot::begin(Arc::clone(&CONFIG), &BOOK)
}

/// The addresses that may be handed out.
pub fn addresses() -> BTreeSet<String> {
    BOOK.nodes.values().map(|known| known.address.to_string()).collect()
}
