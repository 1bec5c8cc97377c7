use axum::Router;
use axum::routing::get;
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tls::{self, Lives, Own};

struct Bed {
    at: std::net::SocketAddr,
    own: Own,
    serving: Arc<Serving>,
    shutdown: Shutdown,
    server: JoinHandle<()>,
}

fn names() -> Vec<String> {
    vec!["torch.da.svc".into()]
}

fn own() -> (Own, Arc<rustls::sign::CertifiedKey>) {
    let own = Own::make(&names(), Timestamp::now(), Lives::KEPT).unwrap();
    let key = own.certified_key().unwrap();
    (own, key)
}

async fn bed(router: Router) -> Bed {
    let (own, key) = own();
    let (serving, shutdown) = (Serving::new(key), Shutdown::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let server = tokio::spawn(run(listener, Transport::Tls(Arc::clone(&serving)), router, shutdown.clone()));
    Bed { at, own, serving, shutdown, server }
}

impl Bed {
    async fn connect(&self, ca: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(tls::client_config(ca).unwrap());
        let stream = TcpStream::connect(self.at).await?;
        connector.connect(ServerName::try_from("torch.da.svc").unwrap(), stream).await
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: torch\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let n = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..n]).into_owned()
}

#[tokio::test]
async fn a_connection_is_kept_and_a_new_certificate_is_for_the_next() {
    let bed = bed(Router::new().route("/", get(async || "hello"))).await;
    let mut first = bed.connect(&bed.own.trust()).await.unwrap();
    assert!(ask(&mut first, "/").await.ends_with("hello"));

    let (other, key) = own();
    bed.serving.swap(key);
    assert!(ask(&mut first, "/").await.ends_with("hello"), "a connection that stands is not touched");
    assert!(bed.connect(&bed.own.trust()).await.is_err(), "the old CA did not sign the new certificate");
    assert!(ask(&mut bed.connect(&other.trust()).await.unwrap(), "/").await.ends_with("hello"));
}

#[tokio::test]
async fn who_shakes_no_hands_is_hung_up_on_and_who_does_may_ask_later() {
    let bed = bed(Router::new().route("/", get(async || "hello"))).await;
    let begun = Instant::now();
    let mut spare = bed.connect(&bed.own.trust()).await.unwrap();
    let mut silent = TcpStream::connect(bed.at).await.unwrap();
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap_or(0), 0);
    let took = begun.elapsed();
    assert!((HANDSHAKE..HANDSHAKE * 2).contains(&took), "{took:?}");
    tokio::time::sleep(HANDSHAKE / 2).await;
    assert!(ask(&mut spare, "/").await.ends_with("hello"), "API servers keep connections to spare");
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused() {
    let bed = bed(Router::new()).await;
    let mut stream = bed.connect(&bed.own.trust()).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: torch\r\nx: {}\r\n\r\n", "a".repeat(2 * HEAD));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let n = stream.read(&mut answer).await.unwrap_or(0);
    let answer = String::from_utf8_lossy(&answer[..n]);
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_request_that_is_being_answered_outlives_the_end() {
    let (asked, mut seen) = tokio::sync::mpsc::channel::<()>(1);
    let slow = get(async move || {
        asked.send(()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        "late"
    });
    let bed = bed(Router::new().route("/", slow)).await;
    let mut stream = bed.connect(&bed.own.trust()).await.unwrap();
    let asking = tokio::spawn(async move { ask(&mut stream, "/").await });
    seen.recv().await.unwrap();
    bed.shutdown.stop();
    bed.server.await.unwrap();
    assert!(asking.await.unwrap().ends_with("late"));
    assert!(TcpStream::connect(bed.at).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn the_plain_port_is_served_the_same_way() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async || "hello"));
    tokio::spawn(run(listener, Transport::Plain, router, Shutdown::default()));
    let mut speaking = TcpStream::connect(at).await.unwrap();
    speaking.write_all(b"GET / HTTP/1.1\r\nhost: torch\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    speaking.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_not_kept() {
    const LARGE: usize = 32 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async || vec![b'x'; LARGE]));
    tokio::spawn(run(listener, Transport::Plain, router, Shutdown::default()));
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: torch\r\nconnection: close\r\n\r\n").await.unwrap();
    tokio::time::sleep(UNTAKEN * 2).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    assert!(read.is_err() && answer.len() < LARGE, "{} bytes, {read:?}", answer.len());
}

/// A CA for clients and somebody it vouches for, as a TLS client that trusts the server of `bed`.
fn client(bed: &Bed, vouched_by: &rcgen::Issuer<'_, rcgen::KeyPair>) -> TlsConnector {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, vouched_by).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let ca = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(
        bed.own.trust().as_bytes(),
    );
    roots.add(ca.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        );
    TlsConnector::from(Arc::new(config.unwrap()))
}

/// A CA, and its certificate in PEM.
fn client_ca() -> (rcgen::Issuer<'static, rcgen::KeyPair>, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    (rcgen::Issuer::new(params, key), pem)
}

async fn says(bed: &Bed, connector: TlsConnector) -> std::io::Result<String> {
    let stream = TcpStream::connect(bed.at).await?;
    let mut stream = connector.connect(ServerName::try_from("torch.da.svc").unwrap(), stream).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: torch\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.rsplit("\r\n").next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn requests_know_their_connection_and_whether_a_client_is_vouched_for() {
    let told = async |axum::Extension(connection): axum::Extension<Connection>| format!("{connection:?}");
    let bed = bed(Router::new().route("/", get(told))).await;
    let nobody = || TlsConnector::from(tls::client_config(&bed.own.trust()).unwrap());
    let (ca, pem) = client_ca();
    let (stranger, _) = client_ca();
    let is = |vouched_for| format!("{:?}", Connection { from: "127.0.0.1".parse().unwrap(), vouched_for });

    assert_eq!(says(&bed, client(&bed, &ca)).await.unwrap(), is(false), "nobody is known yet");
    bed.serving.know(tls::Clients::of(&pem).unwrap());
    assert_eq!(says(&bed, client(&bed, &ca)).await.unwrap(), is(true));
    assert_eq!(says(&bed, nobody()).await.unwrap(), is(false), "the leader's own handshake shows none");
    assert!(says(&bed, client(&bed, &stranger)).await.is_err());
    bed.serving.swap(bed.own.certified_key().unwrap());
    assert_eq!(
        says(&bed, client(&bed, &ca)).await.unwrap(),
        is(true),
        "a new certificate changes nothing of it"
    );
    assert!(tls::Clients::of("").is_err() && tls::Clients::of("-----BEGIN").is_err());
}
