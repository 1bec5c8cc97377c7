//! Accepts connections and has each served: TLS and HTTP/1.1, with none of Torch's limits.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Why a connection ended.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A port with a certificate.
pub struct Door {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Door {
    /// Listens, with the certificate of that directory.
    pub async fn open(address: (IpAddr, u16), tls_dir: &Path) -> anyhow::Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(config(tls_dir)?));
        let listener = TcpListener::bind(address).await.context("cannot listen")?;
        Ok(Self { listener, acceptor })
    }

    /// Serves for ever.
    pub async fn serve<S, B>(self, service: S) -> anyhow::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<Failure>,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<Failure>> + Send + 'static,
    {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let (acceptor, service) = (self.acceptor.clone(), service.clone());
            tokio::spawn(async move {
                // Where a client goes away there is nobody to tell.
                let _ = connection(stream, acceptor, service).await;
            });
        }
    }
}

async fn connection<S, B>(stream: TcpStream, acceptor: TlsAcceptor, service: S) -> Result<(), Failure>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Failure>,
    B: Body<Data = Bytes, Error: Into<Failure>> + 'static,
{
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    Ok(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?)
}

fn config(tls_dir: &Path) -> anyhow::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(tls_dir.join("tls.crt"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(tls_dir.join("tls.key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
