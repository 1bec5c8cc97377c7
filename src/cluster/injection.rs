//! The ConfigMaps from which the policy below the webhook injects.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::Stream;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::{ObjectMeta, PartialObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use serde_json::{Value, json};

use super::watch::changes;
use super::{Change, Cluster, Error, call, found};

/// The label by which the policy's binding finds them.
const LABEL: (&str, &str) = ("torch.celestia.org/injection", "true");

/// A ConfigMap of the policy, as it was last read or written.
#[derive(Clone, Debug, PartialEq)]
pub struct InjectionMap {
    /// Its version; another one after every change.
    pub version: String,
    labelled: bool,
    entries: Arc<BTreeMap<String, String>>,
}

impl InjectionMap {
    /// Whether it is as it should be.
    pub fn holds(&self, entries: &BTreeMap<String, String>) -> bool {
        self.labelled && *self.entries == *entries
    }

    /// The merge patch that makes it hold these entries, if it is still of this version.
    fn patch(&self, entries: &BTreeMap<String, String>) -> Value {
        let put = entries.iter().filter(|(key, text)| self.entries.get(*key) != Some(text));
        let gone = self.entries.keys().filter(|key| !entries.contains_key(*key));
        let data: BTreeMap<&str, Option<&str>> = put
            .map(|(key, text)| (key.as_str(), Some(text.as_str())))
            .chain(gone.map(|key| (key.as_str(), None)))
            .collect();
        json!({"metadata": {"resourceVersion": self.version, "labels": {LABEL.0: LABEL.1}}, "data": data})
    }
}

/// The name of the ConfigMap of that number.
fn name(number: usize) -> String {
    if number == 0 { "torch-injection".into() } else { format!("torch-injection-{number}") }
}

impl Cluster {
    /// Reads the ConfigMap of that number.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn injection_map(&self, number: usize) -> Result<Option<InjectionMap>, Error> {
        let (api, name) = (self.api::<ConfigMap>(), name(number));
        let map = found(call(|| format!("get configmap {name}"), api.get(&name)).await)?;
        Ok(map.map(|map| InjectionMap {
            version: map.metadata.resource_version.unwrap_or_default(),
            labelled: map
                .metadata
                .labels
                .is_some_and(|labels| labels.get(LABEL.0).is_some_and(|v| v == LABEL.1)),
            // Nothing of Torch's is binary.
            entries: Arc::new(map.data.unwrap_or_default()),
        }))
    }

    /// Writes what differs from `before`; gives what is there then. `None`: somebody else has written
    /// meanwhile, and nothing was done.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn write_injection_map(
        &self,
        number: usize,
        before: Option<&InjectionMap>,
        entries: &Arc<BTreeMap<String, String>>,
    ) -> Result<Option<InjectionMap>, Error> {
        let name = name(number);
        let written = match before {
            Some(before) => {
                let (params, patch) = (PatchParams::default(), Patch::Merge(before.patch(entries)));
                // The answer is the metadata alone.
                let api: Api<ConfigMap> = self.api();
                let act = || format!("patch configmap {name}");
                call(act, api.patch_metadata(&name, &params, &patch)).await.map(|map| map.metadata)
            }
            None => self.create_injection_map(number, entries).await,
        };
        match written {
            Ok(metadata) => Ok(Some(InjectionMap {
                version: metadata.resource_version.unwrap_or_default(),
                labelled: true,
                entries: Arc::clone(entries),
            })),
            Err(error) if error.is_overtaken() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create_injection_map(
        &self,
        number: usize,
        entries: &BTreeMap<String, String>,
    ) -> Result<ObjectMeta, Error> {
        let name = name(number);
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some([(LABEL.0.to_owned(), LABEL.1.to_owned())].into()),
            owner_references: if number == 0 { None } else { Some(vec![self.first_injection_map().await?]) },
            ..ObjectMeta::default()
        };
        let map = ConfigMap { metadata, data: Some(entries.clone()), ..ConfigMap::default() };
        let api: Api<ConfigMap> = self.api();
        let params = PostParams::default();
        call(|| format!("create configmap {name}"), api.create(&params, &map)).await.map(|map| map.metadata)
    }

    /// The one that is in the manifests: whoever deletes these is rid of all.
    async fn first_injection_map(&self) -> Result<OwnerReference, Error> {
        let (api, name) = (self.api::<ConfigMap>(), name(0));
        let first = call(|| format!("get configmap {name}"), api.get_metadata(&name)).await?;
        let uid = first.metadata.uid.unwrap_or_default();
        Ok(OwnerReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            name,
            uid,
            ..OwnerReference::default()
        })
    }

    /// The version of the ConfigMap of that number, as it changes.
    pub fn injection_versions(&self, number: usize) -> impl Stream<Item = Change<String>> + Send + use<> {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", name(number)));
        changes(
            self.events.clone(),
            "configmaps torch-injection",
            self.api::<PartialObjectMeta<ConfigMap>>(),
            config,
            |map| map.metadata.resource_version,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn only_what_differs_is_written() {
        let map = |labelled| InjectionMap {
            version: "7".into(),
            labelled,
            entries: Arc::new(entries(&[("same", "1"), ("other", "2"), ("gone", "3")])),
        };
        let wanted = entries(&[("same", "1"), ("other", "9"), ("new", "4")]);
        let metadata = json!({"resourceVersion": "7", "labels": {"torch.celestia.org/injection": "true"}});
        let data = json!({"other": "9", "new": "4", "gone": null});
        assert_eq!(map(true).patch(&wanted), json!({"metadata": metadata, "data": data}));
        assert!(!map(true).holds(&wanted));
        assert!(map(true).holds(&map(true).entries) && !map(false).holds(&map(true).entries));
    }
}
