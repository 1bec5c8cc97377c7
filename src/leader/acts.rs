//! Beginning what the plan says. Each act runs beside the loop and comes back as an [`Outcome`].

use std::sync::Arc;

use jiff::Timestamp;

use super::meshes::Mesh;
use super::{Leader, Outcome, Subject, delivery};
use crate::config::{Roster, Settings};
use crate::peers::{Book, Pod, join};
use crate::plan::{self, Act, Reason};

/// How many acts may be under way at once.
const MOST_ACTS: usize = 64;

impl Leader {
    /// Begins an act of a plan, with what is known by that; says whether there was room for it.
    pub(super) fn begin(&mut self, act: Act, roster: &Roster) -> bool {
        match act {
            Act::Note { pod, reason } => self.note(&pod, reason),
            Act::Check { pod } => self.checks.await_turn(pod),
            _ if !self.has_room() => return false,
            Act::Probe { pod, lurk } => self.probe(&pod, lurk),
            Act::Look { pod } => self.look(&pod),
            Act::Deliver { pod } => self.deliver(&pod, roster),
            Act::Evict { pod, reason } => self.evict(&pod, reason),
        }
        true
    }

    /// Whether another act, no check, may begin.
    pub(super) fn has_room(&self) -> bool {
        self.acts.len() - self.checks.under_way() < MOST_ACTS
    }

    fn note(&mut self, name: &str, reason: Reason) {
        let Some((mesh, pod)) = self.meshes.pod(name) else {
            return;
        };
        let mut book = Book::clone(&self.meshes.all[mesh].book);
        let noted = self.meshes.all[mesh].noted();
        let world = self.world(mesh, &self.meshes.all[mesh].book, &noted, Timestamp::now());
        plan::note(&mut book, pod, reason, world);
        let restart = &book.restarts[pod.restart_key()];
        tracing::info!(
            pod = name,
            uid = pod.uid,
            reason = reason.label(),
            attempt = restart.attempts,
            "to be restarted"
        );
        self.meshes.all[mesh].keep(book);
    }

    pub(super) fn probe(&mut self, name: &str, lurk: bool) {
        let Some((pod, settings, subject)) = self.subject(name) else {
            return;
        };
        let (pod, settings, tools) = (pod.clone(), settings.clone(), Arc::clone(&self.tools));
        self.memory.trace_mut(&subject.uid).probe.begin(&subject.container);
        self.acts.spawn(async move {
            let learned = tools.discovery.learn(&pod, &settings, lurk, &tools.metrics).await;
            Outcome::Probed(subject, learned)
        });
    }

    fn look(&mut self, name: &str) {
        let Some((_, settings, subject)) = self.subject(name) else {
            return;
        };
        let (container, tools) = (settings.container_name.clone(), Arc::clone(&self.tools));
        self.memory.trace_mut(&subject.uid).look.begin(&subject.container);
        self.acts.spawn(async move {
            let looked = delivery::look(&tools.cluster, &subject.pod, &container).await;
            Outcome::Looked(subject, looked)
        });
    }

    fn deliver(&mut self, name: &str, roster: &Roster) {
        let (Some((pod, settings, subject)), Some((mesh, _))) = (self.subject(name), self.meshes.pod(name))
        else {
            return;
        };
        let Mesh { config, book, .. } = &self.meshes.all[mesh];
        let value = join(&roster.trusted_peers(config, book, pod.who()));
        let (settings, tools) = (settings.clone(), Arc::clone(&self.tools));
        self.memory.trace_mut(&subject.uid).deliver.begin(&subject.container);
        self.acts.spawn(async move {
            let (container, path) = (&settings.container_name, &settings.trusted_peers_path);
            let done = delivery::deliver(&tools.cluster, &subject.pod, container, path, &value).await;
            Outcome::Delivered(subject, value, done)
        });
    }

    fn evict(&mut self, name: &str, reason: Reason) {
        let Some((pod, _, subject)) = self.subject(name) else {
            return;
        };
        let (version, tools) = (pod.version.clone(), Arc::clone(&self.tools));
        self.memory.trace_mut(&subject.uid).evict.begin(&subject.uid);
        // What an earlier try was told is no answer to this one.
        self.memory.not_evicted.remove(&subject.uid);
        self.acts.spawn(async move {
            fail::fail_point!("before-evict");
            let restarted = tools.restarter.restart(&subject.pod, &subject.uid, &version).await;
            fail::fail_point!("after-evict");
            Outcome::Evicted(subject, reason, restarted)
        });
    }

    /// The pod of that name as it is now.
    pub(super) fn subject(&self, name: &str) -> Option<(&Pod, &Settings, Subject)> {
        let (mesh, pod) = self.meshes.pod(name)?;
        let settings = self.meshes.all[mesh].config.settings(pod.who())?;
        let container =
            pod.container(&settings.container_name).and_then(|c| c.id.clone()).unwrap_or_default();
        Some((pod, settings, Subject { pod: name.to_owned(), uid: pod.uid.clone(), container }))
    }
}
