//! The address book in ConfigMaps, one entry for each node and each restart, so that a person can read
//! it too.
//!
//! A ConfigMap holds at most 1 MiB, so a large book is spread over several shards. A shard is written
//! by patches of the entries that changed, on the condition that nobody has written it since it was
//! last seen.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::watch::changes;
use super::{Change, Cluster, Error, call};
use crate::peers::{Book, Known, Restart};

const NAME: &str = "torch-book";

/// How many shards there are at most; Torch's Role names them all.
pub const MOST_SHARDS: usize = 16;

/// Pod names have no underscore, so what stands before it cannot be part of one.
const NODE: &str = "node_";
const RESTART: &str = "restart_";

/// One ConfigMap of the book, as it was last seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shard {
    /// The version of the object.
    pub version: String,
    /// What it says.
    pub book: Book,
}

impl Shard {
    /// The shard that a ConfigMap's `data` makes. An entry that cannot be read is left out and logged.
    pub fn read(version: String, name: &str, data: BTreeMap<String, String>) -> Self {
        Self { version, book: read(name, data) }
    }
}

/// The entries of a shard that are to change; those that are to go have no value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes(BTreeMap<String, Option<String>>);

/// What came of a write.
#[derive(Debug)]
pub enum Written {
    /// The object is of this version now.
    Version(String),
    /// Somebody else has written, made or deleted it since it was seen.
    Conflict,
}

impl Cluster {
    /// A shard of the book, as it changes. An entry that cannot be read is left out and logged.
    pub fn shard(&self, shard: usize) -> impl Stream<Item = Change<Shard>> + Send + use<> {
        let name = name(shard);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        changes(self.events.clone(), "configmap torch-book", self.api::<ConfigMap>(), config, move |map| {
            let version = map.resource_version().unwrap_or_default();
            Some(Shard::read(version, &name, map.data.unwrap_or_default()))
        })
        .boxed()
    }

    /// Writes the changes to a shard that was last seen in this version, or was not there.
    ///
    /// # Errors
    /// Where the call fails for another reason than those of [`Written`].
    pub async fn write_shard(
        &self,
        shard: usize,
        seen: Option<&str>,
        changes: Changes,
    ) -> Result<Written, Error> {
        let (api, name): (Api<ConfigMap>, _) = (self.api(), name(shard));
        let done = match seen {
            Some(version) => {
                let patch = json!({"metadata": {"resourceVersion": version}, "data": changes.0});
                let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
                // The whole object comes by the watch; twice would be a waste.
                let patched = api.patch_metadata(&name, &params, &patch);
                call(|| format!("patch configmap {name}"), patched).await.map(|map| map.metadata)
            }
            None => {
                let data = changes.0.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
                let mut map = ConfigMap { data: Some(data), ..ConfigMap::default() };
                map.metadata.name = Some(name.clone());
                let act = || format!("create configmap {name}");
                call(act, api.create(&PostParams::default(), &map)).await.map(|map| map.metadata)
            }
        };
        match done {
            Ok(metadata) => Ok(Written::Version(metadata.resource_version.unwrap_or_default())),
            Err(error) if error.is_overtaken() => Ok(Written::Conflict),
            Err(error) => Err(error),
        }
    }
}

/// At most how many bytes the entries of a book take: their texts, and what keys and JSON add to these.
pub fn size(book: &Book) -> usize {
    const KNOWN: usize = 92;
    const RESTART: usize = 176;
    let workload = |workload: &Option<String>| workload.as_ref().map_or(0, String::len);
    let of_nodes = book.nodes.iter().map(|(pod, known)| {
        KNOWN + pod.len() + known.address.as_str().len() + workload(&known.workload) + known.container.len()
    });
    let of_restarts = book.restarts.iter().map(|(key, restart)| {
        RESTART + key.len() + restart.pod.len() + workload(&restart.workload) + restart.uid.len()
    });
    of_nodes.chain(of_restarts).sum()
}

impl Changes {
    /// What makes one book out of another.
    pub fn add(&mut self, from: &Book, to: &Book) {
        self.difference(NODE, &from.nodes, &to.nodes);
        self.difference(RESTART, &from.restarts, &to.restarts);
    }

