//! The parts of an AdmissionReview that the decision rests on, borrowed from its bytes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The longest uid that is answered to, in bytes; an API server's have 36.
const MAX_UID: usize = 128;

/// How many entries a list or map of a pod may have. What is read of an entry can be ten times as large as
/// its text, so that without a bound one review could take more memory than there is.
const MOST_ENTRIES: usize = 10_000;

type Text<'a> = Cow<'a, str>;
type Map<'a> = HashMap<Text<'a>, Text<'a>>;

#[derive(Deserialize)]
pub(super) struct Review<'a> {
    #[serde(borrow)]
    pub request: Request<'a>,
}

#[derive(Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow, deserialize_with = "uid")]
    pub uid: Text<'a>,
    #[serde(borrow)]
    pub kind: Kind<'a>,
    #[serde(borrow)]
    pub operation: Text<'a>,
    /// Empty for a pod that is yet to be given a name.
    #[serde(borrow, default)]
    pub name: Text<'a>,
    #[serde(borrow, default)]
    pub namespace: Text<'a>,
    #[serde(borrow)]
    object: Option<Pod<'a>>,
}

impl<'a> Request<'a> {
    /// The pod whose creation this asks about.
    pub fn created_pod(&self) -> Option<&Pod<'a>> {
        let is_pod = self.kind.group.is_empty() && self.kind.version == "v1" && self.kind.kind == "Pod";
        self.object.as_ref().filter(|_| is_pod && self.operation == "CREATE")
    }
}

/// As little of a review as lets it be answered.
#[derive(Deserialize)]
pub(super) struct Addressed<'a> {
    #[serde(borrow)]
    pub request: Uid<'a>,
}

#[derive(Deserialize)]
pub(super) struct Uid<'a> {
    #[serde(borrow, deserialize_with = "uid")]
    pub uid: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct Kind<'a> {
    #[serde(borrow, default)]
    group: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct Pod<'a> {
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
    #[serde(borrow, default)]
    pub spec: Spec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "few_entries")]
    labels: Option<Map<'a>>,
    #[serde(borrow, default, deserialize_with = "few_entries")]
    pub annotations: Option<Map<'a>>,
    #[serde(borrow, default, deserialize_with = "few")]
    pub owner_references: Option<Vec<OwnerReference<'a>>>,
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

impl Metadata<'_> {
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(AsRef::as_ref)
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key).map(AsRef::as_ref)
    }

    /// Whether the annotation has come in the course of this admission: the API server notes who sets
    /// which fields before that begins.
    pub fn was_given(&self, annotation: &str) -> bool {
        let noted = |fields: &RawValue| fields.get().contains(&format!("\"f:{annotation}\""));
        self.annotation(annotation).is_some() && self.managed_fields.is_some_and(|fields| !noted(fields))
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
    #[serde(borrow, default, deserialize_with = "few")]
    containers: Option<Vec<Container<'a>>>,
    #[serde(borrow, default, deserialize_with = "few")]
    init_containers: Option<Vec<Container<'a>>>,
    #[serde(borrow, default, deserialize_with = "few")]
    pub volumes: Option<Vec<Volume<'a>>>,
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
            |list: &'_ Option<Vec<Container<'a>>>| list.as_ref()?.iter().position(|c| c.name == name);
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
    #[serde(borrow, default, deserialize_with = "few")]
    pub env: Option<Vec<Variable<'a>>>,
    #[serde(borrow, default, deserialize_with = "few")]
    pub volume_mounts: Option<Vec<VolumeMount<'a>>>,
    #[serde(borrow, default, deserialize_with = "few")]
    pub volume_devices: Option<Vec<VolumeDevice<'a>>>,
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

/// A uid; the answer carries a copy of it.
fn uid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
    #[derive(Deserialize)]
    struct Uid<'a>(#[serde(borrow)] Text<'a>);

    let Uid(uid) = Uid::deserialize(deserializer)?;
    if uid.len() > MAX_UID { Err(D::Error::custom("the uid is too long")) } else { Ok(uid) }
}

/// A list of [`MOST_ENTRIES`] at most, or null.
fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Vec<T>>, D::Error> {
    deserializer.deserialize_any(Few(PhantomData))
}

/// The same of a map.
fn few_entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Map<'de>>, D::Error> {
    deserializer.deserialize_any(FewEntries)
}

struct Few<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {MOST_ENTRIES} entries at most")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if list.len() == MOST_ENTRIES {
                return Err(A::Error::invalid_length(list.len() + 1, &self));
            }
            list.push(entry);
        }
        Ok(Some(list))
    }
}

struct FewEntries;

impl<'de> Visitor<'de> for FewEntries {
    type Value = Option<Map<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of {MOST_ENTRIES} entries at most")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, text)) = entries.next_entry()? {
            if map.len() == MOST_ENTRIES {
                return Err(A::Error::invalid_length(map.len() + 1, &self));
            }
            map.insert(key, text);
        }
        Ok(Some(map))
    }
}
