//! Who may call what: REST whoever shows a bearer token that the API server accepts, and is allowed to by
//! the cluster's rules, and without an answer from the API server nobody new.

mod answers;
mod reviews;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use self::answers::{Answers, Key};
use self::reviews::Reviews;
use super::connection;
use super::rest::Failure;
use super::shared::Shared;
use crate::cluster::events::Reason as EventReason;
use crate::cluster::{Cluster, Error};
use crate::telemetry::Metrics;

/// The longest token that is asked about.
const LONGEST: usize = 8 * 1024;

/// How long the API server may take for one caller.
const WITHIN: Duration = Duration::from_secs(3);

/// Whom REST answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RestAuth {
    /// Who shows a ServiceAccount's token and may call that path
    Token,
    /// Everybody who can reach it
    None,
}

/// What lets requests to REST pass, or does not.
pub struct Guard(Option<Tokens>);

impl Guard {
    /// Lets everybody pass.
    pub fn open() -> Self {
        Self(None)
    }

    /// Lets those pass whose token `cluster` vouches for, be it for the API server or for `audience`.
    pub fn by_token(cluster: Cluster, audience: String, metrics: Arc<Metrics>) -> Self {
        Self(Some(Tokens {
            cluster,
            audience,
            answers: Answers::default(),
            turns: Shared::default(),
            reviews: Reviews::default(),
            is_away: AtomicBool::new(false),
            metrics,
        }))
    }
}

/// Lets a request to REST pass, or answers in its place.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let Some(tokens) = &guard.0 else {
        return next.run(request).await;
    };
    let wish = tokens.wish(&request);
    let verdict = tokens.judge(&wish).await;
    tokens.metrics.authorization(verdict.as_ref().map_or_else(Refusal::label, |()| "granted"));
    match verdict {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.answer(&wish, &tokens.audience),
    }
}

/// Leave, or none.
type Verdict = Result<(), Refusal>;

/// Why a request does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// It shows no token.
    NoToken,
    /// The API server does not accept its token.
    Unknown,
    /// This user may not do that.
    Forbidden(Arc<str>),
    /// The API server gives no answer.
    Unavailable,
    /// The API server is not asked as often as that.
    TooMany,
}

impl Refusal {
    /// Its value of the metric label `outcome`.
    fn label(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Unknown => "unknown_token",
            Self::Forbidden(_) => "forbidden",
            Self::Unavailable => "unavailable",
            Self::TooMany => "too_many",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn words(&self, wish: &Wish, audience: &str) -> String {
        match self {
            Self::NoToken => {
                "this path needs a ServiceAccount's token, as `Authorization: Bearer <token>`".into()
            }
            Self::Unknown => format!(
                "the API server does not accept the token: it is none, has expired, is revoked, or is for \
                 another audience than the API server's own or {audience}"
            ),
            Self::Forbidden(user) => format!(
                "{user} may not call this: no rule of the cluster grants it `{}` on the non-resource URL {}",
                wish.verb, wish.path
            ),
            Self::Unavailable => "the API server does not say whose token this is: ask again".into(),
            Self::TooMany => "too many tokens at once that are not known yet: ask again".into(),
        }
    }

    fn answer(&self, wish: &Wish, audience: &str) -> Response {
        let mut response = Failure::new(self.status(), self.words(wish, audience)).into_response();
        let challenge = match self {
            Self::NoToken => r#"Bearer realm="torch""#,
            Self::Unknown => r#"Bearer realm="torch", error="invalid_token""#,
            _ => return response,
        };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}

/// What a request asks leave for.
struct Wish {
    from: IpAddr,
    token: Option<String>,
    verb: String,
    /// The path by which the cluster's rules call it.
    path: String,
}

struct Tokens {
    cluster: Cluster,
    /// Tokens for Torch alone are for this one.
    audience: String,
    answers: Answers,
    /// Held by whoever asks, so that the others with the same wish wait for the answer.
    turns: Shared<Key, Mutex<()>>,
    reviews: Reviews,
    is_away: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Tokens {
    /// The path that is asked for has the namespace in it: the rules for such paths hold for the whole
    /// cluster, and leave to call the Torch of one namespace must be none to call another's.
    fn wish(&self, request: &Request) -> Wish {
        Wish {
            from: connection(request).from,
            token: bearer_token(request.headers()).map(String::from),
            verb: request.method().as_str().to_ascii_lowercase(),
            path: format!("/torch/{}{}", self.cluster.namespace(), request.uri().path()),
        }
    }

    /// From memory, else by asking; the same wish is asked for once at a time.
    async fn judge(&self, wish: &Wish) -> Verdict {
        let token = wish.token.as_deref().ok_or(Refusal::NoToken)?;
        if token.len() > LONGEST {
            return Err(Refusal::Unknown);
        }
        let key = Key::of([&wish.verb, &wish.path, token]);
        if let Some(verdict) = self.answers.known(&key) {
            return verdict;
        }
        let turn = self.turns.of(key, Mutex::default);
        let _turn = turn.lock().await;
        if let Some(verdict) = self.answers.known(&key) {
            return verdict;
        }
        let verdict = self.ask(wish, token).await;
        self.answers.learn(key, verdict.clone(), life(token));
        // Where it could not be asked, older leave may hold.
        self.answers.known(&key).unwrap_or(verdict)
    }

    async fn ask(&self, wish: &Wish, token: &str) -> Verdict {
        let Some(_slot) = self.reviews.slot(wish.from).await else {
            return Err(Refusal::TooMany);
        };
        let failure = match timeout(WITHIN, self.review(wish, token)).await {
            Ok(Ok(verdict)) => {
                if self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the API server says again who may call REST");
                }
                return verdict;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", WITHIN.as_secs()),
        };
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = %failure, "cannot tell who may call REST");
            self.cluster.events().about_torch(EventReason::CannotAuthorize, failure);
        }
        Err(Refusal::Unavailable)
    }

    async fn review(&self, wish: &Wish, token: &str) -> Result<Verdict, Error> {
        let is_for_torch = claims(token).is_for(&self.audience);
        let audience = is_for_torch.then_some(self.audience.as_str());
        let Some(user) = self.cluster.review_token(token, audience).await? else {
            return Ok(Err(Refusal::Unknown));
        };
        let may = self.cluster.may(&user, &wish.verb, &wish.path).await?;
        Ok(if may { Ok(()) } else { Err(Refusal::Forbidden(user.name().into())) })
    }
}

/// The token, where there is exactly one.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty()).then_some(token)
}

/// What a token says of itself, which is true only once the API server accepts it.
#[derive(Default, Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Audiences,
    exp: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Claims {
    fn is_for(&self, audience: &str) -> bool {
        match &self.aud {
            Audiences::One(only) => only == audience,
            Audiences::Many(all) => all.iter().any(|one| one == audience),
        }
    }
}

fn claims(token: &str) -> Claims {
    let claims = token.split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
    claims.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

/// When an accepted token ends by itself, if it does.
fn life(token: &str) -> Option<Instant> {
    let left = claims(token).exp?.saturating_sub(Timestamp::now().as_second());
    Instant::now().checked_add(Duration::from_secs(left.try_into().unwrap_or(0)))
}

#[cfg(test)]
mod tests;
