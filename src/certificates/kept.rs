//! Certificates of Torch's own making, in the Secret that all replicas share.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use tokio::time::Instant;

use super::{Error, LOOK, Pace, Seen};
use crate::cluster::{Cluster, Entries};
use crate::tls::{self, Own};

/// How often a write is tried again that others have overtaken.
const TRIES: usize = 5;

/// What is in the Secret.
pub struct Kept {
    cluster: Cluster,
    names: Vec<String>,
    pace: Pace,
    own: Own,
    key: Arc<CertifiedKey>,
    /// When this replica last wrote what was due by its clock.
    written: Option<Instant>,
    /// When another replica last changed what this one had only just written.
    disputed: Option<Instant>,
}

impl Kept {
    /// Loads the Secret, or makes what is missing. What is due but can be shown is renewed later.
    pub async fn begin(cluster: Cluster, names: Vec<String>, pace: Pace) -> Result<Self, Error> {
        for tried in 0..TRIES {
            let (stored, now) = (cluster.certificates().await?, Timestamp::now());
            let (own, is_stored) = match Own::read(&stored.data) {
                Ok(own) if own.serves(&names[0], now) => (own, true),
                Ok(own) => (own.ahead(&names, now, pace.lives, false)?.unwrap_or(own), false),
                Err(why) if !stored.data.is_empty() && tried == 0 => {
                    tracing::warn!(%why, "secret torch-tls is no good: waiting for a replica that knows better");
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                Err(why) => {
                    tracing::info!(%why, "making a CA and a certificate");
                    (Own::make(&names, now, pace.lives)?, false)
                }
            };
            if is_stored || cluster.store_certificates(stored, own.entries()).await? {
                let key = own.certified_key()?;
                return Ok(Self { cluster, names, pace, own, key, written: None, disputed: None });
            }
        }
        Err(Error::Contended)
    }

    /// The certificate to be shown.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The CAs to be trusted, in PEM.
    pub fn trust(&self) -> String {
        self.own.trust()
    }

    /// Takes up what another replica has stored, stores again what is lost, and renews what is due.
    pub async fn take_up(&mut self, seen: &Seen) -> Result<(), Error> {
        let stored = seen.stored.all().values().next();
        let is_ours = |entries: &Entries| {
            *entries == self.own.entries() || Own::read(entries).is_ok_and(|own| own == self.own)
        };
        let differs = seen.stored.is_current() && !stored.is_some_and(is_ours);
        if differs || self.ahead(&self.own, seen)?.is_some() { self.agree(seen).await } else { Ok(()) }
    }

    /// Comes to one mind with the other replicas, by the Secret as it is now.
    pub async fn agree(&mut self, seen: &Seen) -> Result<(), Error> {
        for _ in 0..TRIES {
            let stored = self.cluster.certificates().await?;
            let theirs = Own::read(&stored.data);
            if theirs.as_ref().is_ok_and(|theirs| *theirs != self.own) && self.is_recent(self.written) {
                self.disputed = Some(Instant::now());
            }
            let own = match &theirs {
                Ok(theirs) => theirs.clone().remembering(&self.own, Timestamp::now()),
                Err(_) => self.own.clone(),
            };
            let (own, is_ahead) = match self.ahead(&own, seen)? {
                Some(ahead) => (ahead, true),
                None => (own, false),
            };
            if theirs.as_ref().is_ok_and(|theirs| *theirs == own) {
                return self.adopt(own);
            }
            if self.cluster.store_certificates(stored, own.entries()).await? {
                if let Err(why) = theirs {
                    tracing::warn!(%why, "secret torch-tls was no good: stored again what is in use");
                }
                self.written = is_ahead.then(Instant::now).or(self.written);
                return self.adopt(own);
            }
        }
        Err(Error::Contended)
    }

    fn adopt(&mut self, own: Own) -> Result<(), Error> {
        if own != self.own {
            if own.trust() != self.own.trust() {
                tracing::info!("the CAs to be trusted have changed");
            }
            self.key = own.certified_key()?;
            self.own = own;
        }
        Ok(())
    }

    /// What is due. Where another replica has changed what this one had only just written, it is left to
    /// that for a while: two whose clocks disagree would else renew each other's certificates without end.
    fn ahead(&self, own: &Own, seen: &Seen) -> Result<Option<Own>, tls::Error> {
        if self.is_recent(self.disputed) {
            return Ok(None);
        }
        let settled = seen.roots.settled(self.pace.settle);
        let announced =
            own.next_ca().is_some_and(|next| tls::cas(next).iter().all(|ca| settled.contains(ca)));
        own.ahead(&self.names, Timestamp::now(), self.pace.lives, announced)
    }

    fn is_recent(&self, at: Option<Instant>) -> bool {
        at.is_some_and(|at| at.elapsed() < self.pace.settle)
    }
}
