//! The server of both ports: accepts, shakes hands where it is TLS, and hands each connection to HTTP,
//! within limits.

mod places;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use self::places::{Place, Places};
use crate::connection::Connection;
use crate::shutdown::Shutdown;
use crate::tls::Serving;

/// How many connections may stand at once on one port: together they fit in the memory that the manifests
/// allow.
const MOST_CONNECTIONS: usize = 512;

/// How long a TLS handshake, and after it the first request, may be waited for.
const FIRST: Duration = Duration::from_secs(5);

/// How long a connection may be idle. API servers keep theirs for 90 s and do not repeat a POST on one
/// that closes under it.
const IDLE: Duration = Duration::from_secs(120);

/// How long a client may leave an answer where it is. Until then both hold memory for it.
const UNTAKEN: Duration = Duration::from_secs(10);

/// How many bytes the head of a request may have.
const HEAD: usize = 16 * 1024;

/// How long requests that are being answered are waited for at the end.
const LAST: Duration = Duration::from_secs(5);

/// What is spoken below HTTP.
#[derive(Clone)]
pub enum Transport {
    /// Nothing.
    Plain,
    /// TLS, with the certificate of the moment.
    Tls(Arc<Serving>),
}

/// Serves until the end has come and the last request is answered.
pub async fn run(listener: TcpListener, transport: Transport, router: Router, shutdown: Shutdown) {
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
        let (transport, router, watcher) = (transport.clone(), router.clone(), graceful.watcher());
        tokio::spawn(async move {
            let connection = connection(stream, from, transport, router, watcher, &place);
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
    router: Router,
    watcher: Watcher,
    place: &Arc<Place>,
) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNTAKEN))?;
    match transport {
        Transport::Plain => {
            let connection = Connection { from, vouched_for: false };
            serve(stream, connection, router, watcher, place).await
        }
        Transport::Tls(serving) => {
            let acceptor = TlsAcceptor::from(serving.current());
            let stream = timeout(FIRST, acceptor.accept(stream)).await??;
            // The handshake has verified it.
            let vouched_for = stream.get_ref().1.peer_certificates().is_some();
            serve(stream, Connection { from, vouched_for }, router, watcher, place).await
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    router: Router,
    watcher: Watcher,
    place: &Arc<Place>,
) -> Result<(), Failure> {
    let service = {
        let place = Arc::clone(place);
        TowerToHyperService::new(router.map_request(
            move |mut request: http::Request<hyper::body::Incoming>| {
                place.asked();
                request.extensions_mut().insert(connection);
                request
            },
        ))
    };
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(watcher.watch(connection));
    tokio::select! {
        done = &mut connection => return Ok(done?),
        () = tokio::time::sleep(FIRST) => {}
    }
    if !place.has_asked() {
        return Err("no request came".into());
    }
    Ok(connection.await?)
}

#[cfg(test)]
mod tests;
