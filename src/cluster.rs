//! The only place that talks to the Kubernetes API.
//!
//! Every call has a deadline, since the client has none of its own, and says in its error which act
//! failed and on what.

mod auth;
mod book;
pub mod events;
mod exec;
mod forward;
mod injection;
mod installation;
mod lease;
mod listing;
mod own;
mod pods;
mod watch;

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

pub use auth::User;
pub use book::{Changes, MOST_SHARDS, Shard, Written, size};
pub use events::Events;
pub use exec::{ExecError, Output};
pub use injection::InjectionMap;
pub use installation::{Endpoint, Endpoints, Right, Setup};
pub use lease::Seen as LeaseSeen;
pub use listing::Listing;
pub use own::{Ca, Entries, Published, Registration, Stored};
pub use pods::{Evicted, read as read_pod};
pub use watch::Change;

/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The longest silence on a connection: above the API server's own limit for a watch.
const SILENCE: Duration = Duration::from_secs(330);

/// The name by which Torch is known to the API server.
const AGENT: &str = concat!("torch/", env!("CARGO_PKG_VERSION"));

/// The namespace that Torch serves.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: String,
    namespace: String,
    events: Events,
}

/// A call to the API server that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no usable configuration of the client.
    #[error("cannot tell how to reach the API server: {0}")]
    Client(Box<kube::Error>),
    /// Neither the environment of a pod nor a kubeconfig says how.
    #[error("cannot tell how to reach the API server: {0}")]
    Infer(Box<kube::config::InferConfigError>),
    /// It was refused, or the connection failed.
    #[error("cannot {act}: {}", in_words(.why))]
    Api {
        /// What was to be done, and on what.
        act: String,
        /// Why it was not.
        why: Box<kube::Error>,
    },
    /// It took too long.
    #[error("cannot {act}: no answer within {} s", .within.as_secs())]
    Deadline {
        /// What was to be done, and on what.
        act: String,
        /// How long.
        within: Duration,
    },
}

impl Error {
    /// Whether a write has failed since somebody else has written, made or deleted the object meanwhile.
    fn is_overtaken(&self) -> bool {
        matches!(self.status(), Some(404 | 409))
    }

    /// The HTTP status that the API server answered with.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api { why, .. } => match &**why {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What the API server says, where it is it that refuses; kube shows the whole status beside that. Of any
/// other failure kube shows the outermost layer only.
fn in_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => with_remedy(&status.message),
        other => {
            let causes = std::iter::successors(other.source(), |&cause| cause.source());
            causes.fold(other.to_string(), |said, cause| match cause.to_string() {
                cause if said.contains(&cause) => said,
                cause => format!("{said}: {cause}"),
            })
        }
    }
}

/// Who asked is Torch itself, or somebody who runs one of its commands.
const GRANT: &str = "grant it: Torch needs the rights of deploy/rbac.yaml and the Secrets of tokenSecret, its commands what their --help names";

/// RBAC's refusals name who asked, the verb and the resource, and not what to do; that of an exec names nothing.
fn with_remedy(message: &str) -> String {
    match message.split_once(" is forbidden: ") {
        Some((what, why)) if why.is_empty() || (why.starts_with("User ") && why.contains(" cannot ")) => {
            let why = if why.is_empty() { "RBAC does not allow it" } else { why };
            format!("{what} is forbidden: {why}: {GRANT}")
        }
        _ => message.to_owned(),
    }
}

/// Does `act` within the deadline.
async fn call<T>(
    act: impl FnOnce() -> String,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    call_within(DEADLINE, act, call).await
}

async fn call_within<T>(
    within: Duration,
    act: impl FnOnce() -> String,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(within, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(why)) => Err(Error::Api { act: act(), why: Box::new(why) }),
        Err(_) => Err(Error::Deadline { act: act(), within }),
    }
}

/// Makes a missing object an ordinary answer.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Cluster {
    /// Connects as the pod that this runs in, or else by the kubeconfig. Without a namespace it is the
    /// one that these name.
    ///
    /// # Errors
    /// Where neither tells how.
    pub async fn connect(namespace: Option<String>) -> Result<Self, Error> {
        let mut config = kube::Config::infer().await.map_err(|e| Error::Infer(Box::new(e)))?;
        config.read_timeout = Some(SILENCE);
        // A 429 means that a budget forbids an eviction: it is not to be hidden behind retries.
        config.default_retry = false;
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(AGENT)));
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|e| Error::Client(Box::new(e)))?;
        let events = Events::new(client.clone(), namespace.clone());
        Ok(Self { client, server, namespace, events })
    }

    /// A cluster whose API server `answer` stands in for.
    #[cfg(test)]
    pub(crate) fn played_by<F>(
        namespace: &str,
        answer: impl FnMut(http::Request<kube::client::Body>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = std::io::Result<http::Response<String>>> + Send + 'static,
    {
        let client = Client::new(tower::service_fn(answer), namespace);
        let events = Events::new(client.clone(), namespace.into());
        Self { client, server: "played".into(), namespace: namespace.into(), events }
    }

    /// The API server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where what happens is told.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Reads one entry of a Secret.
    ///
    /// # Errors
    /// Where the call fails; `None` where there is no such Secret or entry.
    pub async fn secret(&self, name: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let api: Api<Secret> = self.api();
        let secret = found(call(|| format!("get secret {name}"), api.get(name)).await)?;
        Ok(secret.and_then(|s| s.data?.remove(key)).map(|bytes| bytes.0))
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_for_want_of_a_right_is_told_where_it_stands() {
        let remedy = format!(": {GRANT}");
        let rbac = r#"pods is forbidden: User "torch" cannot list resource "pods" in API group """#;
        assert_eq!(with_remedy(rbac), format!("{rbac}{remedy}"));
        let exec = r#"pods "da-0" is forbidden: "#;
        assert_eq!(with_remedy(exec), format!("{exec}RBAC does not allow it{remedy}"));
        let quota = r#"pods "da-0" is forbidden: exceeded quota: few, requested: pods=1"#;
        assert_eq!(with_remedy(quota), quota);
    }
}
