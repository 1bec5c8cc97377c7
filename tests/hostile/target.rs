//! What is attacked, and how it is reached.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::kubectl;

/// How long the attacks wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// A replica of Torch.
pub struct Target {
    pub namespace: String,
    pub at: SocketAddr,
    /// How many connections were opened.
    pub opened: AtomicUsize,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

impl Target {
    pub fn new(namespace: &str, ip: &str) -> Arc<Self> {
        let map = kubectl::get(namespace, "configmap/torch-ca").unwrap_or_else(|why| panic!("{why}"));
        let ca = map["data"]["ca.crt"].as_str().expect("it is published");
        Arc::new(Self {
            namespace: namespace.to_owned(),
            at: SocketAddr::new(ip.parse().expect("an IP address"), 8443),
            opened: AtomicUsize::new(0),
            name: ServerName::try_from(format!("torch.{namespace}.svc")).expect("a name"),
            tls: ::torch::tls::client_config(ca).expect("a CA"),
        })
    }

    /// A connection from an address of this machine; from that which the routes say, without one.
    pub async fn connect(&self, from: Option<Ipv4Addr>) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(SocketAddrV4::new(from, 0).into())?;
        }
        let stream = timeout(CONNECT, socket.connect(self.at)).await??;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    /// The same, by TLS.
    pub async fn connect_tls(&self, from: Option<Ipv4Addr>) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.connect(from).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        timeout(CONNECT, connector.connect(self.name.clone(), stream)).await?
    }
}
