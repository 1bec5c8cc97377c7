//! How many reviews the API server is asked for: whoever makes tokens up can cost it no more than this, and
//! one address alone cannot take what the others need.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::super::shared::Shared;

/// How many reviews are under way at once.
const AT_ONCE: usize = 10;

/// How many of them are for callers at one address.
const OF_ONE: usize = 2;

/// How long each counts at least: together with the above that is 100 reviews in a second.
const PACE: Duration = Duration::from_millis(100);

/// How long a slot is waited for.
const WITHIN: Duration = Duration::from_secs(1);

/// The slots for reviews.
pub(super) struct Reviews {
    all: Arc<Semaphore>,
    of_one: Shared<IpAddr, Semaphore>,
}

/// Leave for one review, until the last of its clones is gone.
pub(super) type Slot = Arc<[OwnedSemaphorePermit; 2]>;

impl Default for Reviews {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), of_one: Shared::default() }
    }
}

impl Reviews {
    /// Leave for one review, for a caller at that address; none where too many are before it.
    pub(super) async fn slot(&self, from: IpAddr) -> Option<Slot> {
        let slots = [self.of_one.of(from, || Semaphore::new(OF_ONE)), Arc::clone(&self.all)];
        let slot: Slot = Arc::new(timeout(WITHIN, acquire(slots)).await.ok()?);
        let paced = Arc::clone(&slot);
        tokio::spawn(async move {
            sleep(PACE).await;
            drop(paced);
        });
        Some(slot)
    }
}

/// The first before the second: who waits for its own address takes nothing of what is for all.
async fn acquire([first, second]: [Arc<Semaphore>; 2]) -> [OwnedSemaphorePermit; 2] {
    let never = "they are never closed";
    [first.acquire_owned().await.expect(never), second.acquire_owned().await.expect(never)]
}
