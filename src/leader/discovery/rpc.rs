//! The probe `rpc`: the node's JSON-RPC answers `p2p.Info`.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::exec::shorten;
use crate::cluster::Cluster;
use crate::config::SecretKey;
use crate::peers::PeerId;

/// How much it may answer, in bytes.
const LIMIT: usize = 64 * 1024;

const REQUEST: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"p2p.Info","params":[]}"#;

#[derive(Deserialize)]
struct Answer {
    result: Option<Info>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Deserialize)]
struct Fault {
    message: String,
}

pub(super) async fn ask(
    cluster: &Cluster,
    at: SocketAddr,
    secret: Option<&SecretKey>,
) -> Result<PeerId, String> {
    let token = match secret {
        Some(secret) => Some(token(cluster, secret).await?),
        None => None,
    };
    let (status, body) = post(at, token).await.map_err(|why| format!("cannot ask {at}: {why}"))?;
    match status {
        http::StatusCode::OK => info(&body),
        http::StatusCode::UNAUTHORIZED => {
            Err("it refuses the token: set tokenSecret to an admin token".into())
        }
        other => Err(format!("it answers {other}")),
    }
}

async fn token(cluster: &Cluster, secret: &SecretKey) -> Result<http::HeaderValue, String> {
    let SecretKey { name, key } = secret;
    let bytes = cluster.secret(name, key).await.map_err(|e| e.to_string())?;
    let bytes = bytes.ok_or_else(|| format!("there is no entry `{key}` in Secret `{name}`"))?;
    let token = String::from_utf8_lossy(&bytes);
    let mut header = http::HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_| format!("the entry `{key}` of Secret `{name}` is not a token"))?;
    header.set_sensitive(true);
    Ok(header)
}

async fn post(
    at: SocketAddr,
    token: Option<http::HeaderValue>,
) -> Result<(http::StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(at).await?;
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let mut request = http::Request::post("/")
            .header(http::header::HOST, at.to_string())
            .header(http::header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(http::header::AUTHORIZATION, token);
        }
        let response = client.send_request(request.body(Full::new(Bytes::from_static(REQUEST)))?).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LIMIT).collect().await?.to_bytes();
        Ok((head.status, body))
    };
    tokio::select! {
        done = exchange => done,
        ended = connection => Err(ended.err().map_or_else(|| "it hung up".into(), Into::into)),
    }
}

/// The id in a node's answer to `p2p.Info`.
///
/// # Errors
/// Where it is no such answer, or refuses.
pub fn info(body: &[u8]) -> Result<PeerId, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|e| format!("its answer is not JSON-RPC: {}", shorten(&e.to_string())))?;
    match answer {
        Answer { result: Some(info), .. } => {
            info.id.parse().map_err(|_| format!("its ID is none: {}", shorten(&info.id)))
        }
        Answer { error: Some(fault), .. } => Err(format!("it refuses: {}", shorten(&fault.message))),
        _ => Err("its answer has neither a result nor an error".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let id = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";
        let good = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"ID":"{id}","Addrs":[]}}}}"#);
        assert_eq!(info(good.as_bytes()).unwrap().to_string(), id);
        let refused =
            r#"{"error":{"code":1,"message":"missing permission to invoke 'Info' (need 'admin')"}}"#;
        assert!(info(refused.as_bytes()).unwrap_err().contains("missing permission"));
        let long = format!("\"{}\"", "\u{7f}".repeat(60_000));
        for bad in ["", "{}", r#"{"result":{"ID":"x\n"}}"#, r#"{"error":{"message":"\n"}}"#, &long] {
            let why = info(bad.as_bytes()).unwrap_err();
            assert!(why.len() < 2000 && !why.contains('\n'), "{why}");
        }
    }
}
