//! The commands that ask a running node: `celestia p2p …`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpStream;

use crate::store::{self, NodeType, Store};
use crate::token::{self, Permission};

/// How long a node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to ask.
#[derive(Clone, Copy, Debug)]
pub enum Query {
    /// The node's own id and addresses.
    Info,
    /// The ids of the peers that it is connected to.
    Peers,
}

/// What the commands print.
#[derive(Serialize)]
struct Printed {
    result: Output,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Output {
    Info { id: String, peer_addr: Vec<String> },
    Peers { peers: Vec<String> },
    Error(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(rename = "ID")]
    id: String,
    addrs: Vec<String>,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: Option<T>,
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    message: String,
}

/// A token for all calls, made with the secret in the store of a node of this machine.
pub fn token_from_store(path: Option<PathBuf>) -> Result<String> {
    let secret = path
        .map_or_else(find_store, Ok)
        .and_then(|path| Store::at(path).secret())
        .context("cant access the auth token")?;
    Ok(token::sign(&secret, Permission::Admin))
}

fn find_store() -> Result<PathBuf> {
    [NodeType::Bridge, NodeType::Full, NodeType::Light]
        .into_iter()
        .filter_map(|node_type| store::default_path(node_type).ok())
        .find(|path| path.is_dir())
        .context("token/node-store flag was not specified")
}

/// Asks a node and prints its answer. What goes wrong on the way is printed as a result too, and
/// the command succeeds: so does the real one.
pub async fn print(query: Query, url: &str, token: &str) -> Result<()> {
    let result = tokio::time::timeout(TIMEOUT, ask(query, url, token))
        .await
        .unwrap_or_else(|_| Err(anyhow!("sendRequest failed: no answer in {TIMEOUT:?}")))
        .unwrap_or_else(|error| Output::Error(format!("{error:#}")));
    println!("{}", serde_json::to_string_pretty(&Printed { result })?);
    Ok(())
}

async fn ask(query: Query, url: &str, token: &str) -> Result<Output> {
    match query {
        Query::Info => {
            let info: Info = call(url, token, "p2p.Info").await?;
            Ok(Output::Info { id: info.id, peer_addr: info.addrs })
        }
        Query::Peers => {
            let peers = call(url, token, "p2p.Peers").await?;
            Ok(Output::Peers { peers })
        }
    }
}

async fn call<T: DeserializeOwned>(url: &str, token: &str, method: &str) -> Result<T> {
    let body = send(url, token, method).await.context("sendRequest failed")?;
    let answer: Answer<T> = serde_json::from_slice(&body).context("unmarshaling response")?;
    if let Some(error) = answer.error {
        bail!(error.message);
    }
    answer.result.context("the answer has no result")
}

async fn send(url: &str, token: &str, method: &str) -> Result<Bytes> {
    let uri: Uri = url.parse().context("parse the RPC's URL")?;
    let authority = uri.authority().context("no host in the RPC's URL")?;
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.context("dial tcp")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);

    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": [] });
    let request = Request::post(uri.path())
        .header(HOST, authority.as_str())
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::new(Bytes::from(call.to_string())))?;
    let response = sender.send_request(request).await?;
    if response.status() == StatusCode::UNAUTHORIZED {
        bail!("request failed, http status {}", response.status());
    }
    Ok(response.into_body().collect().await?.to_bytes())
}
