//! Events: what befalls nodes and Torch itself, told where a person looks who runs `kubectl describe`.
//!
//! An Event is a service to people and never more: whoever tells one does not wait for it, and where it
//! cannot be written it is lost.

use std::collections::HashMap;
use std::env;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Error, call};
use crate::peers::Owner;

/// How many Events may wait to be written; what is told beyond that is lost.
const MOST_WAITING: usize = 256;

/// For how many of them what goes well leaves room: what goes wrong is not lost for it.
const FOR_WARNINGS: usize = MOST_WAITING / 2;

/// The shortest time between two of them, so that many failures at once are no burden to the API server.
const PACE: Duration = Duration::from_millis(200);

/// How soon the same is not told again.
const AGAIN: Duration = Duration::from_secs(300);

/// The controller that they are told by.
const CONTROLLER: &str = "torch.celestia.org/torch";

/// The longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1024;

/// What kind of thing happened; by these names people filter Events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A node's address was learned, or is another one.
    AddressLearned,
    /// A node was created with its variable.
    Injected,
    /// A node is restarted.
    Restarted,
    /// A node's address is not learned.
    CannotLearn,
    /// Its peers cannot reach a node by its address.
    CannotReach,
    /// A command cannot be run in a node's container.
    CannotExec,
    /// A node's file cannot be written.
    CannotWriteFile,
    /// A node is not restarted, though it should be.
    RestartWaits,
    /// The configuration file as it is now cannot be used.
    ConfigurationRefused,
    /// Torch does not see what changes in the cluster.
    CannotWatch,
    /// Torch's certificates are not as they should be.
    CannotKeepCertificates,
    /// The address book is not saved.
    CannotSaveBook,
    /// What the admission policy injects from is not as it should be.
    CannotKeepInjection,
    /// Torch cannot tell who may call REST.
    CannotAuthorize,
    /// Torch cannot take part in the election of the leader.
    CannotStand,
}

impl Reason {
    fn name(self) -> String {
        format!("{self:?}")
    }

    fn is_warning(self) -> bool {
        !matches!(self, Self::AddressLearned | Self::Injected | Self::Restarted)
    }

    /// What was done, or was to be done, when it happened.
    fn action(self) -> &'static str {
        match self {
            Self::AddressLearned | Self::CannotLearn => "Learn",
            Self::CannotReach => "Dial",
            Self::CannotExec => "Exec",
            Self::CannotWriteFile => "Deliver",
            Self::Injected => "Admit",
            Self::Restarted | Self::RestartWaits => "Evict",
            Self::ConfigurationRefused => "Reload",
            Self::CannotWatch => "Watch",
            Self::CannotKeepCertificates => "KeepCertificates",
            Self::CannotSaveBook => "Save",
            Self::CannotKeepInjection => "KeepInjection",
            Self::CannotAuthorize => "Authorize",
            Self::CannotStand => "Elect",
        }
    }
}

/// What an Event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Regarding {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
}

