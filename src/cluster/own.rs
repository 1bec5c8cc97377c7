//! The objects that are Torch's own: the Secret with its certificates, the ConfigMap with its CA, and
//! the registration of its webhook.

use std::collections::BTreeMap;

use futures::Stream;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Change, Cluster, Error, call, found, watch::changes};

const SECRET: &str = "torch-tls";
const CA: &str = "torch-ca";

/// The key of the CAs in the ConfigMap.
const CA_CRT: &str = "ca.crt";

/// The Secret's entries, and the version that they are of.
#[derive(Clone, Default)]
pub struct Stored {
    /// Its entries.
    pub data: Entries,
    object: Option<Secret>,
}

/// What a Secret holds, in memory that is wiped when it is given back.
pub type Entries = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// One or more CAs in PEM.
pub type Ca = String;

/// The ConfigMap `torch-ca`.
#[derive(Clone, Debug)]
pub struct Published {
    version: String,
    /// The CAs in it, if there are any.
    pub ca: Option<Ca>,
}

impl Cluster {
    /// Loads the Secret with the certificates; it is empty where there is none.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn certificates(&self) -> Result<Stored, Error> {
        let api: Api<Secret> = self.api();
        let mut object = found(call(|| format!("get secret {SECRET}"), api.get(SECRET)).await)?;
        Ok(Stored { data: entries(object.as_mut().and_then(|secret| secret.data.take())), object })
    }

    /// Replaces the Secret's entries, unless somebody has written it since `before` was loaded; says
    /// whether it did.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn store_certificates(&self, before: Stored, data: Entries) -> Result<bool, Error> {
        let api: Api<Secret> = self.api();
        let data = data.into_iter().map(|(key, mut bytes)| (key, ByteString(std::mem::take(&mut bytes))));
        let data = Some(data.collect());
        let params = PostParams::default();
        let done = match before.object {
            Some(secret) => {
                let secret = Secret { data, ..secret };
                call(|| format!("update secret {SECRET}"), api.replace(SECRET, &params, &secret)).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(SECRET.into()), ..ObjectMeta::default() };
                let secret = Secret { metadata, data, ..Secret::default() };
                call(|| format!("create secret {SECRET}"), api.create(&params, &secret)).await
            }
        };
        unless_overtaken(done)
    }

    /// The entries of the Secret, as they change.
    pub fn stored_certificates(&self) -> impl Stream<Item = Change<Entries>> + Send + use<> {
        let config = watcher::Config::default().fields(&format!("metadata.name={SECRET}"));
        changes(self.events.clone(), "secret torch-tls", self.api::<Secret>(), config, |secret| {
            Some(entries(secret.data))
        })
    }

    /// Publishes the CAs in the ConfigMap `torch-ca`, unless somebody has written it since `before` was
    /// seen; says whether it did.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn publish_ca(&self, before: Option<&Published>, ca: &Ca) -> Result<bool, Error> {
        let api: Api<ConfigMap> = self.api();
        let data: BTreeMap<String, String> = [(CA_CRT.to_owned(), ca.clone())].into();
        let done = match before {
            Some(Published { version, .. }) => {
                let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "data": data}));
                call(|| format!("patch configmap {CA}"), api.patch(CA, &PatchParams::default(), &patch)).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(CA.into()), ..ObjectMeta::default() };
                let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
                call(|| format!("create configmap {CA}"), api.create(&PostParams::default(), &map)).await
            }
        };
        unless_overtaken(done)
    }

    /// The ConfigMap `torch-ca`, as it changes.
    pub fn published_ca(&self) -> impl Stream<Item = Change<Published>> + Send + use<> {
        let config = watcher::Config::default().fields(&format!("metadata.name={CA}"));
        changes(self.events.clone(), "configmap torch-ca", self.api::<ConfigMap>(), config, |map| {
            let version = map.metadata.resource_version.unwrap_or_default();
            Some(Published { version, ca: map.data.and_then(|mut data| data.remove(CA_CRT)) })
        })
    }

    /// The registration of that name, as it changes.
    pub fn registration(&self, name: &str) -> impl Stream<Item = Change<Registration>> + Send + use<> {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        changes(
            self.events.clone(),
            "mutatingwebhookconfiguration",
            Api::all(self.client.clone()),
            config,
            |c| Some(Registration(c)),
        )
    }

    /// Makes `ca` the caBundle of every webhook of the registration, and touches nothing else, unless
    /// somebody has written it since it was seen; says whether it did.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn set_ca_bundle(&self, registration: &Registration, ca: &Ca) -> Result<bool, Error> {
        let Some(name) = registration.0.meta().name.as_deref() else {
            return Ok(false);
        };
        let patch: Vec<Value> = registration.ca_bundle_patch(ca);
        let patch = serde_json::from_value(json!(patch)).expect("these are operations of RFC 6902");
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let act = || format!("patch mutatingwebhookconfiguration {name}");
        unless_overtaken(call(act, api.patch(name, &PatchParams::default(), &Patch::Json::<()>(patch))).await)
    }
}

