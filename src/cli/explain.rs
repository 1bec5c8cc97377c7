//! `torch explain`: all that Torch knows of one pod, in sentences.

use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize as _;

use super::live::{Node, State, Status, Torch, Which};
use super::rough;
use super::text::print;
use crate::peers::Pod;

const EXAMPLES: &str = "\
It needs leave to get the Lease `torch` and pods, to list events, and to get and create pods/portforward in Torch's
namespace.
The exit code is 1 where the configuration does not name the pod.

Examples:
  torch explain da-bridge-1-0 -n torch";

/// How many of the configured names are told to who asks for another.
const MOST_NAMES: usize = 10;

/// What `torch explain` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// The pod's name, or a `nodeName` that has one pod only
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    which: Which,
}

impl ExplainArgs {
    /// Says what Torch knows of the pod.
    ///
    /// # Errors
    /// Where Torch or the API server cannot be asked, or the output cannot be written.
    pub async fn explain(self) -> anyhow::Result<ExitCode> {
        let torch = Torch::find(self.which).await?;
        let status = torch.status().await?;
        let status = Status::deserialize(status).context("cannot read Torch's answer")?;
        let node = match meant(&self.pod, &status) {
            Ok(node) => node,
            Err(why) => {
                print(&format!("{why}\n"))?;
                return Ok(ExitCode::FAILURE);
            }
        };
        let pod = torch.cluster.pod(&node.pod).await?;
        let mut lines = lines(node, pod.as_ref(), Timestamp::now());
        let told = torch.cluster.events().of_node(&node.pod).await?;
        if !told.is_empty() {
            lines.push("Lately was told of it:".into());
            lines.extend(told.into_iter().map(|(at, reason, note)| format!("  {at:.0} {reason}: {note}")));
        }
        print(&(lines.join("\n") + "\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The node of that pod, or the only one of that `nodeName`; otherwise what to ask for instead.
fn meant<'a>(name: &str, status: &'a Status) -> Result<&'a Node, String> {
    if let Some(node) = status.nodes.iter().find(|node| node.pod == name) {
        return Ok(node);
    }
    let of_node: Vec<&Node> = status.nodes.iter().filter(|node| node.node == name).collect();
    match &of_node[..] {
        [] => Err(stranger(name, status)),
        [one] => Ok(one),
        several => {
            let pods: Vec<&str> = several.iter().map(|node| node.pod.as_str()).collect();
            Err(format!("{name} has several pods: ask for one of {}.", pods.join(", ")))
        }
    }
}

fn stranger(pod: &str, status: &Status) -> String {
    let names: Vec<&str> = status.nodes.iter().take(MOST_NAMES).map(|node| node.pod.as_str()).collect();
    let more = if status.nodes.len() > MOST_NAMES { ", …" } else { "" };
    format!(
        "Torch of namespace {} leaves {pod} alone: its configuration names neither the pod nor its workload. It \
         names {}{more}.",
        status.namespace,
        names.join(", ")
    )
}

fn lines(node: &Node, pod: Option<&Pod>, now: Timestamp) -> Vec<String> {
    let lines = [Some(who(node, pod)), Some(address(node)), reach(node), Some(variable(node, pod))];
    let more = [file(node), Some(restarts(node, pod)), Some(waits(node, now))];
    lines.into_iter().chain(more).flatten().collect()
}

fn who(node: &Node, pod: Option<&Pod>) -> String {
    let groups = match &node.groups[..] {
        [one] => format!("group {one}"),
        several => format!("groups {}", several.join(", ")),
    };
    let is = format!("{} is {} of {groups}", node.pod, node.node);
    match pod {
        None => format!("{is}. There is no such pod."),
        Some(Pod { owner: None, .. }) => {
            format!(
                "{is}. Its pod is {}, and nothing would recreate it, so it is never restarted.",
                node.phase
            )
        }
        Some(Pod { owner: Some(owner), .. }) => {
            format!("{is}. Its pod is {}, made by {} {}.", node.phase, owner.kind, owner.name)
        }
    }
}

fn address(node: &Node) -> String {
    match &node.address {
        Some(address) => format!("Its address is known: {address}"),
        None => "Its address is not known.".into(),
    }
}

fn reach(node: &Node) -> Option<String> {
    let State { state, message } = node.reach.as_ref()?;
    Some(match (state.as_str(), message) {
        ("reachable", _) => "By that address it was reached, and showed that id.".into(),
        (_, Some(why)) => format!("By that address its peers would not reach it: {why}"),
        (state, None) => format!("By that address its peers would not reach it ({state})."),
    })
}

fn variable(node: &Node, pod: Option<&Pod>) -> String {
    let injected = pod.is_some_and(|pod| pod.injected);
    let opted_out = pod.is_some_and(|pod| pod.opted_out);
    match node.variable.as_deref() {
        Some("spec") if injected => "Torch put TRUSTED_PEERS into the pod when it was created.".into(),
        Some("spec") => "The pod's author has set TRUSTED_PEERS, which Torch does not change.".into(),
        Some(_) => "Its process has TRUSTED_PEERS, of the file or of /gen; the pod's spec has none.".into(),
        None if opted_out => "It runs without TRUSTED_PEERS: it opted out by its annotation.".into(),
        None if pod.is_none() => "It gets TRUSTED_PEERS when its pod is created.".into(),
        None => "It has no TRUSTED_PEERS that Torch can see.".into(),
    }
}

fn file(node: &Node) -> Option<String> {
    let State { state, message } = node.file.as_ref()?;
    Some(match (state.as_str(), message) {
        ("written" | "upToDate", _) => "The file TRUSTED_PEERS in its container holds the value.".into(),
        ("absent", _) => "The file is not written: its directory is not there (trustedPeersPath).".into(),
        ("noShell", _) => "The file is not written: its container has no shell.".into(),
        (_, Some(why)) => format!("The file is not written: {why}"),
        (state, None) => format!("The file is not written ({state})."),
    })
}

/// Pods that get new names are counted under their workload.
fn restarts(node: &Node, pod: Option<&Pod>) -> String {
    let workload = pod.map(Pod::restart_key).filter(|key| *key != node.pod);
    let what = workload.map_or_else(|| "it".into(), |workload| format!("pods of {workload}, all together,"));
    match node.restarts {
        0 => format!("Torch has not restarted {what}").trim_end_matches(',').to_owned() + ".",
        1 => format!("Torch has restarted {what} once."),
        n => format!("Torch has restarted {what} {n} times."),
    }
}

fn waits(node: &Node, now: Timestamp) -> String {
    let since = node.since.map(|since| format!(", for {} by now", rough(now.duration_since(since))));
    match &node.waits_for {
        Some(wait) => format!("It waits{}: {}.", since.unwrap_or_default(), wait.message),
        None => "It waits for nothing.".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(more: Value) -> Node {
        let mut node =
            json!({"pod": "a-0", "node": "a", "groups": ["pair"], "phase": "Running", "restarts": 1});
        node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(node).unwrap()
    }

    fn pod(more: Value) -> Pod {
        let mut pod = json!({"metadata": {"name": "a-0", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "a", "uid": "u", "controller": true}]}});
        pod["metadata"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        crate::cluster::read_pod(&serde_json::from_value(pod).unwrap()).unwrap()
    }

    #[test]
    fn a_node_that_is_complete_is_told_from_its_name_to_its_end() {
        let pod = pod(json!({"annotations": {"torch.celestia.org/injected": "TRUSTED_PEERS"}}));
        let node = node(json!({"address": "/dns/a-0/tcp/2121/p2p/x", "variable": "spec",
            "file": {"state": "upToDate"}, "reach": {"state": "reachable"}}));
        let expected = [
            "a-0 is a of group pair. Its pod is Running, made by StatefulSet a.",
            "Its address is known: /dns/a-0/tcp/2121/p2p/x",
            "By that address it was reached, and showed that id.",
            "Torch put TRUSTED_PEERS into the pod when it was created.",
            "The file TRUSTED_PEERS in its container holds the value.",
            "Torch has restarted it once.",
            "It waits for nothing.",
        ];
        assert_eq!(lines(&node, Some(&pod), Timestamp::UNIX_EPOCH), expected);
    }

    #[test]
    fn a_node_that_is_not_is_told_why() {
        let node = node(json!({"restarts": 0, "since": "1970-01-01T00:00:00Z",
            "waitsFor": {"reason": "optedOut", "message": "it opted out"},
            "file": {"state": "notWritable", "message": "set fsGroup"},
            "reach": {"state": "unresolved", "message": "no such host"}}));
        let pod = pod(json!({"annotations": {"torch.celestia.org/inject": "false"}, "ownerReferences": []}));
        let expected = [
            "a-0 is a of group pair. Its pod is Running, and nothing would recreate it, so it is never restarted.",
            "Its address is not known.",
            "By that address its peers would not reach it: no such host",
            "It runs without TRUSTED_PEERS: it opted out by its annotation.",
            "The file is not written: set fsGroup",
            "Torch has not restarted it.",
            "It waits, for 2 h by now: it opted out.",
        ];
        assert_eq!(lines(&node, Some(&pod), Timestamp::constant(7200, 0)), expected);
    }

    #[test]
    fn a_stranger_is_told_who_is_none() {
        let nodes: Vec<Value> = (0..11)
            .map(|n| json!({"pod": format!("a-{n}"), "node": "a", "groups": [], "phase": "", "restarts": 0}))
            .collect();
        let status = json!({"namespace": "da", "answeredBy": "t", "leader": "t", "nodes": nodes});
        let said = stranger("x", &serde_json::from_value(status).unwrap());
        assert!(said.contains("leaves x alone") && said.ends_with("a-8, a-9, …."), "{said}");
    }
}
