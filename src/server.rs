//! The server of both ports: accepts, shakes hands where it is TLS, and hands each connection to HTTP,
//! within limits.

mod places;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use std::convert::Infallible;

use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt as _};

use self::places::{Place, Places};
use crate::connection::Connection;
use crate::shutdown::Shutdown;
use crate::tls::Serving;

/// How many connections may stand at once on one port: together they fit in the memory that the manifests
/// allow.
const MOST_CONNECTIONS: usize = 512;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long a connection may be idle, before its first request as after any other. API servers keep theirs
/// for 90 s, those that they opened in a burst and had no use for included, and do not repeat a POST on one
/// that closes under it.
const IDLE: Duration = Duration::from_secs(120);

/// How long a client may leave an answer where it is. Until then both hold memory for it.
const UNTAKEN: Duration = Duration::from_secs(10);

/// After how many requests a connection lets all others have a turn: one that sends thousands at once would
/// else have those of others wait for many of its own. To wait for a turn costs a look at all sockets.
const TURN: u64 = 16;

/// How many bytes are taken from a socket at once, at most: a whole TLS record. rustls takes 4 KiB at a time, each
/// by a system call where it is asked itself.
const AT_ONCE: usize = 17 * 1024;

/// How many bytes the head of a request may have.
const HEAD: usize = 16 * 1024;

/// How long requests that are being answered are waited for at the end.
const LAST: Duration = Duration::from_secs(5);

/// What answers requests.
pub trait Site:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Site for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// What is spoken below HTTP.
#[derive(Clone)]
pub enum Transport {
    /// Nothing.
    Plain,
    /// TLS, with the certificate of the moment.
    Tls(Arc<Serving>),
}

/// Serves until the end has come and the last request is answered.
pub async fn run(listener: TcpListener, transport: Transport, site: impl Site, shutdown: Shutdown) {
    let places = Places::new(MOST_CONNECTIONS);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = shutdown.stopped() => break,
        };
        let Some((stream, from, place)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (transport, site, watcher) = (transport.clone(), site.clone(), graceful.watcher());
        tokio::spawn(async move {
            let connection = connection(stream, from, transport, site, watcher, &place);
            let ended = tokio::select! {
                ended = connection => ended,
                () = place.given_up() => Err("its place was needed".into()),
            };
            if let Err(error) = ended {
                tracing::debug!(%error, %from, "a connection ended");
            }
        });
    }
    drop(listener);
    if timeout(LAST, graceful.shutdown()).await.is_err() {
        tracing::warn!("closing connections whose requests are not answered yet");
    }
}

async fn accept(listener: &TcpListener, places: &Places) -> Option<(TcpStream, IpAddr, Arc<Place>)> {
    match listener.accept().await {
        Ok((stream, from)) => {
            let from = from.ip().to_canonical();
            Some((stream, from, Arc::new(places.take(from).await)))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            None
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    from: IpAddr,
    transport: Transport,
    site: impl Site,
    watcher: Watcher,
    place: &Arc<Place>,
) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNTAKEN))?;
    match transport {
        Transport::Plain => {
            let connection = Connection { from, vouched_for: false };
            serve(stream, connection, site, watcher, place).await
        }
        Transport::Tls(serving) => {
            let acceptor = TlsAcceptor::from(serving.current());
            let stream = BufReader::with_capacity(AT_ONCE, stream);
            let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await??;
            // The handshake has verified it.
            let vouched_for = stream.get_ref().1.peer_certificates().is_some();
            serve(stream, Connection { from, vouched_for }, site, watcher, place).await
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    site: impl Site,
    watcher: Watcher,
    place: &Arc<Place>,
) -> Result<(), Failure> {
    let asked = Arc::clone(place);
    let service = service_fn(move |mut request| {
        let is_others_turn = asked.asked().is_multiple_of(TURN);
        request.extensions_mut().insert(connection);
        let answer = site.clone().oneshot(request);
        async move {
            if is_others_turn {
                tokio::task::yield_now().await;
            }
            answer.await
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    Ok(watcher.watch(connection).await?)
}

#[cfg(test)]
mod tests;
