//! Keeps what Torch shows trusted by those who verify it: API servers by the caBundle of its registration,
//! nodes by the ConfigMap `torch-ca`.
//!
//! The certificate is of Torch's own making and kept in a Secret, or is mounted as files by somebody else.
//! Either way a new one is shown only once it is trusted.

mod kept;
mod mounted;
mod roots;

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use self::kept::Kept;
use self::mounted::Mounted;
use self::roots::Roots;
use crate::cluster::events::Reason;
use crate::cluster::{self, Ca, Cluster, Entries, Listing, Published, Registration};
use crate::telemetry::Metrics;
use crate::tls::{self, Lives, Serving};

/// How often clock and files are looked at, since a timer of weeks would miss a suspend; and how soon after
/// a failure it is tried again.
const LOOK: Duration = Duration::from_secs(2);

/// Whether API servers call the webhook.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// They do, here, trusting these CAs.
    Registered {
        /// Host and port.
        endpoint: (String, u16),
        /// The CAs.
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
    /// A file cannot be read.
    #[error("cannot read {}: {why}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The files cannot be used.
    #[error("the certificate in {} is refused: {why}", .directory.display())]
    Refused {
        /// Where they are.
        directory: PathBuf,
        /// What is wrong with them.
        why: tls::Error,
    },
    /// A new certificate would not be trusted.
    #[error("a new certificate is not shown, since by the caBundle and torch-ca nobody would trust it: {0}")]
    Unknown(tls::Error),
}

/// How long things take.
#[derive(Clone, Copy)]
struct Pace {
    /// How long what Torch makes lives.
    lives: Lives,
    /// How long a CA must have been published before it counts as known to everybody: API servers see
    /// the registration some time after it is written; nodes, where kubelets bring them the ConfigMap, up
    /// to two minutes later.
    settle: Duration,
}

impl Pace {
    fn of_the_day() -> Self {
        // Seconds, in place of months: `lives=return(<of a CA> <of a certificate> <to settle>)`.
        fail::fail_point!("lives", |seconds| {
            let seconds = seconds.unwrap_or_default();
            let seconds: Vec<u32> = seconds.split(' ').filter_map(|n| n.parse().ok()).collect();
            let [ca, leaf, settle] = seconds[..] else { panic!("lives=return(CA LEAF SETTLE)") };
            let [ca, leaf] = [ca, leaf].map(|n| jiff::SignedDuration::from_secs(n.into()));
            Pace { lives: Lives { ca, leaf }, settle: Duration::from_secs(settle.into()) }
        });
        Self { lives: Lives::KEPT, settle: Duration::from_secs(600) }
    }
}

/// Where the certificate comes from.
enum Source {
    /// Torch makes it.
    Kept(Box<Kept>),
    /// Somebody else does.
    Mounted(Mounted),
}

impl Source {
    fn certified_key(&self) -> &Arc<CertifiedKey> {
        match self {
            Self::Kept(kept) => kept.certified_key(),
            Self::Mounted(mounted) => mounted.certified_key(),
        }
    }
}

/// What the cluster shows.
#[derive(Default)]
struct Seen {
    registration: Listing<Registration>,
    published: Listing<Published>,
    stored: Listing<Entries>,
    roots: Roots,
}

impl Seen {
    fn registered(&self) -> Option<&Registration> {
        self.registration.all().values().next()
    }

    fn published(&self) -> Option<&Published> {
        self.published.all().values().next()
    }

    /// Notes which CAs everybody can know: those of the ConfigMap and of every caBundle.
    fn note_roots(&mut self) {
        if !self.registration.is_current() || !self.published.is_current() {
            return;
        }
        let published = self.published().and_then(|published| published.ca.as_deref());
        let bundles = self.registered().into_iter().flat_map(Registration::bundles).flatten();
        let bundles: Vec<_> =
            std::iter::once(published.unwrap_or_default()).chain(bundles).map(tls::cas).collect();
        self.roots.note(&bundles);
    }
}

