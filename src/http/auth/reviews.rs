//! How many reviews the API server is asked for: whoever makes tokens up can cost it no more than this, and
//! one address alone cannot take what the others need.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::super::fair::{self, Fair};

/// How many reviews are under way at once.
const AT_ONCE: usize = 10;

/// How many of them are for callers at one address.
const OF_ONE: usize = 2;

/// How long each counts at least: together with the above that is 100 reviews in a second.
const PACE: Duration = Duration::from_millis(100);

/// How long a slot is waited for.
const WITHIN: Duration = Duration::from_secs(1);

/// The slots for reviews.
pub(super) struct Reviews(Fair);

/// Leave for one review, until the last of its clones is gone.
pub(super) type Slot = Arc<fair::Slot>;

impl Default for Reviews {
    fn default() -> Self {
        Self(Fair::new(AT_ONCE, OF_ONE))
    }
}

impl Reviews {
    /// Leave for one review, for a caller at that address; none where too many are before it.
    pub(super) async fn slot(&self, from: IpAddr) -> Option<Slot> {
        let slot: Slot = Arc::new(timeout(WITHIN, self.0.slot(from)).await.ok()?);
        let paced = Arc::clone(&slot);
        tokio::spawn(async move {
            sleep(PACE).await;
            drop(paced);
        });
        Some(slot)
    }
}
