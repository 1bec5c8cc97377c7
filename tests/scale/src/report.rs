//! The table, what else was asked of the API server, and the verdict.

use std::time::Duration;

use anyhow::ensure;

use crate::measure::{Figures, Work};

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
        format!("{:.1} ms", figures.cpu_of_a_change().as_secs_f64() * 1000.0),
    );
    detail("to learn everything", &figures.learning);
    detail("idle", &figures.idle);
    detail("one change", &figures.change);
    detail("many changes", &figures.changes);
    eprintln!("    memory at the end: {:.1} MiB", figures.memory);
}

fn detail(what: &str, work: &Work) {
    eprintln!("    {what}: {} dials, {:.1} ms of CPU", work.dials, work.cpu.as_secs_f64() * 1000.0);
    for (kind, count) in &work.asked.0 {
        let (written, read) = (bytes(count.written as f64), bytes(count.read as f64));
        eprintln!("      {kind}: {} requests, {written} written, {read} read", count.requests);
    }
}

/// Closes with one line, or with what is not as it should be.
pub fn verdict(all: &[Figures]) -> anyhow::Result<()> {
    let (Some(few), Some(many)) = (all.first(), all.last()) else { return Ok(()) };
    for figures in all {
        let (nodes, missed) = (figures.nodes, &figures.missed);
        ensure!(figures.known.is_some(), "{nodes} nodes: not all became known");
        ensure!(missed.is_empty(), "{nodes} nodes: changes did not come to be in the book: {missed:?}");
        ensure!(figures.peak < MEMORY, "{nodes} nodes: {:.1} MiB of memory", figures.peak);
    }
    bounded("requests", few, many, |f| f.changes.asked.sum().requests as f64)?;
    bounded("bytes written", few, many, |f| f.changes.asked.sum().written as f64)?;
    // What the clock of the kernel cannot tell apart is added to both.
    bounded("milliseconds of CPU", few, many, |f| f.cpu_of_a_change().as_secs_f64() * 1000.0 + 1.0)?;
    let change = many.changes.asked.sum();
    println!(
        "scale: {} nodes known in {}, {:.1} MiB of memory; a change: {:.1} requests, {} written, {:.1} ms of CPU (with {} nodes {:.1} ms); idle: {:.3} % of a processor",
        many.nodes,
        many.known.map(seconds).unwrap_or_default(),
        many.peak,
        Figures::share(change.requests),
        bytes(Figures::share(change.written)),
        many.cpu_of_a_change().as_secs_f64() * 1000.0,
        few.nodes,
        few.cpu_of_a_change().as_secs_f64() * 1000.0,
        many.idle_percent(),
    );
    Ok(())
}

fn bounded(what: &str, few: &Figures, many: &Figures, of: impl Fn(&Figures) -> f64) -> anyhow::Result<()> {
    let (before, after) = (of(few), of(many));
    ensure!(
        after <= before * GROWTH,
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