impl Regarding {
    fn pod(name: &str, uid: &str) -> Self {
        Self { api_version: "v1".into(), kind: "Pod".into(), name: name.into(), uid: uid.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Told {
    regarding: Regarding,
    reason: Reason,
    note: String,
}

/// Where Events are told.
#[derive(Clone)]
pub struct Events {
    api: Api<Event>,
    queue: mpsc::Sender<Told>,
    /// Torch's own pod, where it runs in one.
    torch: Option<Regarding>,
}

impl Events {
    /// Writes them to this namespace, in a task of its own that ends with the last of those who tell.
    pub(super) fn new(client: Client, namespace: String) -> Self {
        let (queue, told) = mpsc::channel(MOST_WAITING);
        let torch = env::var("POD_NAME").ok().zip(env::var("POD_UID").ok());
        let torch = torch.map(|(pod, uid)| Regarding::pod(&pod, &uid));
        let by = torch.as_ref().map_or_else(|| "torch".into(), |torch| torch.name.clone());
        let api: Api<Event> = Api::namespaced(client, &namespace);
        tokio::spawn(Writer { api: api.clone(), namespace, by }.run(told));
        Self { api, queue, torch }
    }

    /// Tells what befalls a node.
    pub fn about_node(&self, pod: &str, uid: &str, reason: Reason, note: impl Into<String>) {
        self.tell(Regarding::pod(pod, uid), reason, note.into());
    }

    /// Tells what befalls a node's controller.
    pub fn about_owner(&self, owner: &Owner, reason: Reason, note: impl Into<String>) {
        let Owner { api_version, kind, name, uid } = owner.clone();
        self.tell(Regarding { api_version, kind, name, uid }, reason, note.into());
    }

    /// Tells what befalls Torch.
    pub fn about_torch(&self, reason: Reason, note: impl Into<String>) {
        if let Some(torch) = &self.torch {
            self.tell(torch.clone(), reason, note.into());
        }
    }

    /// What any Torch has told of a node's pods and is kept yet, oldest first: when, the reason, the note.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn of_node(&self, pod: &str) -> Result<Vec<(Timestamp, String, String)>, Error> {
        let by = format!("reportingController={CONTROLLER},regarding.kind=Pod,regarding.name={pod}");
        let only = ListParams::default().fields(&by);
        let events = call(|| format!("list events of {pod}"), self.api.list(&only)).await?;
        let told = |event: Event| Some((event.event_time?.0, event.reason?, event.note?));
        let mut told: Vec<_> = events.items.into_iter().filter_map(told).collect();
        told.sort();
        Ok(told)
    }

    fn tell(&self, regarding: Regarding, reason: Reason, note: String) {
        if reason.is_warning() || self.queue.capacity() > FOR_WARNINGS {
            let _ = self.queue.try_send(Told { regarding, reason, note });
        }
    }
}

struct Writer {
    api: Api<Event>,
    namespace: String,
    /// Who says it.
    by: String,
}

impl Writer {
    async fn run(self, mut told: mpsc::Receiver<Told>) {
        let mut recent = Recent::default();
        let mut failing = false;
        while let Some(told) = told.recv().await {
            if !recent.is_new(&told, Instant::now()) {
                continue;
            }
            match self.write(told).await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "cannot tell an Event; such are lost");
                    }
                }
            }
            tokio::time::sleep(PACE).await;
        }
    }

    async fn write(&self, told: Told) -> Result<(), Error> {
        let event = event(told, &self.namespace, &self.by, Timestamp::now());
        call(|| "create events".into(), self.api.create(&PostParams::default(), &event)).await.map(drop)
    }
}

fn event(told: Told, namespace: &str, by: &str, now: Timestamp) -> Event {
    let Regarding { api_version, kind, name, uid } = told.regarding;
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        action: Some(told.reason.action().into()),
        event_time: Some(MicroTime(now)),
        note: Some(shortened(told.note)),
        reason: Some(told.reason.name()),
        regarding: Some(ObjectReference {
            api_version: Some(api_version),
            kind: Some(kind),
            name: Some(name),
            namespace: Some(namespace.to_owned()),
            uid: Some(uid),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(CONTROLLER.into()),
        reporting_instance: Some(by.to_owned()),
        type_: Some(if told.reason.is_warning() { "Warning" } else { "Normal" }.into()),
        ..Event::default()
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > MAX_NOTE {
        let cut = (0..=MAX_NOTE - "…".len()).rev().find(|&at| note.is_char_boundary(at));
        note.truncate(cut.unwrap_or_default());
        note.push('…');
    }
    note
}

/// What was told a short while ago.
#[derive(Default)]
struct Recent(HashMap<Told, Instant>);

impl Recent {
    fn is_new(&mut self, told: &Told, now: Instant) -> bool {
        self.0.retain(|_, at| now < *at + AGAIN);
        let is_new = !self.0.contains_key(told);
        if is_new {
            self.0.insert(told.clone(), now);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(note: &str) -> Told {
        Told { regarding: Regarding::pod("da-0", "u"), reason: Reason::CannotExec, note: note.into() }
    }

    #[test]
    fn the_same_is_told_again_only_after_a_while() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        assert!(recent.is_new(&told("a"), now));
        assert!(recent.is_new(&told("b"), now));
        assert!(!recent.is_new(&told("a"), now + AGAIN / 2));
        assert!(recent.is_new(&told("a"), now + AGAIN));
        assert_eq!(recent.0.len(), 1, "what is old is not kept");
    }

    #[test]
    fn a_note_fits() {
        assert_eq!(shortened("é".repeat(512)), "é".repeat(512));
        let long = shortened("é".repeat(513));
        assert!(long.len() <= MAX_NOTE && long.ends_with("é…"), "{} bytes", long.len());
    }

    #[test]
    fn an_event_is_about_the_very_pod() {
        let event = event(told("why"), "nodes", "torch-1", Timestamp::UNIX_EPOCH);
        let regarding = event.regarding.unwrap();
        assert_eq!((regarding.kind.as_deref(), regarding.uid.as_deref()), (Some("Pod"), Some("u")));
        assert_eq!((event.reason.as_deref(), event.action.as_deref()), (Some("CannotExec"), Some("Exec")));
        assert_eq!(
            (event.metadata.name.as_deref(), event.type_.as_deref()),
            (Some("da-0.0"), Some("Warning"))
        );
    }
}
