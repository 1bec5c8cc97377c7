//! Admission: what a pod gets when it is created. Pure: review, configuration and book in, patch out.
//!
//! The review is read as a lean borrowed view of the raw JSON, and the patch operations are written by
//! hand onto that JSON, so a field that this build does not know is never touched.

mod mount;
mod patch;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::prelude::BASE64_STANDARD as BASE64;
use memchr::memmem::Finder;

use crate::peers::{INJECT, INJECTED, MAX_VARIABLE, TRUSTED_PEERS, Who, join, workload};
use crate::view::{Mesh, Snapshot};

pub use mount::NoMount;
use mount::{Mount, mount};
pub use patch::{Operation, Patch};
use patch::{as_json, variable};
use view::{Container, Map, Pod, Request, Variable};

/// How long all annotations of an object may be together, in bytes (Kubernetes' `TotalAnnotationSizeLimitB`).
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Finds [`TRUSTED_PEERS`] in what a container is given.
static VARIABLE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(TRUSTED_PEERS));

/// [`INJECTED`] within a JSON pointer.
const INJECTED_POINTER: &str = "torch.celestia.org~1injected";

/// By what this machine's processor can, where that is known: a twentieth of all that a review costs less.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static BASE64: LazyLock<base64::engine::Simd> =
    LazyLock::new(|| base64::engine::Simd::standard(base64::engine::general_purpose::PAD));

/// What is decided on, beside the request itself.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The namespace that this Torch serves.
    pub namespace: &'a str,
    /// The configuration in force, and what is known.
    pub snapshot: &'a Snapshot,
}

/// Why a pod was admitted unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unchanged {
    /// It is not the creation of a pod.
    NotAPodCreation,
    /// Another namespace's pod: the webhook is registered too widely.
    OtherNamespace,
    /// The configuration does not name it.
    NotConfigured,
    /// The kubelet's image of a static pod cannot be changed.
    MirrorPod,
    /// It has the annotation `torch.celestia.org/inject: "false"`.
    OptedOut,
    /// It has no container of the configured name.
    UnknownContainer,
    /// Its author, or an earlier pass, has set the variable.
    AlreadySet,
    /// The address of none of its peers is known.
    NothingKnown,
    /// The value is longer than an environment variable can be.
    ValueTooLong,
    /// The review could not be read.
    Unreadable,
}

impl Unchanged {
    /// Its value of the metric label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotAPodCreation => "not_a_pod_creation",
            Self::OtherNamespace => "other_namespace",
            Self::NotConfigured => "not_configured",
            Self::MirrorPod => "mirror_pod",
            Self::OptedOut => "opted_out",
            Self::UnknownContainer => "unknown_container",
            Self::AlreadySet => "already_set",
            Self::NothingKnown => "nothing_known",
            Self::ValueTooLong => "value_too_long",
            Self::Unreadable => "unreadable",
        }
    }

    /// What it means, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotAPodCreation => "it is not the creation of a pod",
            Self::OtherNamespace => "the pod is in another namespace than Torch serves",
            Self::NotConfigured => "the configuration names neither the pod nor its workload",
            Self::MirrorPod => "it is a static pod's mirror, which only the kubelet changes",
            Self::OptedOut => "the pod opted out by the annotation torch.celestia.org/inject",
            Self::UnknownContainer => "the pod has no container of the configured containerName",
            Self::AlreadySet => "the container has TRUSTED_PEERS as it is",
            Self::NothingKnown => "the address of none of its peers is known",
            Self::ValueTooLong => "its peers' addresses are longer than an environment variable can be",
            Self::Unreadable => "the pod cannot be read",
        }
    }
}

/// What is done with a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is admitted as it is.
    Unchanged(Unchanged),
    /// It gets the variable and, unless it says why not, the mount.
    Injected {
        /// What is done with the pod.
        patch: Patch,
        /// Why no mount was added, where none was.
        no_mount: Option<NoMount>,
    },
    /// The API server's policy has just injected, from what was known a moment ago.
    Given {
        /// What is done with the pod: nothing, unless more is known by now.
        patch: Patch,
        /// Why no mount was added, where none was.
        no_mount: Option<NoMount>,
    },
}

