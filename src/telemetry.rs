//! What Torch says of itself: logs, metrics, health.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, prometheus_protobuf};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, NativeHistogramConfig, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use ring::digest::{SHA256, digest};
use tracing_subscriber::EnvFilter;

/// The form of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What may be said of what is logged, as `RUST_LOG` says it: `info`, `torch=debug`, …
///
/// # Errors
/// What is wrong with it.
pub fn filter(text: &str) -> Result<String, String> {
    let form = |why| format!("{why}: write levels such as `info` or `warn,torch=debug`");
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(form)
}

/// Begins to log to stderr what `filter` lets through.
///
/// # Errors
/// Where the filter cannot be read.
pub fn init(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// One label, of few values.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Admission {
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Probe {
    probe: &'static str,
    outcome: &'static str,
}

/// The metrics on `/metrics`, but for those of single nodes.
pub struct Metrics {
    registry: Registry,
    admission_duration: Histogram,
    admissions: Family<Admission, Counter>,
    probes: Family<Probe, Counter>,
    probe_duration: Family<Probe, Histogram, fn() -> Histogram>,
    deliveries: Family<Outcome, Counter>,
    evictions: Family<Outcome, Counter>,
    restarts: Family<Reason, Counter>,
    reloads: Family<Outcome, Counter>,
    authorizations: Family<Outcome, Counter>,
    nodes: Family<Outcome, Gauge>,
    leader: Gauge,
    injection_writes: Family<Outcome, Counter>,
    injection_nodes: Family<Outcome, Gauge>,
    certificate_end: Gauge,
    config_hash: Gauge,
    config_taken: Gauge,
    config_taken_at: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("torch");
        let version = ("version".into(), env!("CARGO_PKG_VERSION").into());
        registry.sub_registry_with_label(version).register(
            "build_info",
            "This Torch",
            ConstGauge::new(1_i64),
        );
        // From 16 µs to 0.5 s; API servers wait for 2 s.
        let admission_duration = histogram(16e-6, 16);
        let help = "How long an admission review was worked on, once it was read";
        registry.register_with_unit("admission_duration", help, Unit::Seconds, admission_duration.clone());
        // From 1 ms to 16 s, which is longer than any probe may take.
        let times: fn() -> Histogram = || histogram(1e-3, 15);
        let probe_duration = Family::new_with_constructor(times);
        let help = "How long an attempt to learn a node's peer id took";
        registry.register_with_unit("probe_duration", help, Unit::Seconds, Clone::clone(&probe_duration));
        macro_rules! register {
            ($($name:literal, $help:literal => $metric:ident),* $(,)?) => {
                $(let $metric = Default::default(); registry.register($name, $help, Clone::clone(&$metric));)*
                Self { admission_duration, probe_duration, $($metric,)* registry }
            };
        }
        register! {
            "admission_requests", "Admission reviews answered, by what was decided and why" => admissions,
            "probes", "Attempts to learn a node's peer id" => probes,
            "deliveries", "Attempts to write a node's file" => deliveries,
            "evictions", "Evictions asked for, by the answer" => evictions,
            "restarts", "Nodes restarted, by why" => restarts,
            "config_reloads", "Changes of the configuration file, by whether they were taken" => reloads,
            "rest_authorizations", "Requests to REST, by whether they were let pass" => authorizations,
            "nodes", "Configured nodes, by whether their address is known" => nodes,
            "leader", "Whether this replica leads" => leader,
            "injection_writes", "Writes of what the admission policy injects from" => injection_writes,
            "config_hash", "Of the configuration in force: replicas that differ in it have seen different files" => config_hash,
            "config_last_reload_successful", "Whether the configuration file as it is now was taken" => config_taken,
            "config_last_reload_success_timestamp_seconds", "When a configuration was taken last" => config_taken_at,
            "certificate_expiration_timestamp_seconds", "When the serving certificate ends" => certificate_end,
            "injection_nodes", "Configured nodes, by whether there is room for them in what the admission policy injects from" => injection_nodes,
        }
    }
}

impl Metrics {
    /// A review was worked on for so long.
    pub fn admission_took(&self, time: Duration) {
        self.admission_duration.observe(time.as_secs_f64());
    }

    /// A review was answered.
    pub fn admission(&self, injected: bool, reason: &'static str) {
        let outcome = if injected { "injected" } else { "unchanged" };
        self.admissions.get_or_create(&Admission { outcome, reason }).inc();
    }

    /// A probe ended after so long.
    pub fn probe(&self, probe: &'static str, succeeded: bool, time: Duration) {
        let ended = Probe { probe, outcome: outcome(succeeded) };
        self.probes.get_or_create(&ended).inc();
        self.probe_duration.get_or_create(&ended).observe(time.as_secs_f64());
    }

    /// A delivery ended.
    pub fn delivery(&self, outcome: &'static str) {
        self.deliveries.get_or_create(&Outcome { outcome }).inc();
    }

