//! The words of Torch as types: addresses, pods, and the address book.
//!
//! Everything here is plain data: no input or output, no clock.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use multiaddr::{Multiaddr, Protocol};
use serde::{Deserialize, Serialize};

pub use libp2p_identity::PeerId;

/// The name of the variable, and of the file, that holds a node's peers.
pub const TRUSTED_PEERS: &str = "TRUSTED_PEERS";

/// The annotation by which a pod opts out, with the value `"false"`.
pub const INJECT: &str = "torch.celestia.org/inject";

/// The annotation that says what Torch put into a pod.
pub const INJECTED: &str = "torch.celestia.org/injected";

/// The longest value that an environment variable can take on Linux
/// (`MAX_ARG_STRLEN`), the name, `=` and the closing NUL included.
pub const MAX_VARIABLE: usize = 128 * 1024;

/// A multiaddress that ends in `/p2p/<peer id>`, safe to stand in a list, a
/// shell file and an environment variable. A copy costs nothing.
///
/// `multiaddr` alone lets too much pass (hosts are not validated, port 0,
/// nothing after the host), so [`FromStr`] checks the rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(description = "A multiaddress that ends in `/p2p/<peer id>`."))]
pub struct Address(Arc<str>);

/// Why a text is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address: {why}; write /dns/<host>/tcp/<port>/p2p/<peer id>")]
pub struct AddressError {
    text: String,
    why: &'static str,
}

impl Address {
    /// `/dns/<host>/tcp/<port>/p2p/<peer id>`. The host must be [`is_host`], the port not 0.
    pub fn of(host: &str, port: u16, peer: &PeerId) -> Self {
        debug_assert!(is_host(host) && port != 0, "unchecked {host}:{port}");
        Self(format!("/dns/{host}/tcp/{port}/p2p/{peer}").into())
    }

    /// The address as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The peer id at its end.
    pub fn peer(&self) -> PeerId {
        self.0
            .rsplit('/')
            .next()
            .and_then(|id| id.parse().ok())
            .expect("an Address ends in a peer id: checked when it was made")
    }

    /// Host and TCP port to dial, where the address is dialled by TCP.
    pub fn host_and_port(&self) -> Option<(String, u16)> {
        let parsed: Multiaddr = self.0.parse().ok()?;
        let mut parts = parsed.iter();
        let host = host_of(&parts.next()?)?;
        match parts.next()? {
            Protocol::Tcp(port) => Some((host, port)),
            _ => None,
        }
    }
}

fn host_of(protocol: &Protocol<'_>) -> Option<String> {
    match protocol {
        Protocol::Dns(h) | Protocol::Dns4(h) | Protocol::Dns6(h) | Protocol::Dnsaddr(h) => {
            Some(h.to_string())
        }
        Protocol::Ip4(ip) => Some(ip.to_string()),
        Protocol::Ip6(ip) => Some(ip.to_string()),
        _ => None,
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let shown: String = text.chars().take(200).collect();
        let fail = |why| AddressError { text: shown.clone(), why };
        is_handed_on_whole(text).map_err(fail)?;
        let parsed: Multiaddr = text.parse().map_err(|_| fail("it is not a multiaddress"))?;
        // Some protocols take `%2c` for a comma and would hand on that, or make three characters of one.
        let whole = parsed.to_string();
        is_handed_on_whole(&whole).map_err(fail)?;
        let parts: Vec<Protocol<'_>> = parsed.iter().collect();
        let host = parts.first().and_then(host_of).ok_or_else(|| fail("it does not begin with a host"))?;
        if !is_host(&host) && host.parse::<std::net::IpAddr>().is_err() {
            return Err(fail("its host is not a DNS name"));
        }
        if parts.iter().any(|p| matches!(p, Protocol::Tcp(0) | Protocol::Udp(0))) {
            return Err(fail("port 0 cannot be dialled"));
        }
        if !parts.iter().any(|p| matches!(p, Protocol::Tcp(_) | Protocol::Udp(_))) {
            return Err(fail("it has no port"));
        }
        let ids = parts.iter().filter(|p| matches!(p, Protocol::P2p(_))).count();
        if ids != 1 || !matches!(parts.last(), Some(Protocol::P2p(_))) {
            return Err(fail("it must have one /p2p/<peer id>, at its end"));
        }
        Ok(Self(whole.into()))
    }
}

