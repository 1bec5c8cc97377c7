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

/// How many known addresses are dialled at once, beside all other acts. One that does not answer takes seconds,
/// thousands may be like that, and what only tells how things are must not keep back what changes them.
const MOST_CHECKS: usize = 16;

impl Leader {
    /// Begins an act of a plan, with what is known by that; says whether there was room for it.
    pub(super) fn begin(&mut self, act: Act, roster: &Roster) -> bool {
        match act {
            Act::Note { pod, reason } => self.note(&pod, reason),
            Act::Check { pod } => self.unchecked.insert(pod),
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
        self.acts.len() - self.checks < MOST_ACTS
    }

    /// Dials addresses that wait for that, as far as there is room.
    pub(super) fn check_some(&mut self) {
        while self.checks < MOST_CHECKS
            && let Some(pod) = self.unchecked.next()
        {
            self.check(&pod);
        }
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

    /// Dials the address that is known by now, since it may have waited for its turn.
    fn check(&mut self, name: &str) {
        let (Some((.., subject)), Some((mesh, _))) = (self.subject(name), self.meshes.pod(name)) else {
            return;
        };
        let check = &mut self.memory.trace_mut(&subject.uid).check;
        let Some(known) = self.meshes.all[mesh].book.nodes.get(name).filter(|_| !check.busy) else {
            return;
        };
        check.begin(known);
        let (address, tools) = (known.address.clone(), Arc::clone(&self.tools));
        self.checks += 1;
        self.acts.spawn(async move {
            let reach = tools.discovery.check(&address).await;
            Outcome::Checked(subject, reach)
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
