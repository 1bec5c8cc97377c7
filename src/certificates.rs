//! Keeps Torch's own certificates: made or loaded, stored for the next start, renewed in time, and known
//! to those who must trust them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::cluster::events::Reason;
use crate::cluster::{self, Ca, Cluster, Listing, Registration};
use crate::tls::{self, Own, Serving};

/// How often the clock is looked at: a timer of weeks would miss a suspend.
const LOOK: Duration = Duration::from_secs(60);

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Whether API servers call the webhook.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// They do, here, trusting this CA.
    Registered {
        /// Host and port.
        endpoint: (String, u16),
        /// The CA.
        ca: Ca,
    },
    /// They do not.
    Not(String),
}

/// What could not be done for the certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the API server.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The certificate itself.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// Others write the Secret all the time.
    #[error("cannot update secret torch-tls: others change it at the same time")]
    Contended,
}

/// The keeper of the certificates.
pub struct Keeper {
    cluster: Cluster,
    names: Vec<String>,
    registration: String,
    own: Own,
    serving: Arc<Serving>,
    standing: watch::Sender<Standing>,
}

impl Keeper {
    /// Loads the certificates from the Secret, or makes them, for these `names`; tries until it can.
    /// `registration` is the name of the MutatingWebhookConfiguration, whose standing goes to `standing`.
    pub async fn begin(
        cluster: Cluster,
        names: Vec<String>,
        registration: String,
        standing: watch::Sender<Standing>,
    ) -> Self {
        let mut failing = Vec::new();
        let (own, key) = loop {
            match ensure(&cluster, &names, None).await {
                Ok(found) => break found,
                Err(error) => tell(&cluster, &mut failing, vec![error.to_string()]),
            }
            tokio::time::sleep(AGAIN).await;
        };
        Self { cluster, names, registration, own, serving: Serving::new(key), standing }
    }

    /// What the server is to show.
    pub fn serving(&self) -> Arc<Serving> {
        Arc::clone(&self.serving)
    }

    /// Keeps them, until it is dropped: the CA published and registered, the certificate renewed. One of
    /// these failing holds up none of the others.
    pub async fn run(mut self) {
        let mut registrations = pin!(self.cluster.registration(&self.registration));
        let mut publications = pin!(self.cluster.published_ca());
        let (mut registered, mut published) = (Listing::default(), Listing::default());
        let mut clock = tokio::time::interval(LOOK);
        let mut failing = Vec::new();
        loop {
            tokio::select! {
                _ = clock.tick() => {}
                Some(change) = registrations.next() => registered.apply(change, |_| ""),
                Some(change) = publications.next() => published.apply(change, |_| ""),
                () = tokio::time::sleep(AGAIN), if !failing.is_empty() => {}
            }
            let done = [self.renew().await, self.publish(&published).await, self.register(&registered).await];
            let failures: Vec<String> = done.into_iter().filter_map(|d| Some(d.err()?.to_string())).collect();
            tell(&self.cluster, &mut failing, failures);
        }
    }

    /// Renews the certificate once it is due.
    async fn renew(&mut self) -> Result<(), Error> {
        if self.own.check(&self.names, Timestamp::now()).is_ok() {
            return Ok(());
        }
        self.agree().await
    }

    /// Takes over what is stored: another replica may have made it anew. What is lost is stored again.
    async fn agree(&mut self) -> Result<(), Error> {
        let (own, key) = ensure(&self.cluster, &self.names, Some(&self.own)).await?;
        if own != self.own {
            self.own = own;
            self.serving.swap(key);
            tracing::info!("serving with a new certificate");
        }
        Ok(())
    }

    /// Publishes the CA where it is not.
    async fn publish(&mut self, public: &Listing<Option<Ca>>) -> Result<(), Error> {
        let there = public.all().values().flatten().any(|ca| ca == self.own.ca());
        if there || !public.is_current() {
            return Ok(());
        }
        self.agree().await?;
        Ok(self.cluster.publish_ca(&self.own.ca().to_owned()).await?)
    }

    /// Puts the caBundle right where it is not, and says how the webhook stands.
    async fn register(&mut self, registered: &Listing<Registration>) -> Result<(), Error> {
        if !registered.is_current() {
            return Ok(());
        }
        let registration = registered.all().values().next();
        if registration.is_some_and(|registration| !registration.trusts(&self.own.ca().to_owned())) {
            self.agree().await?;
        }
        let ca = self.own.ca().to_owned();
        let standing = match registration {
            None => Standing::Not(format!("there is no MutatingWebhookConfiguration {}", self.registration)),
            Some(registration) if !registration.trusts(&ca) => {
                self.cluster.set_ca_bundle(registration, &ca).await?;
                tracing::info!(name = self.registration, "put the caBundle right");
                Standing::Not("the caBundle has only just been put right".into())
            }
            Some(registration) => match registration.endpoint() {
                Some(endpoint) => Standing::Registered { endpoint, ca },
                None => Standing::Not(format!("{} names no Service or URL", self.registration)),
            },
        };
        let before = self.standing.send_replace(standing.clone());
        if let (Standing::Not(why), true) = (&standing, standing != before) {
            tracing::info!(why, "the webhook is not called");
        }
        Ok(())
    }
}

/// Tells of the failures that are new.
fn tell(cluster: &Cluster, failing: &mut Vec<String>, failures: Vec<String>) {
    for error in failures.iter().filter(|error| !failing.contains(*error)) {
        tracing::warn!(%error, "cannot keep the certificates as they should be; trying again");
        cluster.events().warn_of_torch(Reason::CannotKeepCertificates, error);
    }
    *failing = failures;
}

/// Loads the certificates. Where there are none that can be used, stores those that we `have`, or else
/// makes what is missing or due, unless somebody else has.
async fn ensure(
    cluster: &Cluster,
    names: &[String],
    have: Option<&Own>,
) -> Result<(Own, Arc<CertifiedKey>), Error> {
    for _ in 0..5 {
        let stored = cluster.certificates().await?;
        let now = Timestamp::now();
        let read = Own::read(&stored.data);
        let found = read.as_ref().map_err(ToString::to_string);
        let why = match found
            .and_then(|own| own.check(names, now).map_err(|e| e.to_string()).map(|key| (own, key)))
        {
            Ok((own, key)) => return Ok((own.clone(), key)),
            Err(why) => why,
        };
        tracing::info!(why, "storing a certificate");
        let have = have.filter(|own| own.check(names, now).is_ok()).cloned();
        let renewed = || read.ok()?.renew(names, now).ok().filter(|own| own.check(names, now).is_ok());
        let own = match have.or_else(renewed) {
            Some(own) => own,
            None => Own::make(names, now)?,
        };
        let key = own.check(names, now)?;
        if cluster.store_certificates(stored, own.entries()).await? {
            return Ok((own, key));
        }
    }
    Err(Error::Contended)
}