/// Whether a list, a shell or a variable would take all of it as it is; else why not.
fn is_handed_on_whole(text: &str) -> Result<(), &'static str> {
    let is_plain = |b: u8| b.is_ascii_graphic() && !b",\"'`$\\;&|<>(){}".contains(&b);
    match text {
        long if long.len() > 1024 => Err("it is longer than 1024 characters"),
        text if !text.bytes().all(is_plain) => Err("it has a character that no address has"),
        _ => Ok(()),
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.as_str().to_owned()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Joins addresses to the value of `TRUSTED_PEERS`.
pub fn join(addresses: &[&Address]) -> String {
    let mut value = String::with_capacity(addresses.iter().map(|address| address.as_str().len() + 1).sum());
    for address in addresses {
        if !value.is_empty() {
            value.push(',');
        }
        value.push_str(address.as_str());
    }
    value
}

/// Whether `text` is a DNS name by RFC 1123 (what a Service or a pod can be called by).
pub fn is_host(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// The text, where it is a label by RFC 1123: what a Namespace or a Service can be called by.
///
/// # Errors
/// What to write instead.
pub fn label(text: &str) -> Result<String, &'static str> {
    let wanted = "write lower-case letters, digits and `-`, which neither begins nor ends it; 63 at most";
    if is_label(text) { Ok(text.into()) } else { Err(wanted) }
}

fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Who a pod is to the configuration: its own name and that of its workload.
///
/// A `nodeName` means a pod when it equals either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who<'a> {
    /// The pod's name; empty for a pod that has none yet (`generateName`).
    pub pod: &'a str,
    /// The StatefulSet or Deployment (…) that the pod belongs to.
    pub workload: Option<&'a str>,
}

impl Who<'_> {
    /// Whether the configuration's `nodeName` means this pod.
    pub fn is(&self, node_name: &str) -> bool {
        self.pod == node_name || self.workload == Some(node_name)
    }
}

/// The object that recreates a pod when it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The version of its API, such as `apps/v1`.
    pub api_version: String,
    /// Its kind, such as `StatefulSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl Owner {
    /// Whether an evicted pod comes back: the built-in controllers of
    /// long-running pods. A Job counts an eviction as a failure, a Node's
    /// mirror pod is the kubelet's, and an unknown kind promises nothing.
    pub fn recreates(&self) -> bool {
        matches!(self.kind.as_str(), "StatefulSet" | "ReplicaSet" | "DaemonSet" | "ReplicationController")
    }

    /// Whether the pod that comes back has the same name.
    pub fn keeps_name(&self) -> bool {
        self.kind == "StatefulSet"
    }

    /// The name that a user knows the workload by: for a Deployment's
    /// ReplicaSet the Deployment's, else the owner's own.
    pub fn workload<'a>(&'a self, pod_template_hash: Option<&str>) -> &'a str {
        workload(&self.kind, &self.name, pod_template_hash)
    }
}

/// As [`Owner::workload`], for borrowed parts.
pub fn workload<'a>(kind: &str, name: &'a str, pod_template_hash: Option<&str>) -> &'a str {
    if kind != "ReplicaSet" {
        return name;
    }
    pod_template_hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-')).unwrap_or(name)
}

