//! Whether `docs/operations.md` knows all that Torch says of itself, and nothing that it does not say.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Deserialize;

use super::{column, documents, keep_part, read, sources};
use crate::telemetry::Metrics;

const PAGE: &str = "docs/operations.md";

#[test]
fn every_event_is_explained() {
    let source = read("src/cluster/events.rs");
    let reasons = between(&source, "pub enum Reason {\n", "\n}");
    let reasons = reasons.lines().filter_map(|line| line.trim().strip_suffix(',')).map(String::from);
    same("Events", "src/cluster/events.rs", reasons);
}

#[test]
fn every_wait_is_explained() {
    let source = read("src/plan/wait.rs");
    let reasons = between(&source, "pub fn reason(&self)", "\n    }\n");
    same("What a node waits for", "src/plan/wait.rs", literals(reasons));
}

#[test]
fn every_decision_is_explained() {
    let labels = ["src/admission.rs", "src/admission/mount.rs"].map(|file| {
        let source = read(file);
        let labels = source.split("pub fn label(").skip(1);
        labels.flat_map(|label| literals(between(label, "{", "\n    }\n"))).collect::<Vec<_>>()
    });
    same("What the webhook decided", "src/admission", labels.concat());
}

#[test]
fn every_warning_of_the_log_is_explained() {
    let warnings = sources().into_iter().flat_map(|(_, source)| {
        let calls = ["tracing::warn!(", "tracing::error!("];
        calls.iter().flat_map(|call| source.split(call).skip(1)).map(message).collect::<Vec<_>>()
    });
    same("Messages in the log", "src", warnings);
}

#[test]
fn every_metric_is_explained() {
    let told = column(&read(PAGE), "## Metrics", 0);
    assert_eq!(told, metrics(), "left what {PAGE} has below Metrics, right what there is");
    let page = read(PAGE);
    for series in exercised().lines().filter(|line| !line.starts_with('#')) {
        let Some((name, labels)) = series.split_once('{') else { continue };
        let of_histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|part| name.strip_suffix(part));
        let name = of_histogram.unwrap_or(name);
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}`")));
        let row = row.unwrap_or_else(|| panic!("{PAGE} does not tell of {name}"));
        let labels = labels.split('}').next().unwrap_or_default();
        for label in labels.split(',').filter_map(|label| label.split('=').next()) {
            let is_told = label == "le" || row.contains(&format!("`{label}`"));
            assert!(is_told, "{PAGE} does not tell of the label {label} of {name}");
        }
    }
}

#[test]
fn every_value_of_a_label_is_one() {
    let sources: String = sources().into_iter().map(|(_, source)| source).collect();
    for value in column(&read(PAGE), "## Metrics", 1) {
        let is_there = sources.contains(&format!("\"{value}\"")) || sources.contains(&format!(" {value}: "));
        assert!(
            is_there || value.starts_with('/'),
            "{PAGE} tells of {value}, which is no label and no value"
        );
    }
}

/// Such as one that was renamed.
#[test]
fn no_document_tells_of_a_metric_that_there_is_not() {
    let metrics = metrics();
    for (name, text) in documents() {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let is_told = word.starts_with("torch_") && !metrics.contains(word.trim_end_matches("_bucket"));
            assert!(!is_told, "{name} tells of {word}");
        }
    }
}

#[test]
fn every_alert_is_explained() {
    let mut text = String::new();
    for alert in serde_yaml::from_str::<Rules>(&read("deploy/monitoring/alerts.yaml"))
        .unwrap()
        .groups
        .into_iter()
        .flat_map(|group| group.rules)
    {
        let Rule { alert, lasts, labels, annotations } = alert;
        let lasts = lasts.map_or_else(|| "at once".into(), |lasts| format!("after {lasts}"));
        let [summary, description] =
            [annotations.summary, annotations.description].map(|said| in_words(said.trim()));
        writeln!(text, "### {alert}\n\n*{}, {lasts}.* {summary}.\n\n{description}\n", labels.severity)
            .unwrap();
    }
    keep_part(PAGE, &text);
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    #[serde(rename = "for")]
    lasts: Option<String>,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
    description: String,
}

/// An alert's text without what Prometheus fills in.
fn in_words(said: &str) -> String {
    let mut text = String::new();
    for (place, part) in said.split("{{").enumerate() {
        let Some((filled_in, rest)) = part.split_once("}}").filter(|_| place > 0) else {
            text += part;
            continue;
        };
        let name = filled_in.split(" | ").next().unwrap_or_default().trim().trim_start_matches("$labels.");
        text += &format!("‹{}›{rest}", name.trim_start_matches('$'));
    }
    text
}

/// Holds the first column of a section to what the code has.
fn same(section: &str, file: &str, there_are: impl IntoIterator<Item = String>) {
    let there_are: BTreeSet<String> = there_are.into_iter().collect();
    let told = column(&read(PAGE), &format!("## {section}"), 0);
    let missing: Vec<_> = there_are.difference(&told).collect();
    let stale: Vec<_> = told.difference(&there_are).collect();
    assert!(
        missing.is_empty(),
        "{PAGE} does not tell, below \"{section}\", of what {file} has: {missing:#?}"
    );
    assert!(stale.is_empty(), "{PAGE} tells, below \"{section}\", of what {file} does not have: {stale:#?}");
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("there is no {begin}"));
    rest.split(end).next().unwrap_or_default()
}

/// The string literals that match arms end in.
fn literals(source: &str) -> Vec<String> {
    source.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).map(String::from).collect()
}

/// What a call of a macro says: the last string literal before its end.
fn message(call: &str) -> String {
    let (mut depth, mut last, mut rest) = (1, "", call);
    while let Some(at) = rest.find(['(', ')', '"']) {
        let (found, after) = (&rest[at..=at], &rest[at + 1..]);
        rest = after;
        match found {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => (last, rest) = after.split_once('"').expect("a literal ends"),
        }
        if depth == 0 {
            break;
        }
    }
    let on_one_line: String = last.split("\\\n").map(str::trim_start).collect();
    on_one_line
        .split(['{', '}'])
        .enumerate()
        .map(|(place, part)| if place % 2 == 0 { part } else { "…" })
        .collect()
}

/// The names of all metrics.
fn metrics() -> BTreeSet<String> {
    let names = exercised().lines().filter_map(name).collect::<Vec<_>>();
    let source = read("src/http/metrics.rs");
    let of_nodes = source.split("registry.register(\"").skip(1).filter_map(|rest| rest.split('"').next());
    names.into_iter().chain(of_nodes.map(String::from)).collect()
}

/// The name of a metric as it is asked for, of its line `# TYPE name type`.
fn name(line: &str) -> Option<String> {
    let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
    Some(if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
}

/// All metrics but those of nodes, each with a series.
fn exercised() -> String {
    let metrics = Metrics::default();
    metrics.admission_took(std::time::Duration::ZERO);
    metrics.admission(true, "x");
    metrics.probe("x", true, std::time::Duration::ZERO);
    metrics.delivery("x");
    metrics.eviction("x");
    metrics.restart("x");
    metrics.reload(true);
    metrics.authorization("x");
    metrics.nodes(0, 0);
    metrics.injection_write(true);
    metrics.injection_nodes(0, 0);
    metrics.text()
}