impl Decision {
    /// Its value of the metric label `reason`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unchanged(why) => why.label(),
            Self::Injected { no_mount: None, .. } => "injected_with_mount",
            Self::Injected { no_mount: Some(why), .. } => why.label(),
            Self::Given { patch, .. } if patch.is_empty() => Unchanged::AlreadySet.label(),
            Self::Given { .. } => "refreshed",
        }
    }

    /// What is to be done with the pod.
    pub fn patch(&self) -> &Patch {
        const NOTHING: &Patch = &Patch::nothing();
        match self {
            Self::Unchanged(_) => NOTHING,
            Self::Injected { patch, .. } | Self::Given { patch, .. } => patch,
        }
    }

    /// What it means, for people.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::Unchanged(why) => why.sentence(),
            Self::Given { patch, .. } if patch.is_empty() => Unchanged::AlreadySet.sentence(),
            Self::Injected { no_mount, .. } | Self::Given { no_mount, .. } => match no_mount {
                None => "TRUSTED_PEERS set; file kept on a volume",
                Some(why) => why.sentence(),
            },
        }
    }

    fn warning(&self) -> Option<&'static str> {
        match self {
            Self::Unchanged(_) => None,
            Self::Injected { no_mount, .. } | Self::Given { no_mount, .. } => {
                no_mount.and_then(NoMount::warning)
            }
        }
    }
}

/// The length of an answer without its patch, in bytes; it is no limit.
const ANSWER: usize = 256;

/// The answer to one review.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// What was decided, for the metrics.
    pub decision: Decision,
    /// The `AdmissionReview` to send.
    pub body: Vec<u8>,
}

/// The body is not an AdmissionReview, so there is nobody to answer.
#[derive(Debug, thiserror::Error)]
#[error("the body is not an AdmissionReview with a request and its uid: {0}")]
pub struct NotAReview(serde_json::Error);

/// Answers a review: always allowed, perhaps with a patch.
///
/// # Errors
/// Only where there is no `request.uid`, of at most 128 bytes, to answer to, or none can be told.
pub fn review(body: &[u8], input: Input<'_>) -> Result<Answer, NotAReview> {
    match view::read(body, |request| concerned(request, input).is_ok()) {
        Some(request) => Ok(answer(&request.uid, decide(&request, input))),
        None => {
            let view::Addressed { request } = serde_json::from_slice(body).map_err(NotAReview)?;
            Ok(answer(&request.uid.0, Decision::Unchanged(Unchanged::Unreadable)))
        }
    }
}

fn decide(request: &Request<'_>, input: Input<'_>) -> Decision {
    match changes(request, input) {
        Ok(injected) => injected,
        Err(why) => Decision::Unchanged(why),
    }
}

/// A pod that the configuration names, and that does not say no.
struct Concerned<'r, 'a> {
    pod: Pod<'r, 'a>,
    who: Who<'r>,
    mesh: Arc<Mesh>,
}

/// What can be told without the pod's spec.
fn concerned<'r, 'a>(request: &'r Request<'a>, input: Input<'_>) -> Result<Concerned<'r, 'a>, Unchanged> {
    let pod = request.created_pod().ok_or(Unchanged::NotAPodCreation)?;
    if request.namespace != *input.namespace {
        return Err(Unchanged::OtherNamespace);
    }
    let who = Who { pod: pod.metadata.name.as_ref().unwrap_or(&request.name), workload: workload_of(pod) };
    let mesh = input.snapshot.mesh(who).ok_or(Unchanged::NotConfigured)?;
    if pod.metadata.annotation("kubernetes.io/config.mirror").is_some() {
        return Err(Unchanged::MirrorPod);
    }
    if pod.metadata.annotation(INJECT) == Some("false") {
        return Err(Unchanged::OptedOut);
    }
    Ok(Concerned { pod, who, mesh })
}

