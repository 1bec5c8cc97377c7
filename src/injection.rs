//! Keeps the ConfigMaps from which the API server's own policy injects while nothing of Torch runs.

mod entries;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cluster::events::Reason;
use crate::cluster::{self, Change, Cluster, InjectionMap};
use crate::election::Leadership;
use crate::peers::Book;
use crate::telemetry::Metrics;
use crate::view::{Snapshot, View};

use entries::{Injection, MAX_MAPS};

/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_millis(250);

/// The same where there are many nodes: each write is of some hundred kilobytes to the API server.
const GATHER_IF_LARGE: Duration = Duration::from_secs(2);

/// How many nodes are many.
const LARGE: usize = 500;

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The keeper of the ConfigMaps. It works on the replica that leads.
pub struct Injector {
    cluster: Cluster,
    view: View,
    changed: watch::Receiver<()>,
    leadership: watch::Receiver<Leadership>,
    metrics: Arc<Metrics>,
    injection: Injection,
    /// What that is made of: the snapshot, and the book of each of its meshes.
    made_of: (Arc<Snapshot>, Vec<Arc<Book>>),
    kept: Kept,
    failing: Option<String>,
    /// Not before then, after a failure.
    again: Instant,
}

/// The ConfigMaps.
#[derive(Default)]
struct Kept {
    maps: Vec<Known>,
    versions: SelectAll<BoxStream<'static, (usize, Change<String>)>>,
}

/// What is known of a ConfigMap.
enum Known {
    Nothing,
    Absent,
    There(InjectionMap),
}

impl Injector {
    /// Keeps them by what is in `view`, which counts once `changed` has said so for the first time.
    pub fn new(
        cluster: Cluster,
        view: View,
        changed: watch::Receiver<()>,
        leadership: watch::Receiver<Leadership>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            cluster,
            view,
            changed,
            leadership,
            metrics,
            injection: Injection::default(),
            made_of: <(Arc<Snapshot>, Vec<Arc<Book>>)>::default(),
            kept: Kept::default(),
            failing: None,
            again: Instant::now(),
        }
    }

    /// Keeps them, until it is dropped.
    pub async fn run(mut self) {
        let _ = self.changed.changed().await;
        loop {
            if self.leadership.borrow_and_update().is_ours() {
                self.make();
                if Instant::now() >= self.again {
                    self.keep_all().await;
                }
            } else {
                // Who leads then writes them, and what is known of them now will be old.
                self.kept = Kept::default();
            }
            tokio::select! {
                Ok(()) = self.changed.changed() => {}
                Ok(()) = self.leadership.changed() => {}
                Some((number, change)) = self.kept.versions.next() => self.kept.saw(number, &change),
                () = sleep_until(self.again), if self.failing.is_some() => {}
            }
            sleep(self.gather()).await;
            while let Some(Some((number, change))) = self.kept.versions.next().now_or_never() {
                self.kept.saw(number, &change);
            }
        }
    }

    fn gather(&self) -> Duration {
        let (kept, _) = self.injection.counts();
        if kept > LARGE { GATHER_IF_LARGE } else { GATHER }
    }

    /// Makes the entries of those meshes again that have changed.
    fn make(&mut self) {
        let now = self.view.load_full();
        if !Arc::ptr_eq(&now, &self.made_of.0) {
            self.injection = Injection::new(now.meshes().map(|mesh| Arc::clone(&mesh.config)));
            self.made_of = (now, Vec::new());
        }
        let (_, left_out_before) = self.injection.counts();
        let (snapshot, books) = &mut self.made_of;
        for (number, mesh) in snapshot.meshes().enumerate() {
            match books.get_mut(number) {
                Some(book) if Arc::ptr_eq(book, &mesh.book) => continue,
                Some(book) => *book = Arc::clone(&mesh.book),
                None => books.push(Arc::clone(&mesh.book)),
            }
            self.injection.put(number, &mesh.book);
        }
        let (kept, left_out) = self.injection.counts();
        self.metrics.injection_nodes(kept, left_out);
        if left_out > left_out_before {
            tracing::warn!(
                left_out,
                "no room in torch-injection for all nodes: only the webhook injects these"
            );
        }
    }

    /// Puts right what is not.
    async fn keep_all(&mut self) {
        let failing = self.try_to_keep_all().await.err().map(|error| error.to_string());
        if let (Some(error), true) = (&failing, failing != self.failing) {
            tracing::warn!(%error, "cannot keep what the admission policy injects from; trying again");
            self.cluster.events().about_torch(Reason::CannotKeepInjection, error);
        }
        if failing.is_some() {
            self.again = Instant::now() + AGAIN;
        }
        self.failing = failing;
    }

    /// Those that an earlier configuration has left over are emptied.
    async fn try_to_keep_all(&mut self) -> Result<(), cluster::Error> {
        for number in 0..MAX_MAPS {
            self.kept.watch(&self.cluster, number);
            self.keep(number).await?;
            if number >= self.injection.maps() && matches!(self.kept.maps[number], Known::Absent) {
                break;
            }
        }
        Ok(())
    }

    async fn keep(&mut self, number: usize) -> Result<(), cluster::Error> {
        let entries = self.injection.entries(number);
        let known = &mut self.kept.maps[number];
        if let Known::Nothing = known {
            *known = self.cluster.injection_map(number).await?.map_or(Known::Absent, Known::There);
        }
        let before = match known {
            Known::There(map) if !map.holds(&entries) => Some(&*map),
            Known::Absent if !entries.is_empty() => None,
            _ => return Ok(()),
        };
        let written = self.cluster.write_injection_map(number, before, &entries).await;
        self.metrics.injection_write(written.is_ok());
        *known = written?.map_or(Known::Nothing, Known::There);
        Ok(())
    }
}

impl Kept {
    fn watch(&mut self, cluster: &Cluster, number: usize) {
        if number == self.maps.len() {
            self.maps.push(Known::Nothing);
            self.versions
                .push(cluster.injection_versions(number).map(move |change| (number, change)).boxed());
        }
    }

    /// Forgets what is in a ConfigMap that another has written.
    fn saw(&mut self, number: usize, change: &Change<String>) {
        let known = &mut self.maps[number];
        let is_as_known = match change {
            Change::Begin => true,
            Change::Put(version) => matches!(known, Known::There(map) if map.version == *version),
            // What a new listing does not show is gone.
            Change::Complete | Change::Gone(_) => false,
        };
        if !is_as_known {
            *known = Known::Nothing;
        }
    }
}
