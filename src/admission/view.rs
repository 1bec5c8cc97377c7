//! The parts of an AdmissionReview that the decision rests on, borrowed from its bytes.

mod json;
mod read;
mod scan;

use memchr::memmem::Finder;
use serde::Deserialize;

use json::{Json, List, Read, Readable, Text};
pub(super) use read::read;

/// The longest uid that is answered to, in bytes; an API server's have 36.
const MAX_UID: usize = 128;

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
        let is_pod = group.is_empty() && *version == *"v1" && *kind == *"Pod";
        let is_creation = is_pod && self.operation == *"CREATE";
        let metadata = self.metadata.as_ref().filter(|_| is_creation)?;
        Some(Pod { metadata, spec: &self.spec })
    }
}

/// As little of a review as lets it be answered.
#[derive(Deserialize)]
pub(super) struct Addressed {
    pub request: Asked,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    pub uid: Uid,
}

/// The answer carries a copy of it.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Uid(pub String);

impl TryFrom<String> for Uid {
    type Error = &'static str;

    fn try_from(uid: String) -> Result<Self, Self::Error> {
        match uid.len() {
            0 => Err("the uid is empty"),
            1..=MAX_UID => Ok(Self(uid)),
            _ => Err("the uid is too long"),
        }
    }
}

#[derive(Default)]
struct Kind<'a> {
    group: Text<'a>,
    version: Text<'a>,
    kind: Text<'a>,
}

#[derive(Default)]
pub(super) struct Metadata<'a> {
    pub name: Option<Text<'a>>,
    labels: Option<Map<'a>>,
    pub annotations: Option<Map<'a>>,
    pub owner_references: Option<Vec<OwnerReference<'a>>>,
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
        self.0.iter().rev().find(|entry| entry.0 == *key).map(|entry| &*entry.1)
    }

    /// How many bytes its keys and values have.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

#[derive(Default)]
pub(super) struct OwnerReference<'a> {
    pub kind: Text<'a>,
    pub name: Text<'a>,
    pub controller: Option<bool>,
}

#[derive(Default)]
pub(super) struct Spec<'a> {
    containers: Option<Vec<Container<'a>>>,
    init_containers: Option<Vec<Container<'a>>>,
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
            |list: &'_ Option<Vec<Container<'a>>>| list.as_ref()?.iter().position(|c| c.name == *name);
        if let Some(i) = in_list(&self.containers) {
            return Some((format!("/spec/containers/{i}"), &self.containers.as_ref()?[i]));
        }
        let i = in_list(&self.init_containers)?;
        let sidecar = &self.init_containers.as_ref()?[i];
        (sidecar.restart_policy.as_deref() == Some("Always"))
            .then(|| (format!("/spec/initContainers/{i}"), sidecar))
    }
}

#[derive(Default)]
pub(super) struct Container<'a> {
    pub name: Text<'a>,
    pub env: Option<List<'a, Variable<'a>>>,
    pub volume_mounts: Option<List<'a, VolumeMount<'a>>>,
    pub volume_devices: Option<Vec<VolumeDevice<'a>>>,
    pub security_context: Option<SecurityContext>,
    restart_policy: Option<Text<'a>>,
}

impl<'a> Container<'a> {
    /// The last variable of that name, which counts, and the place where it is.
    pub fn variable(&self, name: &Finder<'_>) -> Read<Option<(usize, Variable<'a>)>> {
        let Some(env) = self.env.as_ref().filter(|env| env.may_have(name)) else { return Some(None) };
        let is_named = |variable: &Variable<'_>| variable.name.as_bytes() == name.needle();
        Some(env.read()?.into_iter().enumerate().rfind(|(_, variable)| is_named(variable)))
    }

    /// Its mounts.
    pub fn mounts(&self) -> Read<Vec<VolumeMount<'a>>> {
        self.volume_mounts.as_ref().map_or(Some(Vec::new()), List::read)
    }
}

#[derive(Default)]
pub(super) struct Variable<'a> {
    pub name: Text<'a>,
    pub value: Option<Text<'a>>,
}

#[derive(Default)]
pub(super) struct VolumeMount<'a> {
    pub name: Text<'a>,
    pub mount_path: Text<'a>,
    pub read_only: bool,
}

#[derive(Default)]
pub(super) struct VolumeDevice<'a> {
    pub name: Text<'a>,
    pub device_path: Text<'a>,
}

#[derive(Default)]
pub(super) struct Volume<'a> {
    pub name: Text<'a>,
    pub persistent_volume_claim: Option<Claim<'a>>,
}

#[derive(Default)]
pub(super) struct Claim<'a> {
    pub claim_name: Text<'a>,
    pub read_only: bool,
}

#[derive(Default)]
pub(super) struct SecurityContext {
    pub run_as_user: Option<i64>,
    pub fs_group: Option<i64>,
}

/// Reads the fields of a map by their names, as an API server does: `null` is as if it were not there. Others are
/// skipped; those in brackets may not be missing or empty.
macro_rules! readable {
    ($type:ty [$($needed:ident)*]: $($name:literal => $field:ident),+) => {
        impl<'a> Readable<'a> for $type {
            fn read(json: &mut Json<'a>) -> Read<Self> {
                let mut map = Self::default();
                json.fields(|field, json| {
                    match field {
                        $($name => map.$field = json.read::<Option<_>>()?.unwrap_or_default(),)+
                        _ => json.skip()?,
                    }
                    Some(())
                })?;
                let is_whole = true $(&& !map.$needed.is_empty())*;
                is_whole.then_some(map)
            }
        }
    };
}

readable!(Kind<'a> [version kind]: b"group" => group, b"version" => version, b"kind" => kind);
readable!(OwnerReference<'a> [kind name]: b"kind" => kind, b"name" => name, b"controller" => controller);
readable!(Spec<'a> []: b"containers" => containers, b"initContainers" => init_containers, b"volumes" => volumes,
    b"securityContext" => security_context);
readable!(Container<'a> [name]: b"name" => name, b"env" => env, b"volumeMounts" => volume_mounts,
    b"volumeDevices" => volume_devices, b"securityContext" => security_context, b"restartPolicy" => restart_policy);
readable!(Variable<'a> [name]: b"name" => name, b"value" => value);
readable!(VolumeMount<'a> [name mount_path]: b"name" => name, b"mountPath" => mount_path,
    b"readOnly" => read_only);
readable!(VolumeDevice<'a> [name device_path]: b"name" => name, b"devicePath" => device_path);
readable!(Volume<'a> [name]: b"name" => name, b"persistentVolumeClaim" => persistent_volume_claim);
readable!(Claim<'a> [claim_name]: b"claimName" => claim_name, b"readOnly" => read_only);
readable!(SecurityContext []: b"runAsUser" => run_as_user, b"fsGroup" => fs_group);

impl<'a> Readable<'a> for Map<'a> {
    fn read(json: &mut Json<'a>) -> Read<Self> {
        json.read().map(Self)
    }
}
