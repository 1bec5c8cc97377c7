//! `/metrics`.
//!
//! What it shows of the nodes is made of the view at each scrape, so that no series outlives what it is of, and
//! by the leader alone, which has seen inside of them and beside which all others would count once more.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Context;
use crate::plan::{NodeState, Reach, Wait};
use crate::telemetry::Reason;

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

pub(super) async fn metrics(State(context): State<Arc<Context>>, headers: HeaderMap) -> Response {
    let (metrics, nodes) = (&context.metrics, nodes(&context));
    if wants_protobuf(&headers) {
        return ([(header::CONTENT_TYPE, PROTOBUF)], metrics.protobuf_with(&nodes)).into_response();
    }
    ([(header::CONTENT_TYPE, TEXT)], metrics.text_with(&nodes)).into_response()
}

/// Whether protobuf is named before all text: Prometheus names what it likes best first, and protobuf only where it
/// takes native histograms or is told to.
fn wants_protobuf(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut forms = accepted.flat_map(|value| value.split(',')).map(str::trim_start);
    let is_protobuf = |form: &str| {
        let name = form.split(';').next().unwrap_or_default().trim_end();
        name.eq_ignore_ascii_case("application/vnd.google.protobuf")
    };
    let is_text = |form: &str| form.contains("text") || form.starts_with("*/*");
    let first = forms.find(|form| is_protobuf(form) || is_text(form));
    first.is_some_and(|form| is_protobuf(form) && form.contains("encoding=delimited"))
}

/// An address, by the labels of the original Torch's gauge.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Multiaddr {
    service_name: &'static str,
    node_name: String,
    multiaddress: String,
    namespace: String,
}

fn nodes(context: &Context) -> Registry {
    let mut registry = Registry::default();
    if !context.live.leads() {
        return registry;
    }
    let (addresses, waiting) = (Family::<Multiaddr, Gauge>::default(), Family::<Reason, Gauge>::default());
    let reachable = Gauge::<i64>::default();
    for mesh in context.view.load().meshes() {
        for node in &mesh.nodes {
            if let Some(labels) = multiaddr(node, &context.namespace) {
                addresses.get_or_create(&labels).set(1);
            }
            if let Some(reason) = node.waits_for.as_ref().map(Wait::reason) {
                waiting.get_or_create(&Reason { reason }).inc();
            }
            reachable.inc_by((node.reach == Some(Reach::Reachable)).into());
        }
    }
    registry.register("multiaddr", "The address of each node that is known", addresses);
    registry.register("torch_waiting_nodes", "Nodes that wait, by what they wait for", waiting);
    registry.register("torch_reachable_nodes", "Nodes that were reached when last dialled", reachable);
    registry
}

fn multiaddr(node: &NodeState, namespace: &str) -> Option<Multiaddr> {
    Some(Multiaddr {
        service_name: "torch",
        node_name: node.pod.clone(),
        multiaddress: node.address.as_ref()?.as_str().to_owned(),
        namespace: namespace.to_owned(),
    })
}
