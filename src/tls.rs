//! Certificates: making them, reading them, and serving with them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// How long a CA of Torch's own lives.
const CA_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// How long a serving certificate of Torch's own lives.
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How far a certificate reaches into the past, for clocks that are late.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// The entries of the Secret.
const CA_CRT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const TLS_CRT: &str = "tls.crt";
const TLS_KEY: &str = "tls.key";

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry is missing.
    #[error("there is no entry `{0}`")]
    Missing(&'static str),
    /// An entry is not what it should be.
    #[error("`{entry}` cannot be read: {why}")]
    Unreadable {
        /// Its name.
        entry: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Key and certificate are not of one pair.
    #[error("`tls.key` is not the key of `tls.crt`: {0}")]
    Mismatch(rustls::Error),
    /// The certificate is for other names.
    #[error("`tls.crt` is not for {0}")]
    Name(String),
    /// The certificate is past two thirds of its life, or not valid yet.
    #[error("`tls.crt` is to be renewed (valid from {from} until {until})")]
    Due {
        /// When it begins.
        from: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// It could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(rcgen::Error),
}

impl From<rcgen::Error> for Error {
    fn from(why: rcgen::Error) -> Self {
        Self::Make(why)
    }
}

/// Torch's own CA and a serving certificate signed by it, in PEM, as they are kept in the Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Own {
    ca: String,
    ca_key: String,
    leaf: String,
    leaf_key: String,
}

impl Own {
    /// Makes a CA, and a serving certificate for `names`.
    ///
    /// # Errors
    /// Where the system gives no randomness.
    pub fn make(names: &[String], now: Timestamp) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, format!("torch {}", now.as_second()));
        validity(&mut params, now, CA_LIFE);
        let ca = params.self_signed(&key)?.pem();
        Self { ca, ca_key: key.serialize_pem(), leaf: String::new(), leaf_key: String::new() }
            .renew(names, now)
    }

    /// Makes a new serving certificate of the same CA.
    ///
    /// # Errors
    /// Where the CA cannot sign.
    pub fn renew(mut self, names: &[String], now: Timestamp) -> Result<Self, Error> {
        let issuer = Issuer::from_ca_cert_pem(&self.ca, KeyPair::from_pem(&self.ca_key)?)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        validity(&mut params, now, LEAF_LIFE);
        self.leaf = params.signed_by(&key, &issuer)?.pem();
        self.leaf_key = key.serialize_pem();
        Ok(self)
    }

    /// Reads the entries of the Secret.
    ///
    /// # Errors
    /// Where one is missing or is not text; [`Own::check`] tells whether they can be used.
    pub fn read(entries: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let text = |entry: &'static str| {
            let bytes = entries.get(entry).ok_or(Error::Missing(entry))?;
            String::from_utf8(bytes.clone()).map_err(|e| unreadable(entry, e))
        };
        Ok(Self { ca: text(CA_CRT)?, ca_key: text(CA_KEY)?, leaf: text(TLS_CRT)?, leaf_key: text(TLS_KEY)? })
    }

    /// The entries of the Secret.
    pub fn entries(&self) -> BTreeMap<String, Vec<u8>> {
        [(CA_CRT, &self.ca), (CA_KEY, &self.ca_key), (TLS_CRT, &self.leaf), (TLS_KEY, &self.leaf_key)]
            .map(|(entry, pem)| (entry.to_owned(), pem.clone().into_bytes()))
            .into()
    }

    /// The CA's certificate in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// Whether the serving certificate can be used: signed by this CA, with its key, for `names`, and
    /// in the first two thirds of its life.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn check(&self, names: &[String], now: Timestamp) -> Result<Arc<CertifiedKey>, Error> {
        let key = certified_key(&self.leaf, &self.leaf_key)?;
        let ca = CertificateDer::from_pem_slice(self.ca.as_bytes()).map_err(|e| unreadable(CA_CRT, e))?;
        let (_, ca) = X509Certificate::from_der(&ca).map_err(|e| unreadable(CA_CRT, e))?;
        let leaf = key.cert.first().ok_or(Error::Missing(TLS_CRT))?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|e| unreadable(TLS_CRT, e))?;
        leaf.verify_signature(Some(ca.public_key())).map_err(|e| unreadable(TLS_CRT, e))?;
        is_for(&leaf, names)?;
        is_young(&leaf, now)?;
        Ok(Arc::new(key))
    }
}

fn unreadable(entry: &'static str, why: impl std::fmt::Display) -> Error {
    Error::Unreadable { entry, why: why.to_string() }
}

fn validity(params: &mut CertificateParams, now: Timestamp, life: SignedDuration) {
    let date = |at: Timestamp| {
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(at.as_second().unsigned_abs())
    };
    params.not_before = date(now - BACKDATED);
    params.not_after = date(now + life);
}

