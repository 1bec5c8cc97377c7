//! Watches: streams of changes that end only with the program.

use std::fmt::Debug;

use futures::{Stream, StreamExt as _, future};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde::de::DeserializeOwned;

use super::{Cluster, in_words, pods};
use crate::peers;

/// How many pods are listed at once: whole pods are large, and Torch keeps little of each.
const PAGE: u32 = 100;

/// A change of what is watched. A listing comes as `Begin`, any number of `Put`, `Complete`, and
/// whatever is not in it is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<T> {
    /// A listing begins.
    Begin,
    /// The object is there, like this.
    Put(T),
    /// The listing is complete.
    Complete,
    /// The object is gone.
    Gone(T),
}

impl Cluster {
    /// The pods of the namespace.
    pub fn pods(&self) -> impl Stream<Item = Change<peers::Pod>> + Send + use<> {
        let config = watcher::Config::default().page_size(PAGE);
        changes("pods", self.api::<Pod>(), config, |pod| pods::read(&pod))
    }

    /// The names of the Services of the namespace.
    pub fn services(&self) -> impl Stream<Item = Change<String>> + Send + use<> {
        changes("services", self.api::<Service>(), watcher::Config::default(), |s: Service| s.metadata.name)
    }
}

/// Watches `what`, for ever. A failing watch is logged when it begins to fail and when it is well again.
pub(super) fn changes<K, T>(
    what: &'static str,
    api: Api<K>,
    config: watcher::Config,
    read: impl Fn(K) -> Option<T> + Send + 'static,
) -> impl Stream<Item = Change<T>> + Send
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Send,
{
    let mut failing = false;
    let events = watcher(api, config).default_backoff();
    events.filter_map(move |event| {
        let change = match event {
            Ok(event) => {
                // A new listing begins with every try, failed ones included.
                let proves_well = !matches!(event, watcher::Event::Init);
                if proves_well && std::mem::take(&mut failing) {
                    tracing::info!(what, "watching again");
                }
                change(event, &read)
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(what, error = watch_failure(&error), "cannot watch; trying again");
                }
                None
            }
        };
        future::ready(change)
    })
}

/// The API server's own words, where it is it that refuses.
fn watch_failure(error: &watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => in_words(error),
        WatchError(status) => status.message.clone(),
        other => other.to_string(),
    }
}

fn change<K, T>(event: watcher::Event<K>, read: impl Fn(K) -> Option<T>) -> Option<Change<T>> {
    match event {
        watcher::Event::Init => Some(Change::Begin),
        watcher::Event::InitApply(object) | watcher::Event::Apply(object) => read(object).map(Change::Put),
        watcher::Event::InitDone => Some(Change::Complete),
        watcher::Event::Delete(object) => read(object).map(Change::Gone),
    }
}