/// The keeper of the certificates.
pub struct Keeper {
    cluster: Cluster,
    /// The name that everybody calls Torch by.
    name: String,
    registration: String,
    source: Source,
    pace: Pace,
    shown: Arc<CertifiedKey>,
    serving: Arc<Serving>,
    standing: watch::Sender<Standing>,
    metrics: Arc<Metrics>,
}

impl Keeper {
    /// Loads the certificate, for these `names`, from the files in `mounted`, or else from the Secret, where
    /// it makes it if need be; tries until it can. `registration` is the name of the
    /// MutatingWebhookConfiguration, whose standing goes to `standing`.
    pub async fn begin(
        cluster: Cluster,
        names: Vec<String>,
        registration: String,
        mounted: Option<PathBuf>,
        standing: watch::Sender<Standing>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (name, pace) = (names[0].clone(), Pace::of_the_day());
        let mut failing = Vec::new();
        let source = loop {
            let begun = match &mounted {
                Some(directory) => Mounted::begin(directory.clone(), name.clone()).await.map(Source::Mounted),
                None => Kept::begin(cluster.clone(), names.clone(), pace)
                    .await
                    .map(|kept| Source::Kept(Box::new(kept))),
            };
            match begun {
                Ok(source) => break source,
                Err(error) => tell(&cluster, &mut failing, vec![error.to_string()]),
            }
            tokio::time::sleep(LOOK).await;
        };
        let shown = Arc::clone(source.certified_key());
        let serving = Serving::new(Arc::clone(&shown));
        let keeper = Self { cluster, name, registration, source, pace, shown, serving, standing, metrics };
        keeper.measure();
        keeper
    }

    /// What the server is to show.
    pub fn serving(&self) -> Arc<Serving> {
        Arc::clone(&self.serving)
    }

    /// Keeps them, until it is dropped: the certificate renewed or taken up, the CA published and registered.
    /// One of these failing holds up none of the others.
    pub async fn run(mut self) {
        let mut registrations = pin!(self.cluster.registration(&self.registration));
        let mut publications = pin!(self.cluster.published_ca());
        let mut secrets = pin!(match self.source {
            Source::Kept(_) => self.cluster.stored_certificates().left_stream(),
            Source::Mounted(_) => futures::stream::pending().right_stream(),
        });
        let mut clock = tokio::time::interval(LOOK);
        let (mut seen, mut failing) = (Seen::default(), Vec::new());
        loop {
            tokio::select! {
                _ = clock.tick() => {}
                Some(change) = registrations.next() => seen.registration.apply(change, |_| ""),
                Some(change) = publications.next() => seen.published.apply(change, |_| ""),
                Some(change) = secrets.next() => seen.stored.apply(change, |_| ""),
            }
            seen.note_roots();
            let done = [
                self.take_up(&seen).await,
                self.show(&seen),
                self.publish(&seen).await,
                self.register(&seen).await,
            ];
            let failures: Vec<String> = done.into_iter().filter_map(|d| Some(d.err()?.to_string())).collect();
            tell(&self.cluster, &mut failing, failures);
        }
    }

    /// Takes up the certificate that is to be shown, and renews it once it is due.
    async fn take_up(&mut self, seen: &Seen) -> Result<(), Error> {
        match &mut self.source {
            Source::Kept(kept) => kept.take_up(seen).await,
            Source::Mounted(mounted) => mounted.take_up().await,
        }
    }

    /// Publishes the CAs where they are not.
    async fn publish(&mut self, seen: &Seen) -> Result<(), Error> {
        if !seen.published.is_current() {
            return Ok(());
        }
        let published = seen.published();
        let holds = |ca: &Ca| published.is_some_and(|published| published.ca.as_ref() == Some(ca));
        let mut wanted = self.wanted(seen);
        if let Source::Kept(kept) = &mut self.source
            && !wanted.as_ref().is_some_and(holds)
        {
            kept.agree(seen).await?;
            wanted = Some(kept.trust());
        }
        if let Some(ca) = wanted.filter(|ca| !holds(ca)) {
            self.cluster.publish_ca(published, &ca).await?;
        }
        Ok(())
    }

