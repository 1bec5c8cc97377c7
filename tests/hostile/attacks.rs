//! The attacks. Each goes on until it is ended, from all addresses.

use std::env;
use std::future::Future;
use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;

use crate::bodies;
use crate::target::Target;

/// The argument by which this program is an attacker.
pub const ATTACK: &str = "attack";

const SECOND: Duration = Duration::from_secs(1);

type Attack = fn(&Arc<Target>, &[Ipv4Addr]);

/// All of them, by name.
const ALL: [(&str, Attack); 10] = [
    ("10,000 idle connections", |target, from| every(10_000, target, from, idle)),
    ("half-open TLS", |target, from| every(2_000, target, from, half_open)),
    ("slow headers", |target, from| every(600, target, from, slow_headers)),
    ("slow bodies", |target, from| every(600, target, from, slow_body)),
    ("headers of 1 MB", |target, from| every(50, target, from, large_headers)),
    ("endless bodies", |target, from| every(50, target, from, endless_body)),
    ("large bodies to read", |target, from| every(50, target, from, bombs)),
    ("answers nobody reads", |target, from| every(600, target, from, unread)),
    ("handshakes", |target, from| every(50, target, from, handshakes)),
    ("valid reviews", |target, from| every(100, target, from, flood)),
];

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// A process that attacks, until it is dropped.
pub struct Attacker(Child);

impl Attacker {
    /// Ends it; gives how many connections it has opened.
    pub fn end(mut self) -> usize {
        let _ = self.0.kill();
        let mut told = String::new();
        let _ = self.0.stdout.take().expect("it was asked for").read_to_string(&mut told);
        told.lines().last().and_then(|line| line.parse().ok()).unwrap_or_default()
    }

    /// Begins, and gives it a moment.
    pub fn begin(name: &str, namespace: &str, ip: &str, from: &[&str]) -> Self {
        let program = env::current_exe().expect("this program");
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"]).arg(program).args([ATTACK, name, namespace, ip]).args(from);
        let child = nice.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("nice runs");
        thread::sleep(2 * SECOND);
        Self(child)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Attacks until it is killed.
pub fn run(name: &str, target: Arc<Target>, from: &[Ipv4Addr]) {
    let (_, attack) = ALL.iter().find(|(known, _)| *known == name).expect("an attack");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        attack(&target, from);
        loop {
            sleep(SECOND / 2).await;
            println!("{}", target.opened.load(Ordering::Relaxed));
        }
    })
}

/// So many at once, from all addresses in turn; each begins anew when it has ended.
fn every<F>(many: usize, target: &Arc<Target>, from: &[Ipv4Addr], one: fn(Arc<Target>, Ipv4Addr) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    for (_, from) in (0..many).zip(from.iter().copied().cycle()) {
        let target = Arc::clone(target);
        tokio::spawn(async move {
            loop {
                if one(Arc::clone(&target), from).await.is_err() {
                    sleep(SECOND).await;
                }
            }
        });
    }
}

async fn idle(target: Arc<Target>, from: Ipv4Addr) -> io::Result<()> {
    until_closed(target.connect(from.into()).await?).await
}

/// The beginning of a ClientHello.
async fn half_open(target: Arc<Target>, from: Ipv4Addr) -> io::Result<()> {
    let mut stream = target.connect(from.into()).await?;
    stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await?;
    until_closed(stream).await
}

async fn slow_headers(target: Arc<Target>, from: Ipv4Addr) -> io::Result<()> {
    let mut stream = target.connect_tls(from.into()).await?;
    stream.write_all(b"POST /mutate HTTP/1.1\r\nhost: torch\r\n").await?;
    loop {
        stream.write_all(b"x: y\r\n").await?;
        sleep(SECOND).await;
    }
}

async fn slow_body(target: Arc<Target>, from: Ipv4Addr) -> io::Result<()> {
    let mut stream = target.connect_tls(from.into()).await?;
    stream.write_all(b"POST /mutate HTTP/1.1\r\nhost: torch\r\ncontent-length: 30000\r\n\r\n").await?;
    loop {
        stream.write_all(b"{").await?;
        sleep(SECOND).await;
    }
}

async fn large_headers(target: Arc<Target>, from: Ipv4Addr) -> io::Result<()> {
    let mut stream = target.connect_tls(from.into()).await?;
    stream.write_all(b"POST /mutate HTTP/1.1\r\nhost: torch\r\nx: ").await?;
    stream.write_all(&vec![b'x'; 1_000_000]).await?;
    until_closed(stream).await
}

async fn endless_body(target: Arc<Target>, from: Ipv4Addr) -> io::Result<()> {
    let mut stream = target.connect_tls(from.into()).await?;
    stream.write_all(b"POST /mutate HTTP/1.1\r\nhost: torch\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    let chunk = [b"4000\r\n", &[b' '; 0x4000][..], b"\r\n"].concat();
    loop {
        stream.write_all(&chunk).await?;
    }
}

async fn bombs(target: Arc<Target>, from: Ipv4Addr) -> io::Result<()> {
    static BOMBS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    for body in BOMBS.get_or_init(|| bodies::bombs(&target.namespace)) {
        // Refused ones are hung up on.
        let _ = post(&target, from, body).await;
    }
    Ok(())
}

async fn post(target: &Target, from: Ipv4Addr, body: &[u8]) -> io::Result<()> {
    let mut stream = target.connect_tls(from.into()).await?;
    stream.write_all(&request(body)).await?;
    stream.read(&mut [0; 1024]).await.map(drop)
}

async fn unread(target: Arc<Target>, from: Ipv4Addr) -> io::Result<()> {
    let mut stream = target.connect_tls(from.into()).await?;
    let request = request(&bodies::review(&target.namespace, &"u".repeat(128)));
    loop {
        stream.write_all(&request).await?;
    }
}

async fn handshakes(target: Arc<Target>, from: Ipv4Addr) -> io::Result<()> {
    target.connect_tls(from.into()).await.map(drop)
}

async fn flood(target: Arc<Target>, from: Ipv4Addr) -> io::Result<()> {
    let mut stream = target.connect_tls(from.into()).await?;
    let request = request(&bodies::review(&target.namespace, "u"));
    loop {
        stream.write_all(&request).await?;
        if stream.read(&mut [0; 8192]).await? == 0 {
            return Ok(());
        }
    }
}

fn request(body: &[u8]) -> Vec<u8> {
    let head = format!("POST /mutate HTTP/1.1\r\nhost: torch\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn until_closed(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    while stream.read(&mut [0; 1024]).await? > 0 {}
    sleep(SECOND).await;
    Ok(())
}