/// What Torch needs to know of a pod that runs or is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its UID: another one after every recreation.
    pub uid: String,
    /// Its `resourceVersion`: another one after every change.
    pub version: String,
    /// The workload's name, see [`Who`].
    pub workload: Option<String>,
    /// Its controller.
    pub owner: Option<Owner>,
    /// `status.phase`.
    pub phase: String,
    /// `status.podIP`, where it has one.
    pub ip: Option<std::net::IpAddr>,
    /// `spec.subdomain`.
    pub subdomain: Option<String>,
    /// When the API server took it in.
    pub created: Timestamp,
    /// Whether it is about to go (`metadata.deletionTimestamp`).
    pub deleting: bool,
    /// Condition `Ready`.
    pub ready: bool,
    /// Whether it opted out by the annotation [`INJECT`].
    pub opted_out: bool,
    /// Whether Torch gave it its variable, by the annotation [`INJECTED`].
    pub injected: bool,
    /// Its containers, init containers included.
    pub containers: Box<[Container]>,
}

impl Pod {
    /// Who it is to the configuration.
    pub fn who(&self) -> Who<'_> {
        Who { pod: &self.name, workload: self.workload.as_deref() }
    }

    /// Its container of that name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// What a restart of this pod is counted under: the pod's name where it
    /// keeps it, else the workload's.
    pub fn restart_key(&self) -> &str {
        match &self.owner {
            Some(owner) if !owner.keeps_name() => self.workload.as_deref().unwrap_or(&self.name),
            _ => &self.name,
        }
    }
}

/// Pods by name. Each has its own room: a small map would otherwise hold that of eleven.
pub type Pods = BTreeMap<String, Box<Pod>>;

/// A container of a pod, as its spec sets it up and its status reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The value of `TRUSTED_PEERS` in its spec; empty where the spec takes it from elsewhere.
    pub variable: Option<String>,
    /// The runtime's id of the present instance; another one after every restart.
    pub id: Option<String>,
    /// Since when it runs, if it does.
    pub running: Option<Timestamp>,
    /// How often it was restarted in place.
    pub restarts: u32,
    /// How long its last instance that ended had run.
    pub exited_after: Option<SignedDuration>,
}

/// A node that cannot start without its peers exits within 20 s; one that has run for longer than this
/// has ended for another reason.
const GIVES_UP_WITHIN: SignedDuration = SignedDuration::from_secs(60);

impl Container {
    /// Whether it has exited again soon after its start, and waits for its next try.
    pub fn keeps_exiting(&self) -> bool {
        let soon = self.exited_after.is_some_and(|after| after < GIVES_UP_WITHIN);
        self.running.is_none() && self.restarts > 0 && soon
    }
}

/// What Torch knows of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// Its address.
    pub address: Address,
    /// The workload of its pod, so that a pod that is gone still belongs to its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The id of the container that it was learned from.
    pub container: String,
    /// When this address was learned.
    pub learned: Timestamp,
}

impl Known {
    /// Who the pod that this is known of is to the configuration.
    pub fn who<'a>(&'a self, pod: &'a str) -> Who<'a> {
        Who { pod, workload: self.workload.as_deref() }
    }
}

/// A restart that Torch decided on, noted before it is carried out, so that a
/// crash at any point neither forgets nor doubles it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// The pod that is to go.
    pub pod: String,
    /// Its workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Its UID: no newer pod is meant.
    pub uid: String,
    /// When it was decided.
    pub at: Timestamp,
    /// When the pod was first seen to be going or gone: long after it was decided where a budget held it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Timestamp>,
    /// Whether it is for a variable that is there but no longer right.
    #[serde(default)]
    pub refresh: bool,
    /// How many restarts in a row have not brought the variable, this one included.
    pub attempts: u32,
    /// How many restarts Torch has made of this node in all, this one included.
    pub total: u32,
}

impl Restart {
    /// Who it is about, to the configuration.
    pub fn who(&self) -> Who<'_> {
        Who { pod: &self.pod, workload: self.workload.as_deref() }
    }
}

/// The address book: all that Torch must not forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Pod name → what is known of it.
    pub nodes: BTreeMap<String, Known>,
    /// [`Pod::restart_key`] → the last restart.
    pub restarts: BTreeMap<String, Restart>,
}

