//! The server of both ports: accepts, shakes hands where it is TLS, and hands each connection to HTTP,
//! within limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

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
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await.expect("it is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.stopped() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (transport, router, watcher) = (transport.clone(), router.clone(), graceful.watcher());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, transport, router, watcher).await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    if timeout(LAST, graceful.shutdown()).await.is_err() {
        tracing::warn!("closing connections whose requests are not answered yet");
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    transport: Transport,
    router: Router,
    watcher: Watcher,
) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    match transport {
        Transport::Plain => serve(stream, router, watcher).await,
        Transport::Tls(serving) => {
            let acceptor = TlsAcceptor::from(serving.current());
            serve(timeout(FIRST, acceptor.accept(stream)).await??, router, watcher).await
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    watcher: Watcher,
) -> Result<(), Failure> {
    let asked = Arc::new(AtomicBool::new(false));
    let service = {
        let asked = Arc::clone(&asked);
        TowerToHyperService::new(router.map_request(move |request: http::Request<hyper::body::Incoming>| {
            asked.store(true, Ordering::Relaxed);
            request
        }))
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
    if !asked.load(Ordering::Relaxed) {
        return Err("no request came".into());
    }
    Ok(connection.await?)
}

#[cfg(test)]
mod tests;
