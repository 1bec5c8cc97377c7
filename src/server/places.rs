//! The places for connections. Where all are taken, the address that has most of them loses the one of its
//! connections that has asked for nothing for the longest time: so nobody can keep the API server out by
//! holding connections, and nobody who has few of them loses one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The places of one port.
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Taken>,
}

/// Who has which.
#[derive(Default)]
struct Taken(Mutex<HashMap<IpAddr, Vec<Arc<Held>>>>);

/// What is known of a place that is taken.
struct Held {
    /// How many requests have come.
    asked: AtomicU64,
    /// When it was taken, or last asked from.
    last: Mutex<Instant>,
    given_up: Notify,
}

impl Places {
    pub(super) fn new(places: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(places)), taken: Arc::default() }
    }

    /// Waits for a place, and has somebody else give up theirs where there is none.
    pub(super) async fn take(&self, from: IpAddr) -> Place {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.taken.make_room();
                Arc::clone(&self.free).acquire_owned().await.expect("it is never closed")
            }
        };
        let held = Arc::new(Held {
            asked: AtomicU64::new(0),
            last: Mutex::new(Instant::now()),
            given_up: Notify::new(),
        });
        self.taken.with(|all| all.entry(from).or_default().push(Arc::clone(&held)));
        Place { from, held, taken: Arc::clone(&self.taken), _permit: permit }
    }
}

impl Taken {
    fn make_room(&self) {
        self.with(|all| {
            let most = all.values_mut().max_by_key(|held| held.len())?;
            let (longest, _) = most.iter().enumerate().min_by_key(|(_, held)| held.last())?;
            most.swap_remove(longest).given_up.notify_one();
            Some(())
        });
    }

    fn forget(&self, from: IpAddr, held: &Arc<Held>) {
        self.with(|all| {
            if let Some(of_one) = all.get_mut(&from) {
                of_one.retain(|other| !Arc::ptr_eq(other, held));
                if of_one.is_empty() {
                    all.remove(&from);
                }
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<IpAddr, Vec<Arc<Held>>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, until it is dropped.
pub(super) struct Place {
    from: IpAddr,
    held: Arc<Held>,
    taken: Arc<Taken>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// A request has come: the how many-eth, counted from 1.
    pub(super) fn asked(&self) -> u64 {
        *self.held.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.held.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Waits until it is to be given up.
    pub(super) async fn given_up(&self) {
        self.held.given_up.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.forget(self.from, &self.held);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn host(host: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, host).into()
    }

    /// Holds a place until it is to be given up.
    fn hold(place: Place) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move { place.given_up().await })
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_most_gives_up_what_was_silent_longest() {
        let places = Places::new(6);
        let few = [hold(places.take(host(1)).await), hold(places.take(host(1)).await)];
        let mut many = Vec::new();
        for _ in 0..4 {
            advance(SECOND).await;
            many.push(places.take(host(2)).await);
        }
        advance(SECOND).await;
        many[0].asked();
        let many: Vec<_> = many.into_iter().map(hold).collect();

        let new = places.take(host(3)).await;
        let ended = |all: &[tokio::task::JoinHandle<()>]| -> Vec<bool> {
            all.iter().map(|t| t.is_finished()).collect()
        };
        assert_eq!(ended(&many), [false, true, false, false]);
        let newer = places.take(host(1)).await;
        assert_eq!((ended(&many), ended(&few)), (vec![false, true, true, false], vec![false, false]));
        drop((new, newer));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_one_address_costs_nobody_else_a_place() {
        let places = Places::new(10);
        let other = hold(places.take(host(1)).await);
        for _ in 0..1000 {
            hold(places.take(host(2)).await);
        }
        let place = timeout(SECOND, places.take(host(3))).await.expect("there is room");
        assert!(!other.is_finished());
        drop(place);
        other.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_is_forgotten() {
        let places = Places::new(2);
        for n in 0..100 {
            drop(places.take(host(n)).await);
        }
        assert_eq!(places.taken.with(|all| all.len()), 0);
        assert_eq!(places.free.available_permits(), 2);
    }
}