fn certified_key(chain: &str, key: &str) -> Result<CertifiedKey, Error> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unreadable(TLS_CRT, e))?;
    if chain.is_empty() {
        return Err(unreadable(TLS_CRT, "it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| unreadable(TLS_KEY, e))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(Error::Mismatch)
}

fn is_for(leaf: &X509Certificate<'_>, names: &[String]) -> Result<(), Error> {
    let extension = leaf.subject_alternative_name().map_err(|e| unreadable(TLS_CRT, e))?;
    let has = |name: &String| {
        let mut present = extension.iter().flat_map(|e| &e.value.general_names);
        present.any(|n| matches!(n, GeneralName::DNSName(dns) if dns == name))
    };
    match names.iter().find(|name| !has(name)) {
        Some(name) => Err(Error::Name(name.clone())),
        None => Ok(()),
    }
}

fn is_young(leaf: &X509Certificate<'_>, now: Timestamp) -> Result<(), Error> {
    let at = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MIN)
    };
    let (from, until) = (at(leaf.validity().not_before), at(leaf.validity().not_after));
    let two_thirds = from + (until.duration_since(from)) * 2 / 3;
    if (from..two_thirds).contains(&now) { Ok(()) } else { Err(Error::Due { from, until }) }
}

/// The names by which a Service is called from inside the cluster.
pub fn service_names(service: &str, namespace: &str) -> Vec<String> {
    vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
        format!("{service}.{namespace}"),
        service.to_owned(),
    ]
}

/// What the server shows and whom it knows, exchanged as a whole while it serves.
pub struct Serving {
    config: ArcSwap<ServerConfig>,
    parts: Mutex<(Arc<CertifiedKey>, Clients)>,
}

impl Serving {
    /// Begins with this certificate, and knows no clients.
    pub fn new(key: Arc<CertifiedKey>) -> Arc<Self> {
        let clients = Clients(WebPkiClientVerifier::no_client_auth());
        let config = ArcSwap::new(server_config(&key, &clients));
        Arc::new(Self { config, parts: Mutex::new((key, clients)) })
    }

    /// Goes on with this certificate; connections that stand are not touched.
    pub fn swap(&self, key: Arc<CertifiedKey>) {
        self.change(|parts| parts.0 = key);
    }

    /// Asks for client certificates from now on, and ends no handshake for want of one.
    pub fn know(&self, clients: Clients) {
        self.change(|parts| parts.1 = clients);
    }

    /// The configuration for the next connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    fn change(&self, change: impl FnOnce(&mut (Arc<CertifiedKey>, Clients))) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        self.config.store(server_config(&parts.0, &parts.1));
    }
}

/// The clients that a CA vouches for.
#[derive(Clone)]
pub struct Clients(Arc<dyn ClientCertVerifier>);

impl Clients {
    /// Those with a certificate of one of the CAs in `ca`.
    ///
    /// # Errors
    /// Where `ca` is not PEM, or holds none.
    pub fn of(ca: &str) -> Result<Self, Error> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider());
        let verifier = verifier.allow_unauthenticated().build();
        verifier.map(Self).map_err(|e| unreadable(CA_CRT, e))
    }
}

/// TLS 1.2 and 1.3, HTTP/1.1 only: the API server calls webhooks by nothing else, and HTTP/2 would only
/// add to what can be attacked.
fn server_config(key: &Arc<CertifiedKey>, clients: &Clients) -> Arc<ServerConfig> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(Arc::clone(key)));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
        .with_client_cert_verifier(Arc::clone(&clients.0))
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A client that trusts the certificates in `ca` and nothing else.
///
/// # Errors
/// Where `ca` is not PEM.
pub fn client_config(ca: &str) -> Result<Arc<rustls::ClientConfig>, Error> {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots(ca: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|e| unreadable(CA_CRT, e))?;
        roots.add(certificate).map_err(|e| unreadable(CA_CRT, e))?;
    }
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        service_names("torch", "da")
    }

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_is_made_is_usable_and_survives_the_secret() {
        let own = Own::make(&names(), now()).unwrap();
        own.check(&names(), now()).unwrap();
        let read = Own::read(&own.entries()).unwrap();
        assert!(read == own);
        client_config(own.ca()).unwrap();
    }

    #[test]
    fn it_is_renewed_at_two_thirds_of_its_life_under_the_same_ca() {
        let own = Own::make(&names(), now()).unwrap();
        let days = |n: i64| now() + SignedDuration::from_hours(24 * n);
        own.check(&names(), days(59)).unwrap();
        for wrong in [days(61), days(100), days(-1)] {
            assert!(matches!(own.check(&names(), wrong), Err(Error::Due { .. })), "{wrong}");
        }
        let renewed = own.clone().renew(&names(), days(61)).unwrap();
        renewed.check(&names(), days(61)).unwrap();
        assert_eq!(renewed.ca(), own.ca());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let own = Own::make(&names(), now()).unwrap();
        let other = Own::make(&names(), now()).unwrap();
        let refused = |own: &Own| own.check(&names(), now()).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(
            refused(&Own { leaf_key: other.leaf_key.clone(), ..own.clone() }).contains("is not the key of")
        );
        assert!(refused(&Own { ca: other.ca.clone(), ..own.clone() }).contains("`tls.crt` cannot be read"));
        assert!(refused(&Own { leaf: "x".into(), ..own.clone() }).contains("it holds no certificate"));
        assert!(refused(&Own { leaf_key: "x".into(), ..own.clone() }).contains("`tls.key` cannot be read"));
        let elsewhere = own.check(&service_names("torch", "other"), now());
        assert!(matches!(elsewhere, Err(Error::Name(_))));
        let mut entries = own.entries();
        entries.remove("ca.key");
        assert!(matches!(Own::read(&entries), Err(Error::Missing("ca.key"))));
    }
}
