//! The table, what else was asked of the API server, and the verdict.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;

use crate::measure::{Figures, Work};
use crate::plot;

/// The most memory, in MiB: three quarters of the limit in deploy/deployment.yaml.
const MEMORY: f64 = 96.0;

/// How much more a change may cost with the most nodes than with the fewest: what is measured wavers, and
/// work that grows with the nodes would be a hundred times as much.
const GROWTH: f64 = 3.0;

const HEAD: &str = " nodes │ all known  handed over  requests   written      read      CPU   memory │ a change  requests   written      read      CPU
───────┼────────────────────────────────────────────────────────────────────────┼────────────────────────────────────────────────";

/// Prints one line of the table, and by what the API server was asked.
pub fn row(figures: &Figures, is_first: bool) {
    if is_first {
        println!("{HEAD}");
    }
    let all = figures.learning.asked.sum();
    let some = figures.changes.asked.sum();
    println!(
        "{:6} │ {:>9}  {:>11}  {:8}  {:>8}  {:>8}  {:>7}  {:>7} │ {:>8}  {:8.1}  {:>8}  {:>8}  {:>7}",
        figures.nodes,
        figures.known.map_or_else(|| "no".into(), seconds),
        seconds(figures.learning.time),
        all.requests,
        bytes(all.written as f64),
        bytes(all.read as f64),
        seconds(figures.learning.cpu),
        format!("{:.1} M", figures.peak),
        format!("{} ms", figures.change.time.as_millis()),
        Figures::share(some.requests),
        bytes(Figures::share(some.written)),
        bytes(Figures::share(some.read)),
        format!("{:.1} ms", milliseconds(figures.cpu_of_a_change())),
    );
    detail("to learn everything", &figures.learning);
    detail("idle", &figures.idle);
    detail("one change", &figures.change);
    detail("many changes", &figures.changes);
    eprintln!("    memory at the end: {:.1} MiB", figures.memory);
}

fn detail(what: &str, work: &Work) {
    eprintln!("    {what}: {} dials, {:.1} ms of CPU", work.dials, milliseconds(work.cpu));
    for (kind, count) in &work.asked.0 {
        let (written, read) = (bytes(count.written as f64), bytes(count.read as f64));
        eprintln!("      {kind}: {} requests, {written} written, {read} read", count.requests);
    }
}

/// Writes the figures, and plots of what they are for each node, change and second.
pub fn keep(out: &Path, all: &[Figures]) -> anyhow::Result<()> {
    let mut text = String::from(
        "nodes,known_s,learned_requests,learned_bytes,learned_cpu_ms,change_requests,change_bytes,change_cpu_ms,idle_dials,idle_cpu_percent,peak_mib\n",
    );
    for figures in all {
        let (learned, change) = (figures.learning.asked.sum(), figures.changes.asked.sum());
        let each = |of_all: f64| of_all / figures.nodes as f64;
        writeln!(
            text,
            "{},{:.1},{:.1},{:.0},{:.2},{:.1},{:.0},{:.1},{},{:.3},{:.1}",
            figures.nodes,
            figures.known.unwrap_or_default().as_secs_f64(),
            each(learned.requests as f64),
            each(learned.written as f64),
            each(milliseconds(figures.learning.cpu)),
            Figures::share(change.requests),
            Figures::share(change.written),
            milliseconds(figures.cpu_of_a_change()),
            figures.idle.dials,
            figures.idle_percent(),
            figures.peak,
        )?;
    }
    fs::write(out.join("groups.csv"), text)?;
    let plot = |name: &str, title: &str, of: &dyn Fn(&Figures) -> f64| {
        let bars: Vec<_> = all.iter().map(|f| (format!("{} nodes", f.nodes), of(f))).collect();
        plot::bars(out, name, title, &bars)
    };
    let learned = |f: &Figures| milliseconds(f.learning.cpu) / f.nodes as f64;
    plot("groups-learned", "CPU for each node that is learned, ms", &learned)?;
    plot("groups-change", "CPU for each node that changes, ms", &|f| milliseconds(f.cpu_of_a_change()))?;
    plot("groups-idle", "CPU while nothing changes, percent of a processor", &Figures::idle_percent)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Closes with one line, or with what is not as it should be. In one mesh, as through a `hub`, a change may cost
/// as much more as there are more nodes.
pub fn verdict(all: &[Figures], hub: bool) -> anyhow::Result<()> {
    let (Some(few), Some(many)) = (all.first(), all.last()) else { return Ok(()) };
    for figures in all {
        let (nodes, missed) = (figures.nodes, &figures.missed);
        ensure!(figures.known.is_some(), "{nodes} nodes: not all became known");
        ensure!(missed.is_empty(), "{nodes} nodes: changes did not come to be in the book: {missed:?}");
        ensure!(figures.peak < MEMORY, "{nodes} nodes: {:.1} MiB of memory", figures.peak);
    }
    let pair = [few, many];
    bounded("requests", pair, GROWTH, |f| f.changes.asked.sum().requests as f64)?;
    bounded("bytes written", pair, GROWTH, |f| f.changes.asked.sum().written as f64)?;
    let larger = if hub { many.nodes as f64 / few.nodes as f64 } else { 1.0 };
    // What the clock of the kernel cannot tell apart is added to both.
    bounded("milliseconds of CPU", pair, GROWTH * larger, |f| milliseconds(f.cpu_of_a_change()) + 1.0)?;
    let change = many.changes.asked.sum();
    println!(
        "scale: {} nodes known in {}, {:.1} MiB of memory; a change: {:.1} requests, {} written, {:.1} ms of CPU (with {} nodes {:.1} ms); idle: {:.3} % of a processor",
        many.nodes,
        many.known.map(seconds).unwrap_or_default(),
        many.peak,
        Figures::share(change.requests),
        bytes(Figures::share(change.written)),
        milliseconds(many.cpu_of_a_change()),
        few.nodes,
        milliseconds(few.cpu_of_a_change()),
        many.idle_percent(),
    );
    Ok(())
}

fn bounded(
    what: &str,
    [few, many]: [&Figures; 2],
    growth: f64,
    of: impl Fn(&Figures) -> f64,
) -> anyhow::Result<()> {
    let (before, after) = (of(few), of(many));
    ensure!(
        after <= before * growth,
        "changes cost {after:.0} {what} with {} nodes, {before:.0} with {}",
        many.nodes,
        few.nodes
    );
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn bytes(n: f64) -> String {
    if n < 1e4 {
        format!("{n:.0} B")
    } else if n < 1e6 {
        format!("{:.1} kB", n / 1e3)
    } else {
        format!("{:.1} MB", n / 1e6)
    }
}