/// Whether it was written; not so where somebody else was faster.
fn unless_overtaken<T>(done: Result<T, Error>) -> Result<bool, Error> {
    match done {
        Ok(_) => Ok(true),
        Err(error) if error.is_overtaken() => Ok(false),
        Err(error) => Err(error),
    }
}

fn entries(data: Option<BTreeMap<String, ByteString>>) -> Entries {
    data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0.into())).collect()
}

/// The registration of Torch's webhook with the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration(MutatingWebhookConfiguration);

impl Registration {
    /// As the API server has it.
    pub(super) fn of(object: MutatingWebhookConfiguration) -> Self {
        Self(object)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.metadata.name.as_deref().unwrap_or_default()
    }

    /// Name and namespace of the first webhook's Service.
    pub fn service(&self) -> Option<(&str, &str)> {
        let service = self.0.webhooks.as_ref()?.first()?.client_config.service.as_ref()?;
        Some((&service.name, &service.namespace))
    }

    /// Whether every webhook in it trusts exactly `ca`.
    pub fn trusts(&self, ca: &Ca) -> bool {
        self.bundles().all(|bundle| bundle == Some(ca))
    }

    /// The caBundle of every webhook in it, where there is one.
    pub fn bundles(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.webhooks.iter().flatten().map(|webhook| {
            let bundle = webhook.client_config.ca_bundle.as_ref()?;
            std::str::from_utf8(&bundle.0).ok().filter(|bundle| !bundle.is_empty())
        })
    }

    /// Host and port at which API servers call the first webhook.
    pub fn endpoint(&self) -> Option<(String, u16)> {
        let client = &self.0.webhooks.as_ref()?.first()?.client_config;
        if let Some(service) = &client.service {
            let port = service.port.and_then(|p| p.try_into().ok()).unwrap_or(443);
            return Some((format!("{}.{}.svc", service.name, service.namespace), port));
        }
        let url: http::Uri = client.url.as_ref()?.parse().ok()?;
        Some((url.host()?.to_owned(), url.port_u16().unwrap_or(443)))
    }

    /// Replaces the bundle of each webhook, if the registration is still of the version that was seen.
    fn ca_bundle_patch(&self, ca: &Ca) -> Vec<Value> {
        let version = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": self.0.metadata.resource_version});
        let bundle = ByteString(ca.clone().into_bytes());
        let webhooks = 0..self.0.webhooks.iter().flatten().count();
        let bundles = webhooks.map(
            |i| json!({"op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": bundle}),
        );
        std::iter::once(version).chain(bundles).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(bundles: [Option<&str>; 2]) -> Registration {
        let webhook = |bundle: Option<&str>| {
            let bundle = bundle.map(|bundle| ByteString(bundle.as_bytes().to_vec()));
            json!({"name": "w", "admissionReviewVersions": [], "sideEffects": "None", "clientConfig": {"caBundle": bundle}})
        };
        let object =
            json!({"metadata": {"name": "torch", "resourceVersion": "7"}, "webhooks": bundles.map(webhook)});
        Registration(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn every_webhook_must_trust_the_same() {
        assert!(registration([Some("a"), Some("a")]).trusts(&"a".into()));
        for other in [None, Some(""), Some("b"), Some("ab")] {
            assert!(!registration([Some("a"), other]).trusts(&"a".into()), "{other:?}");
        }
    }

    #[test]
    fn the_bundles_are_all_that_is_written_and_only_over_what_was_seen() {
        let patch = registration([None, Some("b")]).ca_bundle_patch(&"a".into());
        let expected = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "YQ=="},
            {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "YQ=="},
        ]);
        assert_eq!(json!(patch), expected);
    }
}