    /// What nodes are to trust, as far as it is known: whatever API servers do. Where these are told nothing,
    /// what is mounted, and what is published until that ends.
    fn wanted(&self, seen: &Seen) -> Option<Ca> {
        match &self.source {
            Source::Kept(kept) => Some(kept.trust()),
            Source::Mounted(_) if !seen.registration.is_current() => None,
            Source::Mounted(mounted) => {
                let registered = seen.registered().and_then(|registration| registration.bundles().next()?);
                let published = seen.published().and_then(|published| published.ca.as_deref());
                let registered = registered.map(ToOwned::to_owned);
                registered.or_else(|| mounted.beside(published.unwrap_or_default(), Timestamp::now()))
            }
        }
    }

    /// Says how the webhook stands, and puts the caBundle right where it is Torch's to keep.
    async fn register(&mut self, seen: &Seen) -> Result<(), Error> {
        if !seen.registration.is_current() {
            return Ok(());
        }
        let standing = match seen.registered() {
            None => Standing::Not(format!("there is no MutatingWebhookConfiguration {}", self.registration)),
            Some(registration) => self.stands(registration),
        };
        let before = self.standing.send_replace(standing.clone());
        if let (Standing::Not(why), true) = (&standing, standing != before) {
            tracing::info!(why, "the webhook is not called");
        }
        match seen.registered() {
            Some(registration) => self.put_right(registration, seen).await,
            None => Ok(()),
        }
    }

    async fn put_right(&mut self, registration: &Registration, seen: &Seen) -> Result<(), Error> {
        let Source::Kept(kept) = &mut self.source else { return Ok(()) };
        if registration.trusts(&kept.trust()) {
            return Ok(());
        }
        // Another replica may be ahead: what is registered must be of the Secret as it is now.
        kept.agree(seen).await?;
        let is_right = registration.trusts(&kept.trust());
        if !is_right && self.cluster.set_ca_bundle(registration, &kept.trust()).await? {
            tracing::info!(name = self.registration, "put the caBundle right");
        }
        Ok(())
    }

    fn stands(&self, registration: &Registration) -> Standing {
        let name = &self.registration;
        match (registration.endpoint(), registration.bundles().next().flatten()) {
            (Some(endpoint), Some(ca)) => Standing::Registered { endpoint, ca: ca.to_owned() },
            (Some(_), None) => {
                Standing::Not(format!("the caBundle of {name} is empty: its CA has to be put in"))
            }
            (None, _) => Standing::Not(format!("{name} names no Service or URL")),
        }
    }

    /// Shows the certificate that is to be shown: once everybody trusts it, and has for long; at once where
    /// nobody trusts the one before it any more, or that ends soon; and in any case before that has ended.
    fn show(&mut self, seen: &Seen) -> Result<(), Error> {
        let (now, next) = (Timestamp::now(), self.source.certified_key());
        if next.cert == self.shown.cert {
            return Ok(());
        }
        let trusted = |key, settle| tls::verify(key, &seen.roots.settled(settle), &self.name, now);
        let lasts = |time| tls::check(&self.shown, &self.name, now + time).is_ok();
        if lasts(2 * LOOK) {
            trusted(next, Duration::ZERO).map_err(Error::Unknown)?;
            let is_good = trusted(&self.shown, Duration::ZERO).is_ok() && lasts(self.pace.settle);
            if is_good && trusted(next, self.pace.settle).is_err() {
                return Ok(());
            }
        }
        self.shown = Arc::clone(next);
        self.serving.swap(Arc::clone(next));
        self.measure();
        tracing::info!("serving with a new certificate");
        Ok(())
    }

    fn measure(&self) {
        if let Some(validity) = self.shown.cert.first().and_then(tls::validity) {
            self.metrics.certificate_ends(validity.until.as_second());
        }
    }
}

/// Tells of the failures that are new.
fn tell(cluster: &Cluster, failing: &mut Vec<String>, failures: Vec<String>) {
    for error in failures.iter().filter(|error| !failing.contains(*error)) {
        tracing::warn!(%error, "cannot keep the certificates as they should be; trying again");
        cluster.events().about_torch(Reason::CannotKeepCertificates, error);
    }
    *failing = failures;
}
