//! The addresses that are known: `--peers FILE`, and what the configuration itself says.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::config::Config;
use crate::peers::{Address, Book, Known};
use crate::plan::fixed;
use crate::yaml;

/// A node of `/list` or `torch status`.
#[derive(Deserialize)]
struct Listed {
    pod: String,
    node: String,
    address: Option<Address>,
}

/// The book of what is known, from a map of pods to addresses, from an answer of `/list`, `/gen` or `/genAll`,
/// whole or its body alone, or from what `torch status` prints.
///
/// # Errors
/// Where it is none of these, or has an address that is none.
pub fn book(text: Option<&str>, config: &Config) -> anyhow::Result<Book> {
    let mut book = Book::default();
    if let Some(text) = text {
        book.nodes = read(text, config)?;
    }
    let named = book.by_name();
    let peers = config.groups.iter().flat_map(|group| &group.peers);
    let others = peers.filter(|peer| !named.contains_key(&*peer.node_name));
    let given = others.filter_map(|peer| {
        let address = fixed(&peer.settings)?.clone();
        Some((peer.node_name.clone(), known(address, None)))
    });
    let given: Vec<_> = given.collect();
    book.nodes.extend(given);
    Ok(book)
}

fn read(text: &str, config: &Config) -> anyhow::Result<BTreeMap<String, Known>> {
    let whole: Value = yaml::read(text).context("it is not YAML")?;
    // By these names there may also be pods.
    let part = |name| whole.get(name).filter(|part| !part.is_string());
    let answer = part("body").or_else(|| part("nodes"));
    match answer.unwrap_or(&whole) {
        body @ Value::Array(_) => Ok(Vec::<Listed>::deserialize(body)?
            .into_iter()
            .filter_map(|Listed { pod, node, address }| {
                let workload = (node != pod).then_some(node);
                Some((pod, known(address?, workload)))
            })
            .collect()),
        body @ Value::Object(_) => Ok(BTreeMap::<String, Address>::deserialize(body)?
            .into_iter()
            .map(|(pod, address)| {
                let workload = workload(&pod, config);
                (pod, known(address, workload))
            })
            .collect()),
        _ => bail!(
            "it is neither a map of pods to addresses, nor an answer of /list or /genAll, nor what torch status prints"
        ),
    }
}

/// The node that a pod of this name belongs to, by the way in which workloads name their pods.
fn workload(pod: &str, config: &Config) -> Option<String> {
    let is_node = |name: &str| config.groups.iter().any(|g| g.peers.iter().any(|p| p.node_name == name));
    let mut prefixes = pod.rmatch_indices('-').map(|(end, _)| &pod[..end]);
    let found = if is_node(pod) { None } else { prefixes.find(|name| is_node(name)) };
    found.map(String::from)
}

fn known(address: Address, workload: Option<String>) -> Known {
    Known { address, workload, container: String::new(), learned: Timestamp::UNIX_EPOCH }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

    fn config() -> Config {
        let out = format!("{{nodeName: out, probe: [address: /dns/out/tcp/1/p2p/{PEER}]}}");
        parse(&format!("mutualPeers: [{{peers: [{{nodeName: da}}, {{nodeName: da-x}}, {out}]}}]")).unwrap()
    }

    fn nodes(text: &str) -> Vec<(String, Option<String>)> {
        let book = book(Some(text), &config()).unwrap();
        book.nodes.into_iter().map(|(pod, known)| (pod, known.workload)).collect()
    }

    #[test]
    fn a_map_and_each_answer_are_understood() {
        let address = format!("/dns/da-0/tcp/2121/p2p/{PEER}");
        let expected = [("da-0".to_owned(), Some("da".to_owned())), ("out".to_owned(), None)];
        assert_eq!(nodes(&format!("da-0: {address}")), expected);
        assert_eq!(
            nodes(&format!(r#"{{"status": 200, "body": {{"da-0": "{address}"}}, "trustedPeers": {{}}}}"#)),
            expected
        );
        let list = format!(
            r#"[{{"pod": "da-0", "node": "da", "groups": [], "address": "{address}"}}, {{"pod": "da-x", "node": "da-x", "address": null}}]"#
        );
        assert_eq!(nodes(&list), expected);
        assert_eq!(nodes(&format!(r#"{{"status": 200, "body": {list}}}"#)), expected);
        assert_eq!(nodes(&format!(r#"{{"leader": "torch-a", "nodes": {list}}}"#)), expected);
        for name in ["body", "nodes"] {
            assert_eq!(nodes(&format!("{name}: {address}")).len(), 2, "a pod may be called so");
        }
    }

    #[test]
    fn a_pod_whose_own_name_is_configured_belongs_to_no_other_node() {
        assert_eq!(workload("da-x", &config()), None);
        assert_eq!(workload("da-x-5f7d9-x2", &config()).as_deref(), Some("da-x"));
        assert_eq!(workload("stranger-0", &config()), None);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["da-0: nonsense", "[1]", "text", "{\"body\": null}", "[{pod: a}]", "{"] {
            assert!(book(Some(text), &config()).is_err(), "{text}");
        }
    }
}
