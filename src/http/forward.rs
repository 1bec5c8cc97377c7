//! Asking the leader on somebody's behalf: what it has seen inside of the nodes, other replicas have
//! not.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use crate::certificates::Standing;
use crate::tls;

/// How long the leader may take to answer.
const WITHIN: Duration = Duration::from_secs(3);

/// How much it may answer, in bytes: 10,000 nodes have a list of about 5 MB.
const LIMIT: usize = 64 * 1024 * 1024;

/// What a forwarded request carries, so that it is not forwarded once more.
const FORWARDED: &str = "torch-forwarded";

/// The way to the leader.
#[derive(Clone)]
pub struct Forward {
    /// Its pod's IP address, if it is another replica.
    pub leader: watch::Receiver<Option<IpAddr>>,
    /// The port that all replicas serve on.
    pub port: u16,
    /// The name that its certificate is for.
    pub name: String,
    /// The CA of its certificate.
    pub standing: watch::Receiver<Standing>,
}

impl Forward {
    /// The leader's answer to `GET path`, with the credentials of the request; `None` where this replica
    /// is the one to answer.
    pub async fn get(&self, path: &str, headers: &HeaderMap) -> Option<Result<Response, String>> {
        let leader = *self.leader.borrow();
        let ip = leader.filter(|_| !headers.contains_key(FORWARDED))?;
        let at = SocketAddr::new(ip, self.port);
        let answer = tokio::time::timeout(WITHIN, self.ask(at, path, headers)).await;
        Some(match answer {
            Ok(answer) => answer.map_err(|error| format!("cannot ask the leader at {at}: {error}")),
            Err(_) => Err(format!("the leader at {at} does not answer")),
        })
    }

    async fn ask(
        &self,
        at: SocketAddr,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Response, Box<dyn Error + Send + Sync>> {
        let config = match &*self.standing.borrow() {
            Standing::Registered { ca, .. } => tls::client_config(ca)?,
            Standing::Not(why) => return Err(why.clone().into()),
        };
        let stream = TcpStream::connect(at).await?;
        let name = ServerName::try_from(self.name.clone())?;
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::get(path).header(header::HOST, &self.name).body(Body::empty())?;
        request.headers_mut().insert(FORWARDED, HeaderValue::from_static("1"));
        if let Some(credentials) = headers.get(header::AUTHORIZATION) {
            request.headers_mut().insert(header::AUTHORIZATION, credentials.clone());
        }
        let exchange = async {
            let (head, body) = client.send_request(request).await?.into_parts();
            let body = Limited::new(body, LIMIT).collect().await?.to_bytes();
            Ok(answer(head.status, body))
        };
        tokio::select! {
            done = exchange => done,
            ended = connection => Err(ended.err().map_or_else(|| "it hung up".into(), Into::into)),
        }
    }
}

fn answer(status: StatusCode, body: Bytes) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
