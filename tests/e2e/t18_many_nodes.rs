//! More nodes than one ConfigMap has room for. Most of them are not there yet.

use std::fmt::Write as _;

use crate::bed::Bed;
use crate::kubectl;
use crate::torch::Torch;
use crate::wait::{SOON, check, eventually};

/// The admission policy's first ConfigMap is for so many nodes.
const ABSENT: usize = 3000;

/// Pairs whose addresses the configuration says.
const PAIRS: usize = 40;

#[test]
fn t18_many_nodes() {
    let bed = Bed::make("t18");
    let torch = Torch::deploy(&bed, &config(1));
    everywhere(&bed, "/tcp/1/");
    torch.reconfigure(&config(2));
    everywhere(&bed, "/tcp/2/");
}

fn config(port: u16) -> String {
    let mut text = String::from("mutualPeers:\n");
    for absent in (0..ABSENT).collect::<Vec<_>>().chunks(ABSENT / 2) {
        let names: Vec<String> = absent.iter().map(|n| format!("{{nodeName: n{n}}}")).collect();
        writeln!(text, "  - peers: [{}]", names.join(", ")).expect("a String takes everything");
    }
    for pair in 0..PAIRS {
        let peer = |side| {
            let id = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";
            format!("{{nodeName: {side}{pair}, probe: [address: /dns/{side}{pair}/tcp/{port}/p2p/{id}]}}")
        };
        writeln!(text, "  - peers: [{}, {}]", peer("a"), peer("b")).expect("a String takes everything");
    }
    text
}

/// Waits for all addresses to stand in the book and where the policy injects from, each once.
#[track_caller]
fn everywhere(bed: &Bed, address: &str) {
    for (kept, entries) in [("torch-book", 2 * PAIRS), ("torch-injection", 2 * PAIRS)] {
        eventually(&format!("{kept} and those behind it hold {address} {entries} times"), SOON, || {
            let all = kubectl::get(bed.name(), "configmaps")?;
            let maps = all["items"].as_array().into_iter().flatten();
            let maps =
                maps.filter(|map| map["metadata"]["name"].as_str().is_some_and(|n| n.starts_with(kept)));
            let texts: Vec<String> = maps.map(|map| map["data"].to_string()).collect();
            let found: usize = texts.iter().map(|text| text.matches(address).count()).sum();
            let filled = texts.iter().filter(|text| text.contains(address)).count();
            check(found == entries, || format!("{found} times, in {filled} of {}", texts.len()))
        });
    }
}
