//! Load, and what is seen of the answers: by wrk as much as a server can do, which takes the least of the
//! processor for each request, and by oha at a rate that does not wait for answers.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The processor that the load comes from.
const PROCESSOR: &str = "1";

/// How many connections are used at once.
const CONNECTIONS: &str = "16";

/// From which length on bodies are sent for longer.
const LARGE: u64 = 500_000;

/// The script that has wrk say what [`Seen`] reads.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/load.lua");

/// How a server is asked.
#[derive(Clone, Copy)]
pub enum Load {
    /// As fast as it answers.
    Most,
    /// As fast as it answers, each time by a new connection.
    Connections,
    /// So many times per second, whether it has answered or not: who waits to be sent waits, too.
    Rate(u32),
}

/// What was seen.
#[derive(Deserialize)]
pub struct Seen {
    pub requests: f64,
    pub seconds: f64,
    failures: f64,
    /// Within how many milliseconds 50, 90, 99 and 99.9 of 100 were answered.
    pub milliseconds: [f64; 4],
}

impl Load {
    /// Sends the body for some seconds.
    pub fn run(self, url: &str, body: &Path) -> anyhow::Result<Seen> {
        let seen = match self {
            Self::Most => wrk(url, body, "keep-alive")?,
            Self::Connections => wrk(url, body, "close")?,
            Self::Rate(rate) => oha(url, body, rate)?,
        };
        anyhow::ensure!(seen.requests > 0.0, "{url}: no request was answered");
        anyhow::ensure!(seen.failures == 0.0, "{url}: {} of {} failed", seen.failures, seen.requests);
        Ok(seen)
    }
}

fn wrk(url: &str, body: &Path, connection: &str) -> anyhow::Result<Seen> {
    // One that works on all its connections at once may have answered none of 1 MB after a second.
    let seconds = if std::fs::metadata(body)?.len() > LARGE { "4" } else { "1" };
    let mut command = pinned("wrk");
    command.args(["-t1", "-c", CONNECTIONS, "-d", seconds, "--timeout", "20s", "-s", SCRIPT, url, "--"]);
    run(command.arg(body).arg(connection))
}

fn oha(url: &str, body: &Path, rate: u32) -> anyhow::Result<Seen> {
    let mut command = pinned("oha");
    command.args(["--no-tui", "--output-format", "json", "--insecure", "--http-version", "1.1"]);
    command.args(["-m", "POST", "-T", "application/json", "-D"]).arg(body);
    command.args(["-w", "-c", CONNECTIONS, "-z", "3s"]);
    command.args(["-q", &rate.to_string(), "--latency-correction", url]);
    run::<Said>(&mut command).map(Seen::from)
}

/// Sends the body so many times, by one connection, each when the last was answered.
pub fn one_by_one(url: &str, body: &Path, times: u32, credentials: &[String]) -> anyhow::Result<Seen> {
    let mut command = pinned("oha");
    command.args(["--no-tui", "--output-format", "json", "--http-version", "1.1", "-c", "1"]);
    command.args(["-m", "POST", "-T", "application/json", "-n", &times.to_string()]);
    command.args(credentials).arg("-D").arg(body).arg(url);
    let seen = Seen::from(run::<Said>(&mut command)?);
    anyhow::ensure!(seen.failures == 0.0, "{url}: {} of {times} failed", seen.failures);
    Ok(seen)
}

fn pinned(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", PROCESSOR, program]);
    command
}

/// What a program says in the last of its output.
fn run<T: DeserializeOwned>(command: &mut Command) -> anyhow::Result<T> {
    let done = command.output().context("cannot start taskset")?;
    let said = String::from_utf8_lossy(&done.stdout);
    let json = said.find('{').map_or("", |at| &said[at..]);
    serde_json::from_str(json).with_context(|| format!("{said}{}", String::from_utf8_lossy(&done.stderr)))
}

/// What oha says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    summary: Summary,
    latency_percentiles: HashMap<String, Option<f64>>,
    status_code_distribution: HashMap<String, f64>,
    error_distribution: HashMap<String, f64>,
}

#[derive(Deserialize)]
struct Summary {
    total: f64,
}

impl From<Said> for Seen {
    fn from(said: Said) -> Self {
        let codes = &said.status_code_distribution;
        let good: f64 = codes.iter().filter(|(code, _)| code.starts_with('2')).map(|(_, times)| times).sum();
        let answered: f64 = said.status_code_distribution.values().sum();
        let failed: f64 = said.error_distribution.values().sum();
        let at = |p| said.latency_percentiles.get(p).copied().flatten().unwrap_or(f64::NAN) * 1000.0;
        Self {
            requests: good,
            seconds: said.summary.total,
            failures: answered - good + failed,
            milliseconds: ["p50", "p90", "p99", "p99.9"].map(at),
        }
    }
}
