//! A proxy before the API server that counts what it is asked, and answers what would need a kubelet.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Sub;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context as _;
use futures::SinkExt as _;
use http::header::{
    AUTHORIZATION, CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

/// The channel of an exec on which its end is told.
const STATUS: u8 = 3;

type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// How much there was of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests.
    pub requests: u64,
    /// Bytes of paths and bodies that were sent.
    pub written: u64,
    /// Bytes of bodies that came back.
    pub read: u64,
}

/// What was asked, by verb and resource.
#[derive(Clone, Debug, Default)]
pub struct Tally(pub BTreeMap<String, Count>);

impl Tally {
    /// All together, but for the Lease: that is renewed all the time, whatever there is to do.
    pub fn sum(&self) -> Count {
        let counts = self.0.iter().filter(|(kind, _)| !is_of_lease(kind)).map(|(_, count)| count);
        counts.fold(Count::default(), |sum, count| Count {
            requests: sum.requests + count.requests,
            written: sum.written + count.written,
            read: sum.read + count.read,
        })
    }
}

impl Sub for &Tally {
    type Output = Tally;

    fn sub(self, before: &Tally) -> Tally {
        let since = |(kind, now): (&String, &Count)| {
            let then = before.0.get(kind).copied().unwrap_or_default();
            let count = Count {
                requests: now.requests - then.requests,
                written: now.written - then.written,
                read: now.read - then.read,
            };
            (count != Count::default()).then(|| (kind.clone(), count))
        };
        Tally(self.0.iter().filter_map(since).collect())
    }
}

/// The proxy.
#[derive(Clone)]
pub struct Proxy {
    port: u16,
    ca: String,
    client: Client,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    tally: Tally,
    last: Instant,
}

impl Proxy {
    /// Stands before the API server of this client, and shows it the client's credentials.
    pub async fn start(client: Client) -> anyhow::Result<Self> {
        let names = ["localhost".to_owned()];
        let now = jiff::Timestamp::now();
        let own = torch::tls::Own::make(&names, now, torch::tls::Lives::KEPT)?;
        let serving = torch::tls::Serving::new(own.certified_key()?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
        let seen = Seen { tally: Tally::default(), last: Instant::now() };
        let port = listener.local_addr()?.port();
        let proxy = Self { port, ca: own.trust(), client, seen: Arc::new(Mutex::new(seen)) };
        tokio::spawn(proxy.clone().accept(listener, TlsAcceptor::from(serving.current())));
        Ok(proxy)
    }

    /// What a client needs to call it.
    pub fn kubeconfig(&self) -> serde_json::Value {
        let ca = k8s_openapi::ByteString(self.ca.clone().into_bytes());
        serde_json::json!({
            "clusters": [{"name": "proxy", "cluster": {
                "server": format!("https://localhost:{}", self.port),
                "certificate-authority-data": ca,
            }}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
            "current-context": "proxy",
        })
    }

    /// What was asked until now.
    pub fn tally(&self) -> Tally {
        self.seen().tally.clone()
    }

    /// When something was asked last.
    pub fn last(&self) -> Instant {
        self.seen().last
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic holds this lock")
    }

    fn count(&self, kind: &str, more: impl FnOnce(&mut Count)) {
        more(self.seen().tally.0.entry(kind.to_owned()).or_default());
    }

    async fn accept(self, listener: TcpListener, tls: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            let (proxy, tls) = (self.clone(), tls.clone());
            // Torch goes on after a connection that breaks, and what it then asks is counted.
            tokio::spawn(async move { proxy.serve(stream, tls).await.ok() });
        }
    }

    async fn serve(self, stream: TcpStream, tls: TlsAcceptor) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let stream = tls.accept(stream).await?;
        let answer = service_fn(move |request| {
            let proxy = self.clone();
            async move { proxy.answer(request).await }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        Ok(connection.with_upgrades().await?)
    }

    async fn answer(&self, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        let kind = kind(request.method(), request.uri());
        self.count(&kind, |count| {
            count.requests += 1;
            count.written += request.uri().to_string().len() as u64;
        });
        if !is_of_lease(&kind) {
            self.seen().last = Instant::now();
        }
        if kind.ends_with("pods/exec") { run_nothing(request) } else { self.forward(request, kind).await }
    }

    async fn forward(&self, request: Request<Incoming>, kind: String) -> anyhow::Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        head.uri = head.uri.path_and_query().context("no path")?.as_str().parse()?;
        for header in [HOST, AUTHORIZATION, CONNECTION] {
            head.headers.remove(header);
        }
        let body = body.collect().await?.to_bytes();
        self.count(&kind, |count| count.written += body.len() as u64);
        let request = Request::from_parts(head, kube::client::Body::from(body.to_vec()));
        let (proxy, mut response) = (self.clone(), self.client.send(request).await?);
        response.headers_mut().remove(CONNECTION);
        let counted = move |frame: Frame<Bytes>| {
            let read = frame.data_ref().map_or(0, Bytes::len) as u64;
            proxy.count(&kind, |count| count.read += read);
            frame
        };
        Ok(response.map(|body| body.map_frame(counted).map_err(anyhow::Error::new).boxed_unsync()))
    }
}

fn is_of_lease(kind: &str) -> bool {
    kind.ends_with(" leases")
}

/// Such as `patch configmaps`.
fn kind(method: &Method, uri: &Uri) -> String {
    let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let after = |word: &str| parts.iter().position(|part| *part == word).map(|at| at + 2);
    let version = if parts.first() == Some(&"api") { 2 } else { 3 };
    let at = after("namespaces").filter(|&at| at < parts.len()).unwrap_or(version);
    let resource = parts.get(at).copied().unwrap_or("?");
    let (named, sub) = (parts.get(at + 1).is_some(), parts.get(at + 2));
    let verb = match *method {
        _ if uri.query().is_some_and(|q| q.contains("watch=true")) => "watch",
        Method::GET if named => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        _ => "delete",
    };
    sub.map_or_else(|| format!("{verb} {resource}"), |sub| format!("{verb} {resource}/{sub}"))
}

/// Says of a command that it ran and printed nothing.
fn run_nothing(mut request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).context("an exec by another protocol")?;
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move { end_exec(upgrade.await?).await });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .header(SEC_WEBSOCKET_PROTOCOL, "v5.channel.k8s.io");
    Ok(response.body(Empty::new().map_err(|never| match never {}).boxed_unsync())?)
}

async fn end_exec(upgraded: Upgraded) -> anyhow::Result<()> {
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let mut message = vec![STATUS];
    message.extend_from_slice(br#"{"metadata":{},"status":"Success"}"#);
    socket.send(Message::Binary(message.into())).await?;
    Ok(socket.close(None).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        for (method, uri, expected) in [
            (Method::GET, "/api/v1/namespaces/a/pods?watch=true", "watch pods"),
            (Method::GET, "/api/v1/namespaces/a/pods?limit=500", "list pods"),
            (Method::PATCH, "/api/v1/namespaces/a/configmaps/torch-book", "patch configmaps"),
            (Method::GET, "/api/v1/namespaces/a/pods/b/exec?command=sh", "get pods/exec"),
            (Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/torch", "update leases"),
            (
                Method::GET,
                "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
                "list mutatingwebhookconfigurations",
            ),
        ] {
            assert_eq!(kind(&method, &uri.parse().unwrap()), expected);
        }
    }
}
