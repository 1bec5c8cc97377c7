//! `torch inject`: what the webhook would do to the pods of manifests, offline.

mod documents;
mod edit;
mod peers;
mod templates;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};
use similar::TextDiff;

use self::documents::{Document, documents};
use self::edit::{Edit, edited};
use self::templates::{Template, templates};
use super::text::{name, print_raw, read, say};
use crate::admission::{self, Decision, Input, Operation, Unchanged};
use crate::config;
use crate::peers::label;
use crate::view::Snapshot;
use crate::yaml;

const MORE: &str = "\
For each pod a line on standard error says what is done, or why nothing. Of a workload's template it is
what its first pod gets; where others get something else, their lines say so. Nothing is asked of a
cluster, so defaults, and what other webhooks would do, are not seen.

All bytes of documents that nothing is done to stay as they are. In the others what is added is written
into the text, and comments and order stay, but where that cannot be, such as below an alias: then the
document is written anew, without its comments and with its keys in the order of the alphabet, and a line
says so.

The exit code is 0 whether or not anything is changed, and 1 for a failure.

Examples:
  torch inject -f node.yaml --config config.yaml --peers peers.json
  torch inject -f node.yaml --config config.yaml --output yaml >injected.yaml
  kubectl get statefulsets -n da -o yaml | torch inject -f - --config config.yaml --peers peers.json
A file for --peers is what Torch's REST answers, or:
  torch status -n torch --output json >peers.json";

/// What `torch inject` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub struct InjectArgs {
    /// The manifests, YAML or JSON, of pods, StatefulSets, Deployments, ReplicaSets, DaemonSets,
    /// ReplicationControllers, Jobs, Lists of these, and anything else; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Torch's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The addresses that are known: a map of pods to addresses, an answer of `/list`, `/gen` or `/genAll`, or
    /// what `torch status` prints as JSON or YAML; without it only those that the configuration gives
    #[arg(long, value_name = "FILE")]
    peers: Option<PathBuf>,
    /// The namespace that Torch serves, which is also that of objects that say none; without it each
    /// object's own
    #[arg(long, value_name = "NAME", value_parser = label)]
    namespace: Option<String>,
    /// What to print: what changes, or the whole text as it would be
    #[arg(long, value_enum, value_name = "FORM", default_value = "diff")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Diff,
    Yaml,
}

impl InjectArgs {
    /// Prints what the webhook would do.
    ///
    /// # Errors
    /// Where a file cannot be read or is not what it should be, or the output cannot be written.
    pub fn inject(&self) -> anyhow::Result<()> {
        let text = read(&self.file)?;
        let injector = Injector::new(self)?;
        let (after, lines) =
            injector.text(&text).with_context(|| format!("cannot read {}", name(&self.file)))?;
        for line in lines {
            say(line);
        }
        let output = match self.output {
            Output::Diff => diff(&name(&self.file), &text, &after),
            Output::Yaml => after,
        };
        Ok(print_raw(output.as_bytes())?)
    }
}

fn diff(name: &str, before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().header(name, &format!("{name} (injected)")).to_string()
}

/// What the webhook would decide by.
struct Injector {
    snapshot: Snapshot,
    namespace: Option<String>,
}

impl Injector {
    fn new(args: &InjectArgs) -> anyhow::Result<Self> {
        let text = read(&args.config)?;
        let wrong = || format!("{} is not a good configuration", name(&args.config));
        let config = config::parse(&text).with_context(wrong)?;
        let peers = args.peers.as_deref().map(read).transpose()?;
        let book = peers::book(peers.as_deref(), &config).with_context(|| {
            format!("cannot read the addresses of {}", args.peers.as_deref().map(name).unwrap_or_default())
        })?;
        Ok(Self { snapshot: Snapshot::begin(config.into(), &book), namespace: args.namespace.clone() })
    }

    /// The text as it would be, and what to say of each pod.
    fn text(&self, text: &str) -> anyhow::Result<(String, Vec<String>)> {
        // What is added has the line ends of what is there.
        if text.contains("\r\n") && !text.replace("\r\n", "").contains('\n') {
            let (after, lines) = self.text(&text.replace("\r\n", "\n"))?;
            return Ok((after.replace('\n', "\r\n"), lines));
        }
        let (mut after, mut lines) = (String::with_capacity(text.len()), Vec::new());
        for document in documents(text) {
            let place = || format!("the document that begins on line {}", document.line);
            after.push_str(&self.document(document, &mut lines).with_context(place)?);
        }
        if lines.is_empty() {
            lines.push("nothing in it is a pod or makes pods, by its apiVersion and kind".into());
        }
        Ok((after, lines))
    }

