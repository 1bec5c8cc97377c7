//! Slots, of which no address alone can take what the others need.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::shared::Shared;

/// The slots.
pub(super) struct Fair {
    all: Arc<Semaphore>,
    of_one: Shared<IpAddr, Semaphore>,
    each: usize,
}

/// One of them, until it is dropped.
pub(super) type Slot = [OwnedSemaphorePermit; 2];

impl Fair {
    /// So many slots, and of them so many for `each` address.
    pub fn new(all: usize, each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), of_one: Shared::default(), each }
    }

    /// A slot for somebody at that address, once there is one. Who waits for those of its own address takes
    /// none from the others.
    pub async fn slot(&self, from: IpAddr) -> Slot {
        let own = self.of_one.of(from, || Semaphore::new(self.each));
        let never = "they are never closed";
        let own = own.acquire_owned().await.expect(never);
        [own, Arc::clone(&self.all).acquire_owned().await.expect(never)]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_behind_its_own_takes_nothing_from_others() {
        let (fair, [greedy, other]) = (Fair::new(2, 1), [1, 2].map(|n| IpAddr::from([10, 0, 0, n])));
        let first = fair.slot(greedy).await;
        let waiting: Vec<_> = (0..9).map(|_| fair.slot(greedy).boxed()).collect();
        let mut waiting = futures::future::join_all(waiting).boxed();
        assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
        let second = timeout(Duration::from_secs(1), fair.slot(other)).await.expect("there is one left");
        drop((first, second, waiting));
        drop(fair.slot(greedy).await);
    }
}
