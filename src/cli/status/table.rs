//! The table of nodes.

use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};
use jiff::Timestamp;

use crate::cli::live::{Node, State, Status};
use crate::cli::rough;

const HEADS: [&str; 8] =
    ["GROUP", "POD", "VARIABLE", "FILE", "REACHABLE", "RESTARTS", "WAITS FOR", "ADDRESS"];

/// How many characters a bar has.
const BAR: usize = 20;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const WAITS: Style = AnsiColor::Yellow.on_default();
const PLAIN: Style = Style::new();

struct Cell {
    text: String,
    style: Style,
}

/// The table, what each node waits for, and, with `bars`, how far each group is that is not complete.
pub fn of(status: &Status, bars: bool, now: Timestamp) -> String {
    let mut text = rows(status.nodes.iter().map(row));
    if bars {
        text.push_str(&progress(&status.nodes));
    }
    let waiting = status.nodes.iter().filter_map(|node| Some((node, node.waits_for.as_ref()?)));
    for (n, (node, wait)) in waiting.enumerate() {
        let gap = if n == 0 { "\n" } else { "" };
        let since = node.since.map(|since| format!(" (for {})", rough(now.duration_since(since))));
        let _ = writeln!(text, "{gap}{} waits: {}{}", node.pod, wait.message, since.unwrap_or_default());
    }
    match &status.leader {
        Some(leader) if *leader != status.answered_by => {
            let _ = writeln!(
                text,
                "\n{} says so, which does not lead: only {leader} has seen inside of the nodes",
                status.answered_by
            );
        }
        _ => {}
    }
    text
}

fn row(node: &Node) -> [Cell; 8] {
    let plain = |text: String| Cell { text, style: PLAIN };
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let state = |state: &Option<State>, good: &[&str]| {
        let text = or_dash(state.as_ref().map(|s| s.state.as_str()));
        let style = match text.as_str() {
            "-" => PLAIN,
            text if good.contains(&text) => GOOD,
            _ => BAD,
        };
        Cell { text, style }
    };
    [
        plain(node.groups.join(",")),
        plain(node.pod.clone()),
        plain(or_dash(node.variable.as_deref())),
        state(&node.file, &["written", "upToDate"]),
        state(&node.reach, &["reachable"]),
        plain(node.restarts.to_string()),
        match &node.waits_for {
            Some(wait) => Cell { text: wait.reason.clone(), style: WAITS },
            None => plain("-".into()),
        },
        plain(node.address.as_deref().map_or_else(|| "-".into(), short)),
    ]
}

/// Of a peer id the end says enough.
fn short(address: &str) -> String {
    match address.rsplit_once("/p2p/") {
        Some((host, id)) if id.is_ascii() && id.len() > 6 => format!("{host}/p2p/…{}", &id[id.len() - 6..]),
        _ => address.to_owned(),
    }
}

fn rows(cells: impl Iterator<Item = [Cell; 8]>) -> String {
    let heads = HEADS.map(|head| Cell { text: head.into(), style: PLAIN });
    let rows: Vec<[Cell; 8]> = std::iter::once(heads).chain(cells).collect();
    let length = |cell: &Cell| cell.text.chars().count();
    let width = |column: usize| rows.iter().map(|row| length(&row[column])).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths).take(HEADS.len() - 1) {
            let Cell { text: cell_text, style } = cell;
            let gap = width - length(cell) + 2;
            let _ = write!(text, "{style}{cell_text}{style:#}{:gap$}", "");
        }
        let _ = writeln!(text, "{}", row[HEADS.len() - 1].text);
    }
    text
}

/// A bar for each group in which somebody waits, in the order of the table.
fn progress(nodes: &[Node]) -> String {
    let mut groups: Vec<(&str, usize, usize)> = Vec::new();
    for (node, group) in nodes.iter().flat_map(|node| node.groups.iter().map(move |group| (node, group))) {
        let place = groups.iter().position(|(name, ..)| name == group).unwrap_or_else(|| {
            groups.push((group, 0, 0));
            groups.len() - 1
        });
        groups[place].1 += usize::from(node.waits_for.is_none());
        groups[place].2 += 1;
    }
    let mut text = String::new();
    for (group, done, all) in groups.into_iter().filter(|(_, done, all)| done < all) {
        let full = BAR * done / all;
        let (done_bar, open_bar) = ("█".repeat(full), "░".repeat(BAR - full));
        let _ = write!(text, "\n{group} {GOOD}{done_bar}{GOOD:#}{open_bar} {done} of {all} complete");
    }
    if text.is_empty() { text } else { format!("{text}\n") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(nodes: Value) -> Status {
        let status = json!({"namespace": "da", "answeredBy": "torch-0", "leader": "torch-0", "nodes": nodes});
        serde_json::from_value(status).unwrap()
    }

    fn node(pod: &str, more: Value) -> Value {
        let mut node =
            json!({"pod": pod, "node": pod, "groups": ["pair"], "phase": "Running", "restarts": 1});
        node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        node
    }

    fn shown(status: &Status, bars: bool) -> String {
        anstream::adapter::strip_str(&of(status, bars, Timestamp::constant(1000, 0))).to_string()
    }

    #[test]
    fn complete_nodes_are_rows_and_nothing_else() {
        let nodes = json!([
            node(
                "a-0",
                json!({"variable": "spec", "file": {"state": "written"}, "reach": {"state": "reachable"},
                "address": "/dns/a-0/tcp/2121/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"})
            ),
            node("longer-name", json!({})),
        ]);
        let expected = "\
GROUP  POD          VARIABLE  FILE     REACHABLE  RESTARTS  WAITS FOR  ADDRESS
pair   a-0          spec      written  reachable  1         -          /dns/a-0/tcp/2121/p2p/…JgL5pV
pair   longer-name  -         -        -          1         -          -
";
        assert_eq!(shown(&status(nodes.clone()), false), expected);
        assert_eq!(shown(&status(nodes), true), expected, "a complete group has no bar");
    }

    #[test]
    fn who_waits_is_told_for_what_and_for_how_long_and_how_far_its_group_is() {
        let wait = json!({"waitsFor": {"reason": "peers", "message": "the address of none of its peers is known"},
            "since": "1970-01-01T00:08:20Z"});
        let text = shown(&status(json!([node("a-0", wait), node("b-0", json!({}))])), true);
        assert!(
            text.contains("\na-0 waits: the address of none of its peers is known (for 8 min)\n"),
            "{text}"
        );
        assert!(text.contains("\npair ██████████░░░░░░░░░░ 1 of 2 complete\n"), "{text}");
    }

    #[test]
    fn a_replica_that_does_not_lead_says_who_does() {
        let mut status = status(json!([]));
        status.answered_by = "torch-1".into();
        assert!(shown(&status, false).contains("torch-1 says so, which does not lead: only torch-0"));
    }
}
