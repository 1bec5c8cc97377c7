//! The objects that are Torch's own: the Secret with its certificates, the ConfigMap with its CA, and
//! the registration of its webhook.

use std::collections::BTreeMap;

use futures::Stream;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PostParams};
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde_json::{Value, json};

use super::{Change, Cluster, Error, call, found, watch::changes};

const SECRET: &str = "torch-tls";
const CA: &str = "torch-ca";

/// The key of the CA's certificates, in the Secret and in the ConfigMap.
const CA_CRT: &str = "ca.crt";

/// The Secret's entries, and the version that they are of.
#[derive(Clone, Default)]
pub struct Stored {
    /// Its entries.
    pub data: BTreeMap<String, Vec<u8>>,
    object: Option<Secret>,
}

/// The CA's certificates in PEM.
pub type Ca = String;

impl Cluster {
    /// Loads the Secret with the certificates; it is empty where there is none.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn certificates(&self) -> Result<Stored, Error> {
        let api: Api<Secret> = self.api();
        let object = found(call(|| format!("get secret {SECRET}"), api.get(SECRET)).await)?;
        let data = object.as_ref().and_then(|s| s.data.clone()).unwrap_or_default();
        Ok(Stored { data: data.into_iter().map(|(key, bytes)| (key, bytes.0)).collect(), object })
    }

    /// Replaces the Secret's entries, unless somebody has written it since `before` was loaded; says
    /// whether it did.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn store_certificates(
        &self,
        before: Stored,
        data: BTreeMap<String, Vec<u8>>,
    ) -> Result<bool, Error> {
        let api: Api<Secret> = self.api();
        let data = Some(data.into_iter().map(|(key, bytes)| (key, ByteString(bytes))).collect());
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
        match done {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.status(), Some(404 | 409)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Publishes the CA in the ConfigMap `torch-ca`, where it is not there already.
    ///
    /// # Errors
    /// Where a call fails.
    pub async fn publish_ca(&self, ca: &Ca) -> Result<(), Error> {
        let api: Api<ConfigMap> = self.api();
        let map = found(call(|| format!("get configmap {CA}"), api.get(CA)).await)?;
        let data: BTreeMap<String, String> = [(CA_CRT.to_owned(), ca.clone())].into();
        match map {
            Some(map) if map.data.as_ref().and_then(|d| d.get(CA_CRT)) == Some(ca) => Ok(()),
            Some(_) => {
                let patch = Patch::Merge(json!({"data": data}));
                let params = kube::api::PatchParams::default();
                call(|| format!("patch configmap {CA}"), api.patch(CA, &params, &patch)).await.map(drop)
            }
            None => {
                let metadata = ObjectMeta { name: Some(CA.into()), ..ObjectMeta::default() };
                let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
                call(|| format!("create configmap {CA}"), api.create(&PostParams::default(), &map))
                    .await
                    .map(drop)
            }
        }
    }

    /// The CA in the ConfigMap `torch-ca`, as it changes.
    pub fn published_ca(&self) -> impl Stream<Item = Change<Option<Ca>>> + Send + use<> {
        let config = watcher::Config::default().fields(&format!("metadata.name={CA}"));
        changes(self.events.clone(), "configmap torch-ca", self.api::<ConfigMap>(), config, |map| {
            Some(map.data.and_then(|mut data| data.remove(CA_CRT)))
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

    /// Makes `ca` the caBundle of every webhook of the registration, and touches nothing else.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn set_ca_bundle(&self, registration: &Registration, ca: &Ca) -> Result<(), Error> {
        let Some(name) = registration.0.meta().name.as_deref() else {
            return Ok(());
        };
        let patch: Vec<Value> = registration.ca_bundle_patch(ca);
        let patch = serde_json::from_value(json!(patch)).expect("these are operations of RFC 6902");
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let act = || format!("patch mutatingwebhookconfiguration {name}");
        call(act, api.patch(name, &kube::api::PatchParams::default(), &Patch::Json::<()>(patch)))
            .await
            .map(drop)
    }
}

/// The registration of Torch's webhook with the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration(MutatingWebhookConfiguration);

impl Registration {
    /// Whether every webhook in it trusts exactly `ca`.
    pub fn trusts(&self, ca: &Ca) -> bool {
        let mut webhooks = self.0.webhooks.iter().flatten();
        webhooks.all(|w| w.client_config.ca_bundle.as_ref().is_some_and(|b| b.0 == ca.as_bytes()))
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

    /// Replaces the bundle of each webhook, if the webhook still stands at its place.
    fn ca_bundle_patch(&self, ca: &Ca) -> Vec<Value> {
        let webhooks = self.0.webhooks.iter().flatten().enumerate();
        let bundle = ByteString(ca.clone().into_bytes());
        webhooks
            .flat_map(|(i, webhook)| {
                let at = format!("/webhooks/{i}");
                [
                    json!({"op": "test", "path": format!("{at}/name"), "value": webhook.name}),
                    json!({"op": "add", "path": format!("{at}/clientConfig/caBundle"), "value": bundle}),
                ]
            })
            .collect()
    }
}
