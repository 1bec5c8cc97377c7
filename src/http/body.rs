//! Reading bodies, with a bound on what all of them hold together.

use std::ops::Deref;
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use http::Request;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use super::connection;
use super::fair::{Fair, Slot};

/// The largest body read, in bytes: an API server takes requests of 3 MiB at most, and the review of a
/// creation carries one object. What is too large for its path is read up to here nonetheless: a connection
/// that closes over unread data is reset, and the client may never see the answer.
pub(super) const MOST: usize = 4 * 1024 * 1024;

/// A body up to this size needs no leave: a pod's review has some ten kilobytes.
const SMALL: u64 = 32 * 1024;

/// How many larger ones are held at once, of one address no more than one: what fills the other is not that of
/// the API server. What is read of a review takes some MB at the most, since its entries are counted.
const LARGE_AT_ONCE: usize = 2;

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

/// A body, with its leave where it needs one.
pub(super) struct Held {
    body: Bytes,
    _leave: Option<Slot>,
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.body
    }
}

/// Reads bodies.
pub struct Bodies(Fair);

impl Default for Bodies {
    fn default() -> Self {
        Self(Fair::new(LARGE_AT_ONCE, 1))
    }
}

impl Bodies {
    /// Reads a body of `most` bytes at most. Large ones are to be held no longer than it takes to read what
    /// they say.
    pub(super) async fn read<B>(&self, request: Request<B>, most: usize) -> Result<Held, Missing>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
    {
        let (from, body) = (connection(&request).from, request.into_body());
        let is_small = body.size_hint().upper().is_some_and(|size| size <= SMALL);
        if is_small {
            return Ok(Held { body: collect(body, most).await?, _leave: None });
        }
        let leave = timeout(WITHIN, self.0.slot(from)).await.map_err(|_| Missing::Busy)?;
        let body = timeout(WITHIN, collect(body, most)).await.unwrap_or(Err(Missing::Broken))?;
        Ok(Held { body, _leave: Some(leave) })
    }
}

async fn collect<B>(body: B, most: usize) -> Result<Bytes, Missing>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    match Limited::new(body, MOST).collect().await {
        Ok(body) => Some(body.to_bytes()).filter(|body| body.len() <= most).ok_or(Missing::TooLarge),
        Err(error) if error.is::<LengthLimitError>() => Err(Missing::TooLarge),
        Err(_) => Err(Missing::Broken),
    }
}
