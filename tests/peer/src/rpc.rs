//! JSON-RPC over HTTP, as far as the p2p module's `Info` and `Peers`.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::host::View;
use crate::token::{self, Permission};

const PARSE_ERROR: i32 = -32700;
const METHOD_NOT_FOUND: i32 = -32601;
/// The code of errors that a method itself returns.
const METHOD_FAILED: i32 = 1;

/// What the methods answer from.
pub struct Api {
    /// The node's own id.
    pub id: PeerId,
    /// What is known of its host.
    pub view: watch::Receiver<View>,
    /// Signs the tokens.
    pub secret: Vec<u8>,
    /// Whether calls need no token.
    pub skip_auth: bool,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    id: Value,
    method: String,
}

/// An answer; a struct, so that its fields come in the real node's order.
#[derive(Serialize)]
struct Answer {
    jsonrpc: &'static str,
    id: Value,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Value),
    Error { code: i32, message: String },
}

/// Serves calls for ever.
pub async fn serve(listener: TcpListener, api: Api) -> Result<()> {
    let router = Router::new().route("/", post(call)).with_state(Arc::new(api));
    axum::serve(listener, router).await.context("serve RPC")
}

async fn call(State(api): State<Arc<Api>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(permission) = api.permission(&headers) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let (status, id, outcome) = match serde_json::from_slice::<Request>(&body) {
        Ok(request) => {
            let (status, outcome) = api.answer(&request.method, permission);
            (status, request.id, outcome)
        }
        Err(_) => {
            let (status, outcome) = refuse(PARSE_ERROR, "Parse error".to_owned());
            (status, Value::Null, outcome)
        }
    };
    let answer = Answer { jsonrpc: "2.0", id, outcome };
    let text = serde_json::to_string(&answer).expect("answers are plain JSON") + "\n";
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

impl Api {
    /// What the caller may do; `None` for a token that is not this node's.
    fn permission(&self, headers: &HeaderMap) -> Option<Permission> {
        if self.skip_auth {
            return Some(Permission::Admin);
        }
        match headers.get(AUTHORIZATION) {
            None => Some(Permission::Public),
            Some(value) => {
                let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
                token::verify(&self.secret, token)
            }
        }
    }

    fn answer(&self, method: &str, permission: Permission) -> (StatusCode, Outcome) {
        let (name, result) = match method {
            "p2p.Info" => ("Info", self.info()),
            "p2p.Peers" => ("Peers", self.peers()),
            _ => return refuse(METHOD_NOT_FOUND, format!("method '{method}' not found")),
        };
        if permission < Permission::Admin {
            let message = format!("missing permission to invoke '{name}' (need 'admin')");
            let code = METHOD_FAILED;
            return (StatusCode::OK, Outcome::Error { code, message });
        }
        (StatusCode::OK, Outcome::Result(result))
    }

    fn info(&self) -> Value {
        let view = self.view.borrow();
        json!({ "ID": self.id.to_string(), "Addrs": view.announced() })
    }

    fn peers(&self) -> Value {
        let view = self.view.borrow();
        view.connected.iter().map(PeerId::to_string).collect()
    }
}

/// An error of the protocol itself, which the real server marks by the HTTP status too.
fn refuse(code: i32, message: String) -> (StatusCode, Outcome) {
    (StatusCode::INTERNAL_SERVER_ERROR, Outcome::Error { code, message })
}
