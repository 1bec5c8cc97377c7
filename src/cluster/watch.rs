//! Watches: streams of changes that end only with the program.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt as _, future};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde::de::DeserializeOwned;

use super::events::Reason;
use super::{Cluster, Events, in_words, pods, with_remedy};
use crate::peers;

/// How many pods are listed at once: whole pods are large, and Torch keeps little of each.
const PAGE: u32 = 100;

/// The wait after the first failure of a watch, doubled after each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait. kube's own, made for controllers in any number, would leave Torch blind for up to a
/// minute after the API server is back.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// After so long without a failure the waits begin anew. A listing that begins does not end them.
const WELL_AGAIN: Duration = Duration::from_secs(60);

/// How fast a failing watch is tried again.
#[derive(Default)]
struct Pace {
    failures: u32,
}

impl Iterator for Pace {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        Some(wait.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

impl Backoff for Pace {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

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
        changes(self.events.clone(), "pods", self.api::<Pod>(), config, |pod| pods::read(&pod))
    }

    /// The names of the Services of the namespace.
    pub fn services(&self) -> impl Stream<Item = Change<String>> + Send + use<> {
        changes(
            self.events.clone(),
            "services",
            self.api::<Service>(),
            watcher::Config::default(),
            |s: Service| s.metadata.name,
        )
    }
}

/// Watches `what`, for ever. A failing watch is told of when it begins to fail and when it is well again.
pub(super) fn changes<K, T>(
    told: Events,
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
    let events = watcher(api, config).backoff(ResetTimerBackoff::new(Pace::default(), WELL_AGAIN));
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
                    let error = watch_failure(&error);
                    tracing::warn!(what, %error, "cannot watch; trying again");
                    told.about_torch(Reason::CannotWatch, format!("cannot watch {what}: {error}"));
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
        WatchError(status) => with_remedy(&status.message),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_watch_waits_longer_each_time_and_never_long() {
        let mut pace = Pace::default();
        let waits: Vec<Duration> = pace.by_ref().take(20).collect();
        assert!(waits[0] <= FIRST_WAIT && waits[0] >= FIRST_WAIT / 2, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT), "{waits:?}");
        assert!(waits[10..].iter().all(|wait| *wait >= LONGEST_WAIT / 2), "{waits:?}");
        pace.reset();
        assert!(pace.next() <= Some(FIRST_WAIT));
    }
}
