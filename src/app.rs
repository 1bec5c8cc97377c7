//! The whole: puts the parts together and watches over their tasks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::certificates::{Keeper, Standing};
use crate::cluster::Cluster;
use crate::cluster::events::Reason as EventReason;
use crate::election::Election;
use crate::http::{self, Context, Forward, Guard, Live, RestAuth, Site};
use crate::injection::Injector;
use crate::leader::restart::Restarter;
use crate::leader::{self, Parts};
use crate::peers::{Book, label};
use crate::reload::{ClientCa, Reload};
use crate::server::{self, Transport};
use crate::shutdown::Shutdown;
use crate::telemetry::{Health, Metrics};
use crate::tls::service_names;
use crate::view::{Snapshot, View};

/// What `torch serve` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// The configuration file; a change of it is taken up at once
    #[arg(long, value_name = "FILE", default_value = "/etc/torch/config.yaml")]
    pub config: PathBuf,
    /// Where to serve /mutate and REST, by TLS
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Where to serve /healthz, /readyz and /metrics, and to the pod itself /status, in plain HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub plain_listen: SocketAddr,
    /// The namespace of the nodes; by default the one that Torch's pod or the kubeconfig is in
    #[arg(long, value_name = "NAME", value_parser = label, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,
    /// The name of this replica's pod, by which it stands for election [default: one made up]
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// The name of Torch's Service: the certificate is for it
    #[arg(long, value_name = "NAME", default_value = "torch")]
    pub service: String,
    /// The MutatingWebhookConfiguration whose caBundle is kept right [default: torch-<namespace>]
    #[arg(long, value_name = "NAME")]
    pub webhook_configuration: Option<String>,
    /// Serve with the certificate in this directory's tls.crt and tls.key, of the CA in its ca.crt, and leave
    /// the webhook's caBundle alone; a change of the files is taken up [default: make and keep one]
    #[arg(long, value_name = "DIRECTORY")]
    pub tls_dir: Option<PathBuf>,
    /// Who may call REST
    #[arg(long, value_name = "HOW", value_enum, default_value = "token")]
    pub rest_auth: RestAuth,
    /// Answer reviews to clients only whose certificate is signed by a CA in this file
    #[arg(long, value_name = "FILE")]
    pub webhook_client_ca: Option<PathBuf>,
}

