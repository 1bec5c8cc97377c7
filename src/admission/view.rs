//! The parts of an AdmissionReview that the decision rests on, borrowed from its bytes.

mod lazy;
mod read;
mod scan;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub(super) use read::read;

/// The longest uid that is answered to, in bytes; an API server's have 36.
const MAX_UID: usize = 128;

/// How many entries a list or map of a pod may have. What is read of an entry can be ten times as large as
/// its text, so that without a bound one review could take more memory than there is.
const MOST_ENTRIES: usize = 10_000;

/// A text of the review; it is copied only where it has escapes.
#[derive(Default, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// What is asked.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub uid: Text<'a>,
    kind: Kind<'a>,
    operation: Text<'a>,
    /// Empty for a pod that is yet to be given a name.
    pub name: Text<'a>,
    pub namespace: Text<'a>,
    metadata: Option<Metadata<'a>>,
    spec: Spec<'a>,
}

/// The pod that is asked about.
#[derive(Clone, Copy)]
pub(super) struct Pod<'r, 'a> {
    pub metadata: &'r Metadata<'a>,
    pub spec: &'r Spec<'a>,
}

impl<'a> Request<'a> {
    /// The pod whose creation this asks about.
    pub fn created_pod(&self) -> Option<Pod<'_, 'a>> {
        let Kind { group, version, kind } = &self.kind;
        let is_creation = [&**group, version, kind, &self.operation] == ["", "v1", "Pod", "CREATE"];
        let metadata = self.metadata.as_ref().filter(|_| is_creation)?;
        Some(Pod { metadata, spec: &self.spec })
    }
}

/// As little of a review as lets it be answered.
#[derive(Deserialize)]
pub(super) struct Addressed<'a> {
    #[serde(borrow)]
    pub request: Asked<'a>,
}

#[derive(Deserialize)]
pub(super) struct Asked<'a> {
    #[serde(borrow)]
    pub uid: Uid<'a>,
}

/// The answer carries a copy of it.
pub(super) struct Uid<'a>(pub Text<'a>);

#[derive(Default, Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default)]
    group: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
}

#[derive(Default)]
pub(super) struct Metadata<'a> {
    pub name: Option<Text<'a>>,
    labels: Option<Map<'a>>,
    pub annotations: Option<Map<'a>>,
    pub owner_references: Option<Few<OwnerReference<'a>>>,
    /// As they are written.
    managed_fields: Option<&'a [u8]>,
}

impl Metadata<'_> {
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key)
    }

    /// Whether the annotation has come in the course of this admission: the API server notes who sets
    /// which fields before that begins.
    pub fn was_given(&self, annotation: &str) -> bool {
        let noted = |fields| str::from_utf8(fields).is_ok_and(|f| f.contains(&format!("\"f:{annotation}\"")));
        self.annotation(annotation).is_some() && self.managed_fields.is_some_and(|fields| !noted(fields))
    }
}

/// Labels or annotations. Of the few that a pod has, few are looked for.
pub(super) struct Map<'a>(Vec<(Text<'a>, Text<'a>)>);

impl Map<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|entry| *entry.0 == *key).map(|entry| &*entry.1)
    }

    /// How many bytes its keys and values have.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

#[derive(Deserialize)]
pub(super) struct OwnerReference<'a> {
    #[serde(borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
    pub controller: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec<'a> {
    #[serde(borrow)]
    containers: Option<Few<Container<'a>>>,
    #[serde(borrow)]
    init_containers: Option<Few<Container<'a>>>,
    #[serde(borrow)]
    pub volumes: Option<Few<Volume<'a>>>,
    pub security_context: Option<SecurityContext>,
}

impl<'a> Spec<'a> {
    /// All containers, init containers included.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container<'a>> {
        self.containers.iter().chain(&self.init_containers).flatten()
    }

    /// The container of that name and its JSON pointer. An init container counts where it is a
    /// sidecar, that is, runs as long as the pod does.
    pub fn find(&self, name: &str) -> Option<(String, &Container<'a>)> {
        let in_list =
            |list: &'_ Option<Few<Container<'a>>>| list.as_ref()?.iter().position(|c| *c.name == *name);
        if let Some(i) = in_list(&self.containers) {
            return Some((format!("/spec/containers/{i}"), &self.containers.as_ref()?[i]));
        }
        let i = in_list(&self.init_containers)?;
        let sidecar = &self.init_containers.as_ref()?[i];
        (sidecar.restart_policy.as_deref() == Some("Always"))
            .then(|| (format!("/spec/initContainers/{i}"), sidecar))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub env: Option<Few<Variable<'a>>>,
    #[serde(borrow)]
    pub volume_mounts: Option<Few<VolumeMount<'a>>>,
    #[serde(borrow)]
    pub volume_devices: Option<Few<VolumeDevice<'a>>>,
    pub security_context: Option<SecurityContext>,
    #[serde(borrow)]
    restart_policy: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Variable<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub value: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeMount<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub mount_path: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeDevice<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub device_path: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub persistent_volume_claim: Option<Claim<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Claim<'a> {
    #[serde(borrow)]
    pub claim_name: Text<'a>,
    #[serde(default)]
    pub read_only: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecurityContext {
    pub run_as_user: Option<i64>,
    pub fs_group: Option<i64>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Uid<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let uid = Text::deserialize(deserializer)?;
        match uid.len() {
            0 => Err(D::Error::custom("the uid is empty")),
            1..=MAX_UID => Ok(Self(uid)),
            _ => Err(D::Error::custom("the uid is too long")),
        }
    }
}

/// A list of [`MOST_ENTRIES`] at most.
pub(super) struct Few<T>(Vec<T>);

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'l, T> IntoIterator for &'l Few<T> {
    type Item = &'l T;
    type IntoIter = std::slice::Iter<'l, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        gather(|| entries.next_element()).map(Few)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Map<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor)
    }
}

struct MapVisitor;

impl<'de> Visitor<'de> for MapVisitor {
    type Value = Map<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        gather(|| entries.next_entry()).map(Map)
    }
}

fn gather<T, E: Error>(mut next: impl FnMut() -> Result<Option<T>, E>) -> Result<Vec<T>, E> {
    let mut list = Vec::new();
    while let Some(entry) = next()? {
        if list.len() == MOST_ENTRIES {
            return Err(E::custom(format_args!("more than {MOST_ENTRIES} entries")));
        }
        list.push(entry);
    }
    Ok(list)
}