    fn document(&self, document: Document<'_>, lines: &mut Vec<String>) -> anyhow::Result<String> {
        let text = document.text;
        if is_empty(text) {
            return Ok(text.to_owned());
        }
        let value: Value = yaml::read(text)?;
        let mut edits = Vec::new();
        for template in templates(&value) {
            edits.extend(self.template(&template, lines)?);
        }
        if edits.is_empty() {
            return Ok(text.to_owned());
        }
        let (after, anew) = edited(text, &value, &edits)?;
        if anew {
            lines.push(format!(
                "the document on line {} is written anew, without its comments",
                document.line
            ));
        }
        Ok(after)
    }

    /// What is to be done with the template: what its first pod gets.
    fn template(&self, template: &Template, lines: &mut Vec<String>) -> anyhow::Result<Vec<Edit>> {
        if let Some(pod) = template.pods.iter().find(|pod| is_torch(pod)) {
            let called = called(pod, template);
            lines.push(format!("{called}: it is Torch by its label, and API servers do not ask about that"));
            return Ok(Vec::new());
        }
        let mut decisions = Vec::new();
        for pod in &template.pods {
            decisions.push(self.decide(pod)?);
        }
        let first = decisions.first().context("no pod is made of it")?;
        for (pod, decision) in template.pods.iter().zip(&decisions) {
            let other = if decision.patch() == first.patch() {
                ""
            } else {
                "; not what the first pod gets, which is shown"
            };
            let fault = fault(pod, decision).map(|why| format!(": {why}")).unwrap_or_default();
            let (label, sentence) = (decision.label(), decision.sentence());
            lines.push(format!("{}: {label}: {sentence}{fault}{other}", called(pod, template)));
        }
        if template.left_out > 0 {
            lines.push(format!("{} more pods are not looked at", template.left_out));
        }
        let edit = |Operation { path, value }| Edit { path: [&*template.path, &path].concat(), value };
        Ok(first.patch().operations().into_iter().map(edit).collect())
    }

    /// The webhook's decision.
    fn decide(&self, pod: &Value) -> anyhow::Result<Decision> {
        let own = pod["metadata"]["namespace"].as_str();
        let namespace = self.namespace.as_deref().or(own).unwrap_or_default();
        let review = json!({"request": {
            "uid": "offline", "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "name": pod["metadata"]["name"].as_str().unwrap_or_default(),
            "namespace": own.unwrap_or(namespace), "object": pod,
        }});
        let input = Input { namespace, snapshot: &self.snapshot };
        Ok(admission::review(review.to_string().as_bytes(), input)?.decision)
    }
}

/// Whether a document says nothing.
fn is_empty(text: &str) -> bool {
    let says_nothing =
        |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#') || line.starts_with('%');
    text.trim_start_matches("---").lines().all(says_nothing)
}

/// Where the pod is not as the API has pods, which is why an API server would not have sent it.
fn fault(pod: &Value, decision: &Decision) -> Option<String> {
    if *decision != Decision::Unchanged(Unchanged::Unreadable) {
        return None;
    }
    serde_path_to_error::deserialize::<_, core::Pod>(pod).err().map(|error| error.to_string())
}

/// Whether the webhook's registration leaves the pod out, so that Torch can start while nothing of it runs.
fn is_torch(pod: &Value) -> bool {
    pod["metadata"]["labels"]["app.kubernetes.io/name"] == "torch"
}

fn called(pod: &Value, template: &Template) -> String {
    let metadata = &pod["metadata"];
    let generated = || metadata["generateName"].as_str().map(|prefix| format!("{prefix}…"));
    let name = metadata["name"].as_str().map(String::from).or_else(generated);
    match (&template.maker, metadata["name"].is_string()) {
        (Some(maker), false) => format!("a pod of {maker}"),
        (Some(maker), true) => format!("{} of {maker}", name.unwrap_or_default()),
        (None, _) => name.unwrap_or_else(|| "a pod without a name".into()),
    }
}

#[cfg(test)]
mod tests;
