//! What nodes trust: the ConfigMap `torch-ca`, as they have it some time after it has changed.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// How late it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A client for each version of TLS, with the trust of the moment. None resumes a session: the certificate is
/// verified each time.
#[derive(Clone)]
pub struct Trust(Arc<RwLock<[Arc<ClientConfig>; 2]>>);

impl Trust {
    pub async fn begin(client: Client, namespace: &str) -> Self {
        let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
        let mut published = read(&maps).await.expect("torch-ca is published");
        let trust = Self(Arc::new(RwLock::new(clients(&published).expect("it holds CAs"))));
        let kept = trust.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let Ok(now) = read(&maps).await else { continue };
                if now != published {
                    // Without a CA no client is of use, and each will say so.
                    let made = clients(&now).unwrap_or_else(|| clients_of(RootCertStore::empty()));
                    *kept.0.write().expect("nobody panics while it is held") = made;
                    published = now;
                }
            }
        });
        trust
    }

    pub fn client(&self, version: usize) -> Arc<ClientConfig> {
        Arc::clone(&self.0.read().expect("nobody panics while it is held")[version])
    }
}

async fn read(maps: &Api<ConfigMap>) -> kube::Result<String> {
    let map = maps.get("torch-ca").await?;
    Ok(map.data.and_then(|mut data| data.remove("ca.crt")).unwrap_or_default())
}

fn clients(ca: &str) -> Option<[Arc<ClientConfig>; 2]> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then(|| clients_of(roots))
}

fn clients_of(roots: RootCertStore) -> [Arc<ClientConfig>; 2] {
    [&rustls::version::TLS12, &rustls::version::TLS13].map(|version| {
        let builder = ClientConfig::builder_with_protocol_versions(&[version]);
        let mut config = builder.with_root_certificates(roots.clone()).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Arc::new(config)
    })
}