impl Book {
    /// The known pods by each name that a `nodeName` may mean them by, in the order of their ordinals.
    pub fn by_name(&self) -> HashMap<&str, Vec<(&str, &Known)>> {
        let mut by_name: HashMap<&str, Vec<(&str, &Known)>> = HashMap::new();
        for (pod, known) in &self.nodes {
            let workload = known.workload.as_deref().filter(|workload| workload != pod);
            for name in [Some(pod.as_str()), workload].into_iter().flatten() {
                by_name.entry(name).or_default().push((pod, known));
            }
        }
        by_name.values_mut().for_each(|pods| pods.sort_by_key(|(pod, _)| ordinal_order(pod)));
        by_name
    }
}

/// A key that sorts `da-2` before `da-10`.
pub fn ordinal_order(pod: &str) -> (&str, Option<u64>, &str) {
    match pod.rsplit_once('-') {
        Some((stem, ordinal)) => match ordinal.parse() {
            Ok(n) => (stem, Some(n), pod),
            Err(_) => (pod, None, pod),
        },
        None => (pod, None, pod),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Ed25519 key of RFC 8032, test 1.
    pub const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

    #[test]
    fn the_peer_id_of_a_published_key_is_the_one_in_the_tests() {
        let key = libp2p_identity::ed25519::PublicKey::try_from_bytes(&[
            0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
            0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
        ])
        .unwrap();
        let id = PeerId::from_public_key(&libp2p_identity::PublicKey::from(key));
        assert_eq!(id.to_string(), PEER);
    }

    #[test]
    fn addresses_that_nodes_use_are_taken() {
        for good in [
            format!("/dns/da-bridge-1/tcp/2121/p2p/{PEER}"),
            format!("/dns4/da-0.da.ns.svc.cluster.local/tcp/2121/p2p/{PEER}"),
            format!("/ip4/10.1.2.3/udp/2121/quic-v1/p2p/{PEER}"),
            format!("/ip6/::1/tcp/2121/p2p/{PEER}"),
        ] {
            let address: Address = good.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(address.to_string(), good);
            assert_eq!(address.peer().to_string(), PEER);
        }
    }

    #[test]
    fn addresses_that_would_harm_are_refused() {
        for bad in [
            "",
            "/",
            "da-bridge-1",
            &format!("/p2p/{PEER}"),
            &format!("/dns/da/p2p/{PEER}"),
            &format!("/dns/da/tcp/0/p2p/{PEER}"),
            "/dns/da/tcp/2121",
            "/dns/da/tcp/2121/p2p/12D3KooW",
            &format!("/dns/da/tcp/2121/p2p/{PEER}/"),
            &format!("/dns/da/tcp/2121/p2p/{PEER}/p2p/{PEER}"),
            &format!("/dns/da/tcp/2121/p2p/{PEER}/p2p-circuit"),
            &format!("/dns/a,b/tcp/2121/p2p/{PEER}"),
            &format!("/dns/$(id)/tcp/2121/p2p/{PEER}"),
            // Three times as long once it is written with `%25`.
            &format!("/dns/a/tcp/2121/http-path/{}/p2p/{PEER}", "%".repeat(900)),
            &format!("/dns/da/tcp/2121/http-path/a%2cb/p2p/{PEER}"),
            &format!("/dns/da/tcp/2121/http-path/%24%28id%29/p2p/{PEER}"),
            &format!("/dns/a b/tcp/2121/p2p/{PEER}"),
            &format!("/dns/UPPER_CASE/tcp/2121/p2p/{PEER}"),
            &format!("/dns/a\n/tcp/2121/p2p/{PEER}"),
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_deployment_is_found_behind_its_replica_set() {
        assert_eq!(workload("ReplicaSet", "dep-954fb5869", Some("954fb5869")), "dep");
        assert_eq!(workload("ReplicaSet", "plain", None), "plain");
        assert_eq!(workload("StatefulSet", "da", Some("da")), "da");
    }

    #[test]
    fn pods_come_in_the_order_of_their_ordinals() {
        let mut pods = vec!["da-10", "da-2", "da-1"];
        pods.sort_by_key(|p| ordinal_order(p));
        assert_eq!(pods, ["da-1", "da-2", "da-10"]);
    }
}
