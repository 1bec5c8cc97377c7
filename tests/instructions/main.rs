//! Answers one review so many times, for a counter of instructions: `torch-instructions CASE TIMES`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use jiff::Timestamp;
use torch::admission::{Input, review};
use torch::config;
use torch::peers::{Address, Book, Known};
use torch::view::Snapshot;

/// A review of a StatefulSet's pod, of 7.7 kB, as an API server sends it.
const REVIEW: &str = include_str!("../bench/reviews/stateful-set.json");

/// How many nodes a group has.
const GROUP: usize = 5;

const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [case, times] = &arguments[..] else { panic!("usage: torch-instructions CASE TIMES") };
    let (node, nodes, hub) = match case.as_str() {
        "configured" => (name(1), 1_000, None),
        "configured-by-10000" => (name(1), 10_000, None),
        "configured-with-a-hub" => (name(1), 10_000, Some(name(0))),
        "not-configured" => ("others".into(), 1_000, None),
        _ => panic!("no such case: {case}"),
    };
    let snapshot = Snapshot::begin(Arc::new(configuration(nodes, hub)), &book(nodes));
    let body = REVIEW.replace("NODE", &node).replace("NAMESPACE", "da");
    for _ in 0..times.parse().expect("a number") {
        let input = Input { namespace: "da", snapshot: &snapshot };
        black_box(review(black_box(body.as_bytes()), input).expect("it is a review"));
    }
}

/// Groups, of which each has the hub as its first node, where there is one.
fn configuration(nodes: usize, hub: Option<String>) -> config::Config {
    let mut text = String::from("containerName: node\ntrustedPeersPath: /peers\nmutualPeers:\n");
    for node in 0..nodes {
        let is_first = node % GROUP == 0;
        if is_first {
            text.push_str("  - peers:\n");
        }
        let name = hub.clone().filter(|_| is_first).unwrap_or_else(|| name(node));
        writeln!(text, "      - nodeName: {name}").expect("a String takes everything");
    }
    config::parse(&text).expect("a good configuration")
}

fn book(nodes: usize) -> Book {
    let known = |node: usize| {
        let address = format!("/dns/{0}-0.{0}/tcp/2121/p2p/{PEER}", name(node));
        let known = Known {
            address: address.parse::<Address>().expect("an address"),
            workload: Some(name(node)),
            container: "c".into(),
            learned: Timestamp::UNIX_EPOCH,
        };
        (format!("{}-0", name(node)), known)
    };
    Book { nodes: (0..nodes).map(known).collect(), ..Book::default() }
}

fn name(node: usize) -> String {
    format!("celestia-bridge-{node:05}")
}
