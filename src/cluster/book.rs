//! The address book in its ConfigMap, one entry for each node and each restart, so that a person can
//! read it too.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::Stream;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PartialObjectMeta, PostParams};
use kube::runtime::watcher;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::watch::changes;
use super::{Change, Cluster, Error, call, found};
use crate::peers::Book;

const NAME: &str = "torch-book";

/// Pod names have no underscore, so what stands before it cannot be part of one.
const NODE: &str = "node_";
const RESTART: &str = "restart_";

/// How often a save is tried against another writer.
const TRIES: u32 = 5;

/// Loads and saves the book, never over what another has written meanwhile.
pub struct BookStore {
    cluster: Cluster,
    /// The object as it was last seen; `None` before it is there.
    seen: Mutex<Option<ConfigMap>>,
}

impl BookStore {
    /// The book of the cluster's namespace.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, seen: Mutex::new(None) }
    }

    /// Loads the book; it is empty where there is none. An entry that cannot be read is left out and
    /// logged.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn load(&self) -> Result<Book, Error> {
        let map = found(call(|| format!("get configmap {NAME}"), self.api().get(NAME)).await)?;
        let book = read(map.as_ref().and_then(|m| m.data.as_ref()));
        *self.seen.lock().expect("no panic holds this lock") = map;
        Ok(book)
    }

    /// Saves the book. Where somebody else has written since, theirs and ours are merged first; what was
    /// saved is returned.
    ///
    /// # Errors
    /// Where a call fails.
    pub async fn save(&self, book: &Book) -> Result<Book, Error> {
        let mut book = book.clone();
        for _ in 1..TRIES {
            match self.write(&book).await {
                Err(error) if matches!(error.status(), Some(404 | 409)) => book.absorb(self.load().await?),
                done => return done.map(|()| book),
            }
        }
        self.write(&book).await.map(|()| book)
    }

    async fn write(&self, book: &Book) -> Result<(), Error> {
        let seen = self.seen.lock().expect("no panic holds this lock").clone();
        let data = Some(entries(book));
        let written = match seen {
            Some(map) => {
                let map = ConfigMap { data, ..map };
                call(
                    || format!("update configmap {NAME}"),
                    self.api().replace(NAME, &PostParams::default(), &map),
                )
                .await?
            }
            None => {
                let metadata = ObjectMeta { name: Some(NAME.into()), ..ObjectMeta::default() };
                let map = ConfigMap { metadata, data, ..ConfigMap::default() };
                call(|| format!("create configmap {NAME}"), self.api().create(&PostParams::default(), &map))
                    .await?
            }
        };
        *self.seen.lock().expect("no panic holds this lock") = Some(written);
        Ok(())
    }

    fn api(&self) -> Api<ConfigMap> {
        self.cluster.api()
    }
}

impl Cluster {
    /// Whether the book's ConfigMap is there, as it changes; what is in it is not looked at.
    pub fn book_object(&self) -> impl Stream<Item = Change<()>> + Send + use<> {
        let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
        changes("configmap torch-book", self.api::<PartialObjectMeta<ConfigMap>>(), config, |_| Some(()))
    }
}

fn entries(book: &Book) -> BTreeMap<String, String> {
    let nodes = book.nodes.iter().map(|(pod, known)| (format!("{NODE}{pod}"), json(known)));
    let restarts = book.restarts.iter().map(|(key, restart)| (format!("{RESTART}{key}"), json(restart)));
    nodes.chain(restarts).collect()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the book's types have string keys only")
}

fn read(data: Option<&BTreeMap<String, String>>) -> Book {
    let mut book = Book::default();
    for (key, text) in data.into_iter().flatten() {
        if let Some(pod) = key.strip_prefix(NODE) {
            entry(key, text).map(|known| book.nodes.insert(pod.to_owned(), known));
        } else if let Some(of) = key.strip_prefix(RESTART) {
            entry(key, text).map(|restart| book.restarts.insert(of.to_owned(), restart));
        } else {
            tracing::warn!(configmap = NAME, key, "left out an entry that is not Torch's");
        }
    }
    book
}

fn entry<T: DeserializeOwned>(key: &str, text: &str) -> Option<T> {
    serde_json::from_str(text)
        .inspect_err(
            |error| tracing::warn!(configmap = NAME, key, %error, "left out an entry that cannot be read"),
        )
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{Known, Restart};
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
            refresh: false,
            attempts: 1,
            total: 2,
        };
        Book { nodes: [("da-0".into(), known)].into(), restarts: [("da-0".into(), restart)].into() }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(Some(&entries(&book(7)))), book(7));
    }

    #[test]
    fn garbage_costs_nothing_but_itself() {
        let mut data = entries(&book(7));
        for (key, text) in
            [("node_x", "{"), ("restart_x", "[]"), ("other", ""), ("node_y", "{\"address\":\"/x\"}")]
        {
            data.insert(key.into(), text.into());
        }
        assert_eq!(read(Some(&data)), book(7));
    }

    #[test]
    fn the_newer_entry_wins() {
        let (mut ours, theirs) = (book(7), book(9));
        ours.absorb(theirs.clone());
        assert_eq!(ours, theirs);
        ours.absorb(book(8));
        assert_eq!(ours, theirs);
    }
}