    /// The entries, and the texts that they are to have.
    pub fn entries(&self) -> &BTreeMap<String, Option<String>> {
        &self.0
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn difference<T: PartialEq + Serialize>(
        &mut self,
        kind: &str,
        from: &BTreeMap<String, T>,
        to: &BTreeMap<String, T>,
    ) {
        let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key, None));
        let changed = to.iter().filter(|(key, value)| from.get(*key) != Some(value));
        let changed = changed.map(|(key, value)| (key, Some(json(value))));
        self.0.extend(gone.chain(changed).map(|(key, value)| (format!("{kind}{key}"), value)));
    }
}

fn name(shard: usize) -> String {
    if shard == 0 { NAME.into() } else { format!("{NAME}-{shard}") }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the book's types have string keys only")
}

fn read(name: &str, data: BTreeMap<String, String>) -> Book {
    let mut book = Book::default();
    for (key, text) in data {
        if let Some(pod) = key.strip_prefix(NODE) {
            entry::<Known>(name, &key, &text).map(|known| book.nodes.insert(pod.to_owned(), known));
        } else if let Some(of) = key.strip_prefix(RESTART) {
            entry::<Restart>(name, &key, &text).map(|restart| book.restarts.insert(of.to_owned(), restart));
        } else {
            tracing::warn!(configmap = name, key, "left out an entry that is not Torch's");
        }
    }
    book
}

fn entry<T: DeserializeOwned>(name: &str, key: &str, text: &str) -> Option<T> {
    serde_json::from_str(text)
        .inspect_err(
            |error| tracing::warn!(configmap = name, key, %error, "left out an entry that cannot be read"),
        )
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn book(learned: i64) -> Book {
        let at = Timestamp::from_second(learned).unwrap();
        let address =
            "/dns/da/tcp/2121/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV".parse().unwrap();
        let known = Known { address, workload: Some("da".into()), container: "c".into(), learned: at };
        let restart = Restart {
            pod: "da-0".into(),
            workload: None,
            uid: format!("u{learned}"),
            at,
            left: None,
            refresh: false,
            attempts: 1,
            total: 2,
        };
        Book { nodes: [("da-0".into(), known)].into(), restarts: [("da-0".into(), restart)].into() }
    }

    fn entries(of: &Book) -> BTreeMap<String, String> {
        let mut changes = Changes::default();
        changes.add(&Book::default(), of);
        changes.0.into_iter().map(|(key, value)| (key, value.unwrap())).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(NAME, entries(&book(7))), book(7));
    }

    #[test]
    fn a_size_is_none_too_small_and_not_much_too_large() {
        let mut full = book(1);
        let container = format!("containerd://{}", "0".repeat(64));
        full.nodes.values_mut().for_each(|known| known.container.clone_from(&container));
        let at: Timestamp = "2026-11-24T12:00:00.123456789Z".parse().unwrap();
        for restart in full.restarts.values_mut() {
            (restart.workload, restart.at, restart.left) = (Some("da".into()), at, Some(at));
            (restart.attempts, restart.total) = (u32::MAX, u32::MAX);
        }
        for book in [book(7), full] {
            let is = entries(&book).iter().map(|(key, text)| key.len() + text.len()).sum();
            let least = size(&book) / 2;
            assert!((least..=size(&book)).contains(&is), "{is}, by size {}", size(&book));
        }
    }

    #[test]
    fn garbage_costs_nothing_but_itself() {
        let mut data = entries(&book(7));
        for (key, text) in
            [("node_x", "{"), ("restart_x", "[]"), ("other", ""), ("node_y", "{\"address\":\"/x\"}")]
        {
            data.insert(key.into(), text.into());
        }
        assert_eq!(read(NAME, data), book(7));
    }

    #[test]
    fn a_newer_and_an_older_form_are_read() {
        let mut data = entries(&book(7));
        let newer = data["node_da-0"].replace('{', "{\"unheardOf\": [1, 2], ");
        data.insert("node_da-0".into(), newer);
        let older = data["restart_da-0"].replace("\"refresh\":false,", "");
        data.insert("restart_da-0".into(), older);
        assert_eq!(read(NAME, data), book(7));
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut changes = Changes::default();
        changes.add(&book(7), &book(7));
        assert!(changes.is_empty());
        let mut later = book(7);
        later.nodes.clear();
        later.restarts.get_mut("da-0").unwrap().total = 3;
        changes.add(&book(7), &later);
        let written: Vec<_> = changes.0.iter().map(|(key, value)| (key.as_str(), value.is_some())).collect();
        assert_eq!(written, [("node_da-0", false), ("restart_da-0", true)]);
    }
}