fn changes(request: &Request<'_>, input: Input<'_>) -> Result<Decision, Unchanged> {
    let Concerned { pod, who, mesh } = concerned(request, input)?;
    let settings = mesh.config.settings(who).ok_or(Unchanged::NotConfigured)?;
    let (at, container) = pod.spec.find(&settings.container_name).ok_or(Unchanged::UnknownContainer)?;
    let set = container.variable(&VARIABLE).ok_or(Unchanged::Unreadable)?;
    if set.is_some() && !pod.metadata.was_given(INJECTED) {
        return Err(Unchanged::AlreadySet);
    }
    let value = join(&mesh.trusted_peers(who));
    if value.is_empty() {
        return Err(if set.is_some() { Unchanged::AlreadySet } else { Unchanged::NothingKnown });
    }
    if TRUSTED_PEERS.len() + value.len() + 2 > MAX_VARIABLE {
        return Err(Unchanged::ValueTooLong);
    }
    let mounts = container.mounts().ok_or(Unchanged::Unreadable)?;
    let mount = mount(settings, pod.spec, container, &mounts);
    if let Some(set) = set {
        let mounted = pod.metadata.annotation(INJECTED) != Some(TRUSTED_PEERS);
        let no_mount = mount.err().filter(|_| !mounted);
        return Ok(Decision::Given { patch: refresh(&at, set, &value), no_mount });
    }
    let patch = patch(pod, &at, container, &value, mount.as_ref().ok());
    Ok(Decision::Injected { patch, no_mount: mount.err() })
}

fn workload_of<'r>(pod: Pod<'r, '_>) -> Option<&'r str> {
    let owner = pod.metadata.owner_references.iter().flatten().find(|o| o.controller == Some(true))?;
    Some(workload(&owner.kind, &owner.name, pod.metadata.label("pod-template-hash")))
}

fn patch(
    pod: Pod<'_, '_>,
    at: &str,
    container: &Container<'_>,
    value: &str,
    mount: Option<&Mount<'_>>,
) -> Patch {
    let mut patch = Patch::default();
    patch.append([at, "/env"], container.env.is_some(), variable(TRUSTED_PEERS, value));
    if let Some(mount) = mount {
        if let Some(volume) = mount.volume() {
            patch.append(["/spec", "/volumes"], pod.spec.volumes.is_some(), as_json(&volume));
        }
        patch.append(
            [at, "/volumeMounts"],
            container.volume_mounts.is_some(),
            as_json(&mount.volume_mount()),
        );
    }
    annotate(&mut patch, pod, if mount.is_some() { "TRUSTED_PEERS, volumeMount" } else { TRUSTED_PEERS });
    patch
}

/// Replaces a variable's value by the one of now, unless it is the same.
fn refresh(at: &str, (i, variable): (usize, Variable<'_>), value: &str) -> Patch {
    let mut patch = Patch::default();
    if variable.value.is_some_and(|before| before != *value) {
        patch.replace(&[at, "/env/", &i.to_string(), "/value"], &value);
    }
    patch
}

/// Says in the pod what was done with it, where there is room: annotations have a limit in all.
fn annotate(patch: &mut Patch, pod: Pod<'_, '_>, done: &str) {
    let annotations = pod.metadata.annotations.as_ref();
    if annotations.map_or(0, Map::size) + INJECTED.len() + done.len() > MAX_ANNOTATIONS {
        return;
    }
    match annotations {
        Some(_) => patch.add(&["/metadata/annotations/", INJECTED_POINTER], &done),
        None => patch.add(&["/metadata/annotations"], &BTreeMap::from([(INJECTED, done)])),
    }
}

/// As the API documents it: the patch in base64. Written by hand, since there is nothing to escape in base64.
fn answer(uid: &str, decision: Decision) -> Answer {
    let patch = decision.patch().json();
    let mut body = Vec::with_capacity(ANSWER + uid.len() + patch.len() / 3 * 4);
    body.extend_from_slice(
        br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"#,
    );
    as_json(&uid)(&mut body);
    body.extend_from_slice(br#","allowed":true"#);
    if !patch.is_empty() {
        body.extend_from_slice(br#","patchType":"JSONPatch","patch":""#);
        in_base64(patch, &mut body);
        body.push(b'"');
    }
    if let Some(warning) = decision.warning() {
        body.extend_from_slice(br#","warnings":"#);
        as_json(&[warning])(&mut body);
    }
    body.extend_from_slice(b"}}");
    Answer { body, decision }
}

fn in_base64(patch: &[u8], body: &mut Vec<u8>) {
    let at = body.len();
    body.resize(at + patch.len().div_ceil(3) * 4, 0);
    BASE64.encode_slice(patch, &mut body[at..]).expect("there is room for four bytes in place of three");
}

#[cfg(test)]
mod tests;
