//! Figures as tables and files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::load::Seen;

/// What a server was seen doing for some seconds.
#[derive(Clone)]
pub struct Sample {
    pub case: String,
    pub server: String,
    pub round: usize,
    pub per_second: f64,
    /// Seconds of processor time per 10,000 requests.
    pub cpu: f64,
    /// The part of its processor that it has taken.
    pub busy: f64,
    /// p50, p90, p99 and p99.9, in milliseconds.
    pub percentiles: [f64; 4],
}

impl Sample {
    /// Of a server that took `cpu` seconds of processor time for what was seen; case and round are yet to be said.
    pub fn of(server: &str, cpu: f64, seen: &Seen) -> Self {
        Self {
            case: String::new(),
            server: server.into(),
            round: 0,
            per_second: seen.requests / seen.seconds,
            cpu: cpu / seen.requests * 10_000.0,
            busy: cpu / seen.seconds,
            percentiles: seen.milliseconds,
        }
    }
}

/// The samples of one part.
pub struct Report {
    file: PathBuf,
    samples: Vec<Sample>,
}

impl Report {
    /// Of a part of this name.
    pub fn begin(out: &Path, part: &str) -> Self {
        println!("\n## {part}");
        Self { file: out.join(format!("{part}.csv")), samples: Vec::new() }
    }

    /// Adds a sample.
    pub fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// Prints a case as a table: medians, the least and the most, and the ratio to the first server, round
    /// by round.
    pub fn table(&self, case: &str) {
        println!("\n| {case} | requests/s | ratio | CPU s per 10,000 | busy | p50 ms | p90 | p99 | p99.9 |");
        println!("|---|---|---|---|---|---|---|---|---|");
        let servers = self.servers(case);
        for server in &servers {
            let (middle, least, most) = spread(self.each(case, server, |s| s.per_second));
            let first = self.each(case, &servers[0], |s| s.per_second);
            let own = self.each(case, server, |s| s.per_second);
            let (ratio, lowest, highest) = spread(own.iter().zip(&first).map(|(a, b)| a / b).collect());
            let of = |figure: fn(&Sample) -> f64| spread(self.each(case, server, figure)).0;
            println!(
                "| {server} | {middle:.0} ({least:.0}-{most:.0}) | {ratio:.2} ({lowest:.2}-{highest:.2}) | {:.2} \
                 | {:.0} % | {:.2} | {:.2} | {:.2} | {:.2} |",
                of(|s| s.cpu),
                of(|s| s.busy) * 100.0,
                of(|s| s.percentiles[0]),
                of(|s| s.percentiles[1]),
                of(|s| s.percentiles[2]),
                of(|s| s.percentiles[3]),
            );
        }
    }

    /// Each server's median of a figure.
    pub fn medians(&self, case: &str, figure: fn(&Sample) -> f64) -> Vec<(String, f64)> {
        let servers = self.servers(case).into_iter();
        servers
            .map(|server| {
                let m = spread(self.each(case, &server, figure)).0;
                (server, m)
            })
            .collect()
    }

    /// Writes all samples.
    pub fn end(&self) -> anyhow::Result<()> {
        let mut text = String::from(
            "case,server,round,requests_per_s,cpu_s_per_10000,busy,p50_ms,p90_ms,p99_ms,p999_ms\n",
        );
        for Sample { case, server, round, per_second, cpu, busy, percentiles: [p50, p90, p99, p999] } in
            &self.samples
        {
            writeln!(
                text,
                "{case},{server},{round},{per_second:.1},{cpu:.3},{busy:.3},{p50:.3},{p90:.3},{p99:.3},{p999:.3}"
            )?;
        }
        Ok(fs::write(&self.file, text)?)
    }

    /// In the order of the first round.
    fn servers(&self, case: &str) -> Vec<String> {
        let first = self.samples.iter().filter(|s| s.case == case && s.round == 0);
        first.map(|s| s.server.clone()).collect()
    }

    fn each(&self, case: &str, server: &str, figure: fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().filter(|s| s.case == case && s.server == server).map(figure).collect()
    }
}

/// Prints and writes what memory each server has, idle and at most, in MiB.
pub fn memory(out: &Path, rows: &[(String, f64, f64)]) -> anyhow::Result<()> {
    println!("\n## memory\n\n| server | idle MiB | under load MiB |\n|---|---|---|");
    let mut text = String::from("server,idle_mib,most_mib\n");
    for (server, idle, most) in rows {
        println!("| {server} | {idle:.1} | {most:.1} |");
        writeln!(text, "{server},{idle:.1},{most:.1}")?;
    }
    println!();
    Ok(fs::write(out.join("memory.csv"), text)?)
}

/// Prints and writes how long the API server says that calls of webhooks took: each round's mean, in
/// milliseconds.
pub fn calls(out: &Path, calls: &[(String, f64)]) -> anyhow::Result<()> {
    let mut text = String::from("server,mean_ms\n");
    for (server, mean) in calls {
        writeln!(text, "{server},{mean:.3}")?;
    }
    fs::write(out.join("cluster-calls.csv"), text)?;
    println!("\n| apiserver_admission_webhook_admission_duration_seconds | mean, ms |\n|---|---|");
    let servers: BTreeSet<&String> = calls.iter().map(|(server, _)| server).collect();
    for server in servers {
        let (middle, least, most) =
            spread(calls.iter().filter(|(of, _)| of == server).map(|(_, mean)| *mean).collect());
        println!("| {server} | {middle:.2} ({least:.2}-{most:.2}) |");
    }
    Ok(())
}

/// The middle one; sorts.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The median, the least and the most.
fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    let middle = median(&mut figures);
    (middle, figures[0], figures[figures.len() - 1])
}
