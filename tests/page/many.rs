//! 500 nodes.

use std::fmt::Write as _;
use std::time::Duration;

use crate::bed::Bed;
use crate::forward::Forward;
use crate::life;
use crate::node::Node;
use crate::page::Page;
use crate::torch::Torch;

const ALL: usize = 500;

/// In one group; all others of those that are added are in pairs.
const TOGETHER: usize = 250;

/// What the first drawing may take from the click on, and a change, on a machine that others use, too.
const MOST: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));

/// Says how long the page takes to show them, and a change of one.
pub fn measure(bed: &Bed, torch: &Torch<'_>, forward: &Forward, page: &mut Page) -> String {
    torch.reconfigure(&config());
    page.browser.open(&forward.url());
    page.wait("500 nodes are shown", |page| page.states().len() == ALL);
    page.browser.open(&forward.url());
    page.wait("the first drawing is done", |page| page.states().len() == ALL);
    let first = shown(page, "startTime + entry.duration");
    page.run("window.before = [...document.querySelectorAll('#picture a, tbody tr')]");
    bed.start(&[Node::light("da-light-2")]);
    page.wait("a change is shown among 500", |page| page.states().contains_key("da-light-2-0"));
    let change = shown(page, "duration");
    let kept = page.run("return window.before.filter(e => e.isConnected).length");
    page.check("all other marks and rows stay what they were", kept == 2 * ALL + 1 - 2, &kept);
    page.check("both are fast", first < MOST.0 && change < MOST.1, &(first, change));
    page.check_console("with 500 nodes");
    format!("{ALL} nodes first drawn after {first:.0?}, a change in {change:.1?}")
}

fn config() -> String {
    let mut config = life::CONFIG.to_owned() + "  - name: together\n    peers:\n";
    for n in 0..TOGETHER {
        let _ = writeln!(config, "      - nodeName: da-{n}");
    }
    for n in (4..ALL - TOGETHER).step_by(2) {
        let _ = writeln!(config, "  - peers: [{{nodeName: da-one-{n}}}, {{nodeName: da-other-{n}}}]");
    }
    config
}

/// Of the last time that the page showed a status, in milliseconds of its own clock.
fn shown(page: &Page, what: &str) -> Duration {
    let time =
        page.run(&format!("const [entry] = performance.getEntriesByName('show'); return entry.{what}"));
    Duration::from_secs_f64(time.as_f64().expect("a time") / 1000.0)
}
