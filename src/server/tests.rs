use axum::routing::get;
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tls::{self, Own};

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
    let own = Own::make(&names(), Timestamp::now()).unwrap();
    let key = own.check(&names(), Timestamp::now()).unwrap();
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
    let mut first = bed.connect(bed.own.ca()).await.unwrap();
    assert!(ask(&mut first, "/").await.ends_with("hello"));

    let (other, key) = own();
    bed.serving.swap(key);
    assert!(ask(&mut first, "/").await.ends_with("hello"), "a connection that stands is not touched");
    assert!(bed.connect(bed.own.ca()).await.is_err(), "the old CA did not sign the new certificate");
    assert!(ask(&mut bed.connect(other.ca()).await.unwrap(), "/").await.ends_with("hello"));
}

#[tokio::test]
async fn who_says_nothing_is_hung_up_on() {
    let bed = bed(Router::new()).await;
    let begun = Instant::now();
    let mut silent = TcpStream::connect(bed.at).await.unwrap();
    let mut speechless = bed.connect(bed.own.ca()).await.unwrap();
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap_or(0), 0);
    assert_eq!(speechless.read(&mut [0; 64]).await.unwrap_or(0), 0);
    let took = begun.elapsed();
    assert!((FIRST..FIRST * 2).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused() {
    let bed = bed(Router::new()).await;
    let mut stream = bed.connect(bed.own.ca()).await.unwrap();
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
    let mut stream = bed.connect(bed.own.ca()).await.unwrap();
    let asking = tokio::spawn(async move { ask(&mut stream, "/").await });
    seen.recv().await.unwrap();
    bed.shutdown.stop();
    bed.server.await.unwrap();
    assert!(asking.await.unwrap().ends_with("late"));
    assert!(TcpStream::connect(bed.at).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn the_plain_port_has_the_same_limits() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async || "hello"));
    tokio::spawn(run(listener, Transport::Plain, router, Shutdown::default()));
    let mut silent = TcpStream::connect(at).await.unwrap();
    let mut speaking = TcpStream::connect(at).await.unwrap();
    speaking.write_all(b"GET / HTTP/1.1\r\nhost: torch\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    speaking.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap_or(0), 0, "who says nothing is hung up on");
}