    /// An eviction was answered.
    pub fn eviction(&self, outcome: &'static str) {
        self.evictions.get_or_create(&Outcome { outcome }).inc();
    }

    /// A node was restarted.
    pub fn restart(&self, reason: &'static str) {
        self.restarts.get_or_create(&Reason { reason }).inc();
    }

    /// The configuration file changed.
    pub fn reload(&self, taken: bool) {
        self.reloads.get_or_create(&Outcome { outcome: outcome(taken) }).inc();
        self.config_taken.set(taken.into());
    }

    /// This configuration is in force since now.
    pub fn config(&self, text: &str) {
        // As many bits as a float can tell.
        let hash =
            digest(&SHA256, text.as_bytes()).as_ref()[..6].iter().fold(0, |n, &b| n << 8 | i64::from(b));
        self.config_hash.set(hash);
        self.config_taken.set(1);
        self.config_taken_at.set(Timestamp::now().as_second());
    }

    /// A request to REST was let pass, or was not.
    pub fn authorization(&self, outcome: &'static str) {
        self.authorizations.get_or_create(&Outcome { outcome }).inc();
    }

    /// So many nodes are known and unknown.
    pub fn nodes(&self, known: usize, unknown: usize) {
        set(&self.nodes, [("known", known), ("unknown", unknown)]);
    }

    /// Whether this replica leads.
    pub fn leader(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// A ConfigMap of the admission policy was written, or could not be.
    pub fn injection_write(&self, succeeded: bool) {
        self.injection_writes.get_or_create(&Outcome { outcome: outcome(succeeded) }).inc();
    }

    /// The admission policy can inject so many nodes, and there is no room for so many.
    pub fn injection_nodes(&self, kept: usize, left_out: usize) {
        set(&self.injection_nodes, [("kept", kept), ("left_out", left_out)]);
    }

    /// The serving certificate ends then, in seconds since 1970.
    pub fn certificate_ends(&self, at: i64) {
        self.certificate_end.set(at);
    }

    /// The metrics, and those of `more`, in the text form of OpenMetrics.
    pub fn text_with(&self, more: &Registry) -> String {
        let mut text = String::new();
        let encoded =
            encode_registry(&mut text, &self.registry).and_then(|()| encode_registry(&mut text, more));
        encoded.and_then(|()| encode_eof(&mut text)).expect("a String takes everything");
        text
    }

    /// The same in Prometheus' own form, delimited messages, which alone has native histograms.
    pub fn protobuf_with(&self, more: &Registry) -> Vec<u8> {
        let encode = |registry| prometheus_protobuf::encode_to_vec(registry).expect("a Vec takes everything");
        [encode(&self.registry), encode(more)].concat()
    }

    /// The metrics alone.
    #[cfg(test)]
    pub fn text(&self) -> String {
        self.text_with(&Registry::default())
    }
}

/// One with so many classic buckets, each twice as wide as the one before, and with native ones as Prometheus has them
/// for what it says of itself: each a tenth wider, at most 100 of them.
fn histogram(first: f64, buckets: u16) -> Histogram {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let native = NativeHistogramConfig::default().max_buckets(100).min_reset_duration(HOUR);
    Histogram::new_classic_and_native(exponential_buckets(first, 2.0, buckets), native)
}

fn set(gauges: &Family<Outcome, Gauge>, values: [(&'static str, usize); 2]) {
    for (outcome, n) in values {
        gauges.get_or_create(&Outcome { outcome }).set(i64::try_from(n).unwrap_or(i64::MAX));
    }
}

fn outcome(succeeded: bool) -> &'static str {
    if succeeded { "success" } else { "failure" }
}

/// Whether each part of Torch does its work.
#[derive(Default)]
pub struct Health(Mutex<BTreeMap<&'static str, (bool, String)>>);

impl Health {
    /// A part that must be well before Torch is ready.
    pub fn expect(&self, part: &'static str) {
        self.set(part, false, "not there yet".into());
    }

    /// A part is well, with a remark or an empty one.
    pub fn well(&self, part: &'static str, remark: impl Into<String>) {
        self.set(part, true, remark.into());
    }

    /// Whether all is well, and a line for each part.
    pub fn report(&self) -> (bool, String) {
        let parts = self.0.lock().expect("no panic holds this lock");
        let mut text = String::new();
        for (part, (well, remark)) in parts.iter() {
            let (mark, word) = if *well { ('+', "ok") } else { ('-', "failed") };
            let remark = if remark.is_empty() { String::new() } else { format!(": {remark}") };
            writeln!(text, "[{mark}]{part} {word}{remark}").expect("a String takes everything");
        }
        (parts.values().all(|(well, _)| *well), text)
    }

    fn set(&self, part: &'static str, well: bool, remark: String) {
        self.0.lock().expect("no panic holds this lock").insert(part, (well, remark));
    }
}
