//! Which replica leads: leader election on a Lease, as client-go does it.
//!
//! A holder renews the Lease every [`RETRY`] and leads until [`RENEW_WITHIN`] after the last success,
//! by its own clock; another takes it over once it has not seen it change for [`LASTS`], by its own
//! clock, so no two clocks need to agree. [`RENEW_WITHIN`] is shorter by more than an eviction may take, so
//! that what the old holder began in its last moment has ended before the new one begins.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::events::Reason;
use crate::cluster::{Cluster, Error, LeaseSeen};

/// How long a Lease that is not renewed keeps others out.
const LASTS: Duration = Duration::from_secs(15);

/// How long after the last renewal its holder still leads.
const RENEW_WITHIN: Duration = Duration::from_secs(10);

/// How often the Lease is renewed, or looked at.
const RETRY: Duration = Duration::from_secs(2);

/// How long one try may take.
const TRY_WITHIN: Duration = Duration::from_secs(5);

/// Who leads, as far as this replica knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The holder of the Lease.
    pub holder: Option<String>,
    /// Until when this replica leads.
    until: Option<Instant>,
}

impl Leadership {
    /// Whether this replica leads now.
    pub fn is_ours(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// Until when it does, if it does.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether they do not agree on who leads; it may be otherwise a moment later.
    fn differs_from(&self, other: &Self) -> bool {
        self.holder != other.holder || self.is_ours() != other.is_ours()
    }

    /// One that `holder` has for ever, for a test.
    #[cfg(test)]
    pub fn of(holder: &str) -> Self {
        Self { holder: Some(holder.into()), until: Some(Instant::now() + Duration::from_secs(1 << 30)) }
    }
}

/// One replica's part in the election.
pub struct Election {
    cluster: Cluster,
    identity: String,
    seen: LeaseSeen,
    /// When the Lease was first seen as it is; `None` before the first look.
    seen_at: Option<Instant>,
    leadership: watch::Sender<Leadership>,
    failing: bool,
}

impl Election {
    /// Stands for election by this name, which no other replica may have.
    pub fn new(cluster: Cluster, identity: String) -> Self {
        Self {
            cluster,
            identity,
            seen: LeaseSeen::default(),
            seen_at: None,
            leadership: watch::Sender::default(),
            failing: false,
        }
    }

    /// Who leads, as it changes. What is borrowed knows of the last renewal, too.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    /// Stands until `stopping`, and then gives the Lease up so that the next leader need not wait.
    pub async fn run(mut self, stopping: impl Future<Output = ()>) {
        let mut stopping = std::pin::pin!(stopping);
        loop {
            let pause = RETRY.mul_f64(1.0 + 0.2 * fastrand::f64());
            let turn = async {
                self.take_part().await;
                sleep(pause).await
            };
            tokio::select! { () = turn => {}, () = &mut stopping => break }
        }
        if self.leadership.borrow().is_ours() {
            self.publish(None);
            let released = timeout(TRY_WITHIN, self.cluster.hold_lease(&self.seen, None, 1)).await;
            tracing::info!(released = matches!(released, Ok(Ok(Some(_)))), "gives the lead up");
        }
    }

    async fn take_part(&mut self) {
        let begun = Instant::now();
        let tried = timeout(TRY_WITHIN, self.hold()).await;
        let failure = match tried {
            Ok(Ok(true)) => return self.well(Some(begun + RENEW_WITHIN)),
            Ok(Ok(false)) => return self.well(None),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", TRY_WITHIN.as_secs()),
        };
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(error = %failure, "cannot take part in the leader election; trying again");
            self.cluster.events().about_torch(Reason::CannotStand, failure);
        }
        // What it has, it has until it ends.
        let until = self.leadership.borrow().until.filter(|until| Instant::now() < *until);
        self.publish(until);
    }

    fn well(&mut self, until: Option<Instant>) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("takes part in the leader election again");
        }
        self.publish(until);
    }

    /// Renews or takes the Lease if that may be; says whether it is ours.
    async fn hold(&mut self) -> Result<bool, Error> {
        if !self.leadership.borrow().is_ours() {
            let now = self.cluster.lease().await?;
            self.see(now);
        }
        let lasts = LASTS.as_secs().try_into().expect("a few seconds");
        // A second time where somebody has written it meanwhile: it may have been a person.
        for _ in 0..2 {
            if self.must_wait() {
                return Ok(false);
            }
            if let Some(ours) = self.cluster.hold_lease(&self.seen, Some(&self.identity), lasts).await? {
                self.see(ours);
                return Ok(true);
            }
            let now = self.cluster.lease().await?;
            self.see(now);
        }
        Ok(false)
    }

    fn see(&mut self, lease: LeaseSeen) {
        if lease != self.seen || self.seen_at.is_none() {
            self.seen = lease;
            self.seen_at = Some(Instant::now());
        }
    }

    /// It is another's; or it is not there, and whoever installs Torch is about to make it, or to take
    /// Torch away.
    fn must_wait(&self) -> bool {
        let another = self.seen.holder().is_some_and(|holder| holder != self.identity);
        (another || !self.seen.is_there()) && self.seen_at.is_none_or(|at| at.elapsed() < LASTS)
    }

    /// Says who leads; that the Lease was renewed wakes nobody.
    fn publish(&self, until: Option<Instant>) {
        let now = Leadership { holder: self.seen.holder().map(String::from), until };
        self.leadership.send_if_modified(|before| {
            let is_news = before.differs_from(&now);
            if is_news {
                let (identity, leads) = (&self.identity, now.is_ours());
                tracing::info!(identity, leads, holder = now.holder, "leader election");
            }
            *before = now;
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_no_news_and_a_lead_that_was_over_is() {
        let begun = Instant::now();
        let by = |holder: &str, until| Leadership { holder: Some(holder.into()), until };
        let leads = |seconds| by("a", Some(begun + Duration::from_secs(seconds)));
        assert!(!leads(600).differs_from(&leads(602)));
        let ended = by("a", Some(begun));
        assert!(leads(600).differs_from(&ended) && ended.differs_from(&leads(600)));
        assert!(!ended.differs_from(&by("a", None)));
        assert!(by("a", None).differs_from(&by("b", None)));
    }
}
