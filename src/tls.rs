//! Certificates: making them, reading them, verifying them, and serving with them.

mod own;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use own::{Lives, Own, Pair};

/// The entries of a Secret with certificates, and the files that such a Secret is mounted as.
pub const CA_CRT: &str = "ca.crt";
/// The key of the CA: only where Torch is the one that signs.
pub const CA_KEY: &str = "ca.key";
/// The serving certificate, and those between it and the CA.
pub const TLS_CRT: &str = "tls.crt";
/// Its key.
pub const TLS_KEY: &str = "tls.key";

/// The end of a certificate in PEM.
pub const END: &str = "-----END CERTIFICATE-----\n";

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry is missing.
    #[error("there is no entry `{0}`")]
    Missing(&'static str),
    /// An entry is not what it should be.
    #[error("`{entry}` cannot be used: {why}")]
    Unreadable {
        /// Its name.
        entry: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Key and certificate are not of one pair.
    #[error("`tls.key` is not the key of `tls.crt`: {0}")]
    Mismatch(rustls::Error),
    /// The CA beside the certificate is not the one that signed it.
    #[error("`tls.crt` is not signed by `ca.crt`")]
    Signature,
    /// The certificate is for other names.
    #[error("`tls.crt` is not for {0}")]
    Name(String),
    /// The certificate has ended, or not begun.
    #[error("`tls.crt` is valid from {} until {} only: renew it, or put the clock right", .0.from, .0.until)]
    Expired(Validity),
    /// Who verifies would not trust it.
    #[error("{0}")]
    Untrusted(rustls::Error),
    /// It could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(rcgen::Error),
}

impl From<rcgen::Error> for Error {
    fn from(why: rcgen::Error) -> Self {
        Self::Make(why)
    }
}

/// The time for which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

impl Validity {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let at = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MIN)
        };
        Self { from: at(certificate.validity().not_before), until: at(certificate.validity().not_after) }
    }

    /// Whether it has begun and not ended.
    pub fn holds(self, now: Timestamp) -> bool {
        (self.from..self.until).contains(&now)
    }
}

fn unreadable(entry: &'static str, why: impl std::fmt::Display) -> Error {
    Error::Unreadable { entry, why: why.to_string() }
}

/// The certificates in a PEM text, of which there must be one.
fn certificates(pem: &str, entry: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|e| unreadable(entry, e))?;
    if all.is_empty() { Err(unreadable(entry, "it holds no certificate")) } else { Ok(all) }
}

fn parsed<'a>(der: &'a CertificateDer<'_>, entry: &'static str) -> Result<X509Certificate<'a>, Error> {
    X509Certificate::from_der(der).map(|(_, certificate)| certificate).map_err(|e| unreadable(entry, e))
}

/// A chain of certificates, the server's own first, and the key of that, both in PEM.
///
/// # Errors
/// Where they cannot be read or are not of one pair.
pub fn certified_key(chain: &str, key: &str) -> Result<CertifiedKey, Error> {
    let chain = certificates(chain, TLS_CRT)?;
    parsed(&chain[0], TLS_CRT)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| unreadable(TLS_KEY, e))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(Error::Mismatch)
}

/// For how long a certificate is valid; `None` for what is none.
pub fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    Some(Validity::of(&parsed(certificate, TLS_CRT).ok()?))
}

/// Whether a server's certificate is valid now, and for `name`.
///
/// # Errors
/// What speaks against it.
pub fn check(key: &CertifiedKey, name: &str, now: Timestamp) -> Result<(), Error> {
    let leaf = key.cert.first().ok_or(Error::Missing(TLS_CRT))?;
    let validity = Validity::of(&parsed(leaf, TLS_CRT)?);
    if !validity.holds(now) {
        return Err(Error::Expired(validity));
    }
    let leaf = ParsedCertificate::try_from(leaf).map_err(|e| unreadable(TLS_CRT, e))?;
    let server = ServerName::try_from(name).map_err(|_| Error::Name(name.into()))?;
    rustls::client::verify_server_name(&leaf, &server).map_err(|_| Error::Name(name.into()))
}

/// Whether somebody who trusts `roots` would take this certificate for that of `name`.
///
/// # Errors
/// What speaks against it.
pub fn verify(
    key: &CertifiedKey,
    roots: &[CertificateDer<'static>],
    name: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let untrusted = |why: &str| Error::Untrusted(rustls::Error::General(why.into()));
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider()).build();
    let verifier = verifier.map_err(|e| untrusted(&e.to_string()))?;
    let (leaf, between) = key.cert.split_first().ok_or(Error::Missing(TLS_CRT))?;
    let server = ServerName::try_from(name).map_err(|_| Error::Name(name.into()))?;
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let verified = verifier.verify_server_cert(leaf, between, &server, &[], now).map(drop);
    verified.map_err(|why| Error::Untrusted(without_time(why)))
}

/// The same failure is told once: with the time in it, it would be another one each second.
fn without_time(why: rustls::Error) -> rustls::Error {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match why {
        rustls::Error::InvalidCertificate(ExpiredContext { .. }) => Expired.into(),
        rustls::Error::InvalidCertificate(NotValidYetContext { .. }) => NotValidYet.into(),
        other => other,
    }
}

/// The certificates of a bundle of CAs in PEM; what cannot be read is left out.
pub fn cas(bundle: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(bundle.as_bytes()).filter_map(Result::ok).collect()
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
/// Where `ca` is not PEM, or holds none.
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
    for certificate in certificates(ca, CA_CRT)? {
        roots.add(certificate).map_err(|e| unreadable(CA_CRT, e))?;
    }
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
