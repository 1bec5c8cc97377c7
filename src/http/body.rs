//! Reading bodies, with a bound on what all of them hold together.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The largest body read, in bytes: an API server's own limit of an object is below 4 MiB, and a review
/// can carry two. What is too large for its path is read up to here nonetheless: a connection that closes
/// over unread data is reset, and the client may never see the answer.
pub(super) const MOST: usize = 8 * 1024 * 1024;

/// A body up to this size needs no leave: a pod's review has some ten kilobytes.
const SMALL: u64 = 32 * 1024;

/// How many larger ones are read at once.
const LARGE_AT_ONCE: usize = 4;

/// How long the leave for a larger one, and then the body itself, is waited for: with both the answer is
/// late for a webhook's two seconds.
const WITHIN: Duration = Duration::from_secs(1);

/// Why a body is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is larger than its path takes.
    TooLarge,
    /// Too many large ones are being read.
    Busy,
    /// It did not come to its end.
    Broken,
}

/// Reads bodies.
pub struct Bodies(Semaphore);

impl Default for Bodies {
    fn default() -> Self {
        Self(Semaphore::new(LARGE_AT_ONCE))
    }
}

impl Bodies {
    /// Reads a body of `most` bytes at most.
    pub(super) async fn read(&self, body: Body, most: usize) -> Result<Bytes, Missing> {
        let is_small = body.size_hint().upper().is_some_and(|size| size <= SMALL);
        if is_small {
            return collect(body, most).await;
        }
        let leave = timeout(WITHIN, self.0.acquire()).await.map_err(|_| Missing::Busy)?;
        let read = timeout(WITHIN, collect(body, most)).await.unwrap_or(Err(Missing::Broken));
        drop(leave);
        read
    }
}

async fn collect(body: Body, most: usize) -> Result<Bytes, Missing> {
    match Limited::new(body, MOST).collect().await {
        Ok(body) => Some(body.to_bytes()).filter(|body| body.len() <= most).ok_or(Missing::TooLarge),
        Err(error) if error.is::<LengthLimitError>() => Err(Missing::TooLarge),
        Err(_) => Err(Missing::Broken),
    }
}
