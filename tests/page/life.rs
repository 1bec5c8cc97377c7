//! Nodes come, are learned, wait and are restarted, while somebody looks at the page.

use std::collections::BTreeMap;
use std::{env, fs};

use serde_json::json;

use crate::bed::Bed;
use crate::node::Node;
use crate::page::Page;

/// Two groups with a node in common. One node never comes, so its group waits until it has settled.
pub const CONFIG: &str = "
restart: {settle: 5s}
mutualPeers:
  - name: pair
    peers: [{nodeName: da-bridge-1}, {nodeName: da-full-1}]
  - name: light nodes
    peers: [{nodeName: da-bridge-1}, {nodeName: da-light-1}, {nodeName: da-light-2}]
";

const PODS: [&str; 3] = ["da-bridge-1-0", "da-full-1-0", "da-light-1-0"];

pub fn follow(bed: &Bed, page: &mut Page) {
    page.wait("nodes that have no pod are shown", |page| {
        let states = page.states();
        states.len() == 4 && states.values().all(|state| state == "absent")
    });
    bed.start(&[
        slow(Node::bridge("da-bridge-1"), "bridge"),
        slow(Node::light("da-full-1"), "light"),
        slow(Node::light("da-light-1"), "light"),
    ]);
    page.wait("nodes appear, of unknown address", |page| {
        PODS.iter().all(|pod| page.states().get(*pod).is_some_and(|state| state == "unknown"))
    });
    page.wait("a restart is seen", |page| page.states().values().any(|state| state == "restarting"));
    page.wait("the first knows its peers", |page| page.states().values().any(|state| state == "complete"));
    take_picture(page);
    page.run("document.querySelector('[data-pod=da-light-1-0]').focus()");
    page.wait("all are complete but the one that has not come", |page| {
        let wanted = PODS.map(|pod| (pod.to_owned(), "complete".to_owned()));
        page.states()
            == BTreeMap::from(wanted).into_iter().chain([("da-light-2".into(), "absent".into())]).collect()
    });
    for pod in PODS {
        check_told(page, pod);
    }
    let focus = page.focus();
    page.check("the focus stays with its node through all of that", focus == "da-light-1-0", &focus);
    check_lines(page);
    check_table(page);
    page.check_console("all the while");
}

/// It is there for a moment before it can be learned.
fn slow(node: Node, node_type: &str) -> Node {
    let start = format!("/bin/sh /scripts/start.sh celestia {node_type} start --rpc.skip-auth");
    node.script(&format!("sleep 3; exec {start}"))
}

/// For README.md, where it is asked for.
fn take_picture(page: &mut Page) {
    let picture = page.browser.picture();
    if let Some(file) = env::var_os("PICTURE") {
        fs::write(file, &picture).expect("the picture can be written");
    }
    page.check("a picture of less than 200 kB is taken", picture.len() < 200_000, &picture.len());
}

/// What a screen reader said of a node, in this order.
fn check_told(page: &mut Page, pod: &str) {
    let changes = page.changes();
    let told: Vec<&str> =
        changes.iter().filter_map(|line| line.strip_prefix(pod)?.strip_prefix(": ")).collect();
    // What happens at once is told in one line.
    let told = told.join("; ");
    let mut left = told.as_str();
    let in_order = ["address unknown", "address known", "complete"].iter().all(|word| {
        let rest = left.split_once(word).map(|(_, rest)| rest);
        left = rest.unwrap_or_default();
        rest.is_some()
    });
    page.check(&format!("of {pod} it is told: unknown, known, complete"), in_order, &told);
}

fn check_lines(page: &mut Page) {
    let lines = page.run("return [...document.querySelectorAll('.lines line')].map(l => [l.getAttribute('class'), l.hasAttribute('marker-end')])");
    let both_ways = json!([["whole", false], ["whole", false]]);
    page.check("who knows each other is joined by a line", lines == both_ways, &lines);
}

fn check_table(page: &mut Page) {
    let rows = page.run("return [...document.querySelectorAll('tbody tr')].map(tr => [...tr.cells].map(td => td.textContent))");
    let states: Vec<_> = (0..4).map(|n| (&rows[n][1], &rows[n][2])).collect();
    // Who finds its file before it starts is not restarted.
    let restarts: Vec<_> = (0..3).map(|n| rows[n][7].as_str().unwrap_or_default()).collect();
    let said = rows[0][0] == "pair, light nodes"
        && states[..3].iter().zip(PODS).all(|(row, pod)| row == &(&json!(pod), &json!("complete")))
        && restarts.contains(&"1")
        && restarts.iter().all(|count| ["0", "1"].contains(count))
        && rows[3][3]
            .as_str()
            .is_some_and(|wait| wait.starts_with("there is no such pod") && wait.contains("(for "));
    page.check(
        "the table says the same, how often who was restarted, and why and since when who waits",
        said,
        &rows,
    );
}
