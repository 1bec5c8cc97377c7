//! The value of `--headers.trusted-peers`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use libp2p::PeerId;
use libp2p::multiaddr::{Multiaddr, Protocol};

/// The addresses of every peer that the node was told to connect to.
pub type TrustedPeers = BTreeMap<PeerId, Vec<Multiaddr>>;

/// Reads the values of the flag, each a list of addresses joined by commas.
pub fn parse(values: &[String]) -> Result<TrustedPeers> {
    let mut peers = TrustedPeers::new();
    for address in values.iter().filter(|v| !v.is_empty()).flat_map(|v| v.split(',')) {
        let (peer, address) = parse_address(address).with_context(|| {
            format!("cmd: while parsing 'headers.trusted-peers' with peer addr '{address}'")
        })?;
        peers.entry(peer).or_default().push(address);
    }
    Ok(peers)
}

fn parse_address(text: &str) -> Result<(PeerId, Multiaddr)> {
    let address: Option<Multiaddr> = text.parse().ok();
    address
        .and_then(|address| match address.iter().last() {
            Some(Protocol::P2p(peer)) => Some((peer, address)),
            _ => None,
        })
        .context("invalid p2p multiaddr")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public key of RFC 8032's first test, and another.
    const A: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";
    const B: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

    fn parse_one(value: &str) -> Result<TrustedPeers> {
        parse(&[value.to_owned()])
    }

    #[test]
    fn lists_and_repeats_are_joined() {
        let peers = parse(&[
            format!("/dns/a/tcp/2121/p2p/{A},/ip4/10.0.0.1/tcp/2121/p2p/{A}"),
            format!("/dns/b/tcp/2121/p2p/{B}"),
        ])
        .unwrap();
        let counts: Vec<_> = peers.iter().map(|(id, a)| (id.to_string(), a.len())).collect();
        assert_eq!(counts.len(), 2);
        assert!(counts.contains(&(A.to_owned(), 2)));
        assert!(counts.contains(&(B.to_owned(), 1)));
    }

    #[test]
    fn an_empty_value_is_no_peer() {
        assert!(parse(&[]).unwrap().is_empty());
        assert!(parse_one("").unwrap().is_empty());
    }

    #[test]
    fn an_address_without_a_peer_id_is_refused() {
        let good = format!("/dns/a/tcp/2121/p2p/{A}");
        for bad in ["/dns/a/tcp/2121", "a:2121", &format!("{good},"), &format!("{good}/tcp/1")] {
            let error = format!("{:#}", parse_one(bad).unwrap_err());
            assert!(error.ends_with("invalid p2p multiaddr"), "{bad}: {error}");
        }
    }
}