/// Serves until a signal ends it. A configuration that is no good, or a port that is taken, ends it at once.
///
/// # Errors
/// Where something that it needs to begin is missing, or a task that it cannot do without has ended.
pub async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let reload = Reload::begin(&args.config).await?;
    let config = reload.config();
    let cluster = Cluster::connect(args.namespace).await?;
    let namespace: Arc<str> = cluster.namespace().into();
    let registration = args.webhook_configuration.unwrap_or_else(|| format!("torch-{namespace}"));
    let names = service_names(&args.service, &namespace);
    let unseen = format!("MutatingWebhookConfiguration {registration} has not been seen yet");
    let (standing, stands) = watch::channel(Standing::Not(unseen));

    let (asks, asked) = mpsc::channel(64);
    let snapshot = Snapshot::begin(Arc::clone(&config.borrow()), &Book::default());
    let view: View = Arc::new(ArcSwap::from_pointee(snapshot));
    let (leader_ip, leader) = watch::channel(None);
    let (published, changed) = watch::channel(());
    let replica = args.pod_name.unwrap_or_else(a_name);
    let election = Election::new(cluster.clone(), replica.clone());
    let metrics = Arc::new(Metrics::default());
    let context = Context {
        namespace,
        view: Arc::clone(&view),
        asks,
        forward: Forward {
            leader,
            port: args.listen.port(),
            name: names[0].clone(),
            standing: stands.clone(),
        },
        bodies: Arc::default(),
        guard: Arc::new(match args.rest_auth {
            RestAuth::Token => Guard::by_token(cluster.clone(), names[0].clone(), Arc::clone(&metrics)),
            RestAuth::None => Guard::open(),
        }),
        client_certificate: args.webhook_client_ca.is_some(),
        metrics: Arc::clone(&metrics),
        health: Arc::new(Health::default()),
        shutdown: Shutdown::default(),
        live: Live::new(&replica, election.leadership(), changed.clone()),
    };
    let Context { health, shutdown, .. } = context.clone();
    for part in ["certificate", "book", "pods"] {
        health.expect(part);
    }

    let tls = bind(args.listen).await?;
    let plain = bind(args.plain_listen).await?;
    // While Torch may not read its certificate or cannot reach the API server, it waits and says so: ended
    // and started again and again, it would only be slower to serve once it can.
    let plain_routes = http::plain_routes(context.clone());
    let plain = tokio::spawn(server::run(plain, Transport::Plain, plain_routes, shutdown.clone()));
    let signal = shutdown.clone().on_signal();
    let mut signal = std::pin::pin!(signal);
    let keeper =
        Keeper::begin(cluster.clone(), names, registration, args.tls_dir, standing, Arc::clone(&metrics));
    let keeper = tokio::select! {
        keeper = keeper => keeper,
        ended = &mut signal => return ended.context("cannot wait for signals"),
    };
    let serving = keeper.serving();
    health.well("certificate", "");
    let client_ca = match args.webhook_client_ca {
        Some(path) => Some(ClientCa::begin(path, Arc::clone(&serving)).await?),
        None => None,
    };
    tracing::info!(namespace = &*context.namespace, listen = %args.listen, plain = %args.plain_listen, "serving");

    let injector = Injector::new(
        cluster.clone(),
        Arc::clone(&view),
        changed,
        election.leadership(),
        Arc::clone(&metrics),
    );
    let events = cluster.events().clone();
    let refused = move |why: &str| events.about_torch(EventReason::ConfigurationRefused, why);
    let parts = Parts {
        restarter: Restarter::new(cluster.clone(), stands, election.leadership()),
        leadership: election.leadership(),
        cluster,
        config,
        view,
        published,
        asks: asked,
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        leader_ip,
    };
    // What is done every few seconds runs where requests are answered: to wake another thread each time, and with it all
    // that waits there, would cost more than is done.
    let mut others = JoinSet::new();
    keep(&mut others, "the leader election", stand(election, shutdown.clone()));
    keep(&mut others, "the keeping of the certificates", keeper.run());
    keep(&mut others, "the watch on the configuration", reload.run(metrics, health, refused));
    if let Some(client_ca) = client_ca {
        keep(&mut others, "the watch on the CA for clients", client_ca.run());
    }
    let work = async {
        tokio::select! {
            () = leader::run(parts) => anyhow::bail!("the leader's work has ended"),
            () = injector.run() => anyhow::bail!("the keeping of torch-injection has ended"),
            Some(ended) = others.join_next() => anyhow::bail!("{} has ended", ended.context("a task has crashed")?),
            ended = signal => ended.context("cannot wait for signals"),
        }
    };
    let tls = tokio::spawn(server::run(tls, Transport::Tls(serving), Site::new(context), shutdown.clone()));
    let ended = work.await;
    shutdown.stop();
    tls.await.context("the server of the TLS port has crashed")?;
    plain.await.context("the server of the plain port has crashed")?;
    tracing::info!("stopped");
    ended
}

/// Has done what never ends, among `tasks`; where it ends nevertheless, that says what has.
fn keep(
    tasks: &mut JoinSet<&'static str>,
    what: &'static str,
    endless: impl Future<Output = ()> + Send + 'static,
) {
    tasks.spawn(async move {
        endless.await;
        what
    });
}

/// Takes part in the leader election until the end begins, and does nothing then.
async fn stand(election: Election, shutdown: Shutdown) {
    election.run(shutdown.draining()).await;
    std::future::pending().await
}

/// The name of a replica outside of the cluster.
fn a_name() -> String {
    format!("torch-{:08x}", fastrand::u32(..))
}

async fn bind(at: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at}"))
}
