//! The parts: who is asked what, in which order, how often.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;

use crate::Args;
use crate::api::{Api, Webhook};
use crate::load::Load;
use crate::report::{self, Report, Sample, median};
use crate::reviews::{self, Review};
use crate::servers::{Programs, Server};
use crate::{patches, plot};

/// How often each server is asked in each case.
const ROUNDS: usize = 5;

/// How long nobody is asked before each server is: what the one before still does, such as to collect garbage, would
/// count against this one, on the same processor.
const REST: Duration = Duration::from_millis(500);

/// How long a server is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(3);

/// How often Torch is started.
const STARTS: usize = 11;

/// How often a pod is created in each round.
const CREATIONS: u32 = 400;

/// What is done through the API server.
const CREATE: &str = "create-7kB-dry-run";

/// The sizes of configurations.
const NODES: [usize; 3] = [10, 1_000, 10_000];

/// Those that Torch is compared with.
const OTHERS: [&str; 4] = ["wire", "axum", "kube", "controller-runtime"];

/// Measures.
pub struct Bench<'a> {
    args: &'a Args,
    programs: Programs<'a>,
}

impl<'a> Bench<'a> {
    /// Makes what all parts need.
    pub fn begin(args: &'a Args) -> anyhow::Result<Self> {
        fs::create_dir_all(&args.out)?;
        let bench = Self { args, programs: Programs::find(args)? };
        let torch = bench.programs.torch(1_000)?;
        for review in &reviews::ALL {
            let answer = bench.curl(&torch, review)?;
            fs::write(bench.programs.work.join("answers").join(review.name), answer)?;
        }
        Ok(bench)
    }

    /// Pods of all sizes, as fast as they are answered.
    pub fn pods(&self) -> anyhow::Result<()> {
        let servers = self.all()?;
        self.check(&servers)?;
        let mut report = Report::begin(&self.args.out, "pods");
        for review in &reviews::ALL {
            self.case(&mut report, review.name, &servers, review, |_| Load::Most)?;
        }
        report.end()?;
        for (file, what, of) in [
            ("requests", "requests per second", (|s| s.per_second) as fn(&Sample) -> f64),
            ("cpu", "CPU seconds per 10,000 requests", |s| s.cpu),
        ] {
            plot::bars(&self.args.out, file, what, &report.medians(Review::usual().name, of))?;
        }
        Ok(())
    }

    /// Configurations of all sizes.
    pub fn nodes(&self) -> anyhow::Result<()> {
        let servers = NODES.iter().map(|&nodes| self.programs.torch(nodes)).collect::<Result<Vec<_>, _>>()?;
        let mut report = Report::begin(&self.args.out, "nodes");
        self.case(&mut report, "7kB", &servers, Review::usual(), |_| Load::Most)?;
        report.end()
    }

    /// Latency at half of what a server can do, and at 100 requests per second.
    pub fn latency(&self) -> anyhow::Result<()> {
        let servers = self.all()?;
        let most = servers.iter().map(|server| Ok(self.ask(server, Review::usual(), Load::Most)?.per_second));
        let most = most.collect::<anyhow::Result<Vec<f64>>>()?;
        let mut report = Report::begin(&self.args.out, "latency");
        let half = |server: usize| Load::Rate((most[server] / 2.0) as u32);
        self.case(&mut report, "half", &servers, Review::usual(), half)?;
        self.case(&mut report, "100-per-s", &servers, Review::usual(), |_| Load::Rate(100))?;
        report.end()?;
        let medians = report.medians("half", |sample| sample.percentiles[2]);
        plot::bars(&self.args.out, "latency", "p99 at half load, ms", &medians)
    }

    /// A new connection for each request.
    pub fn connections(&self) -> anyhow::Result<()> {
        let servers = self.all()?;
        let mut report = Report::begin(&self.args.out, "connections");
        self.case(&mut report, "7kB", &servers, Review::usual(), |_| Load::Connections)?;
        report.end()
    }

    /// Pods created through the API server, with a webhook and without.
    pub fn cluster(&self) -> anyhow::Result<()> {
        let servers = [self.programs.torch(1_000)?, self.programs.other("controller-runtime")?];
        let api = Api::find(self.args, &self.programs.work)?;
        let mut report = Report::begin(&self.args.out, "cluster");
        let mut calls = Vec::new();
        for round in 0..ROUNDS {
            let mut order = vec![None, Some(&servers[0]), Some(&servers[1])];
            if round % 2 == 1 {
                order.reverse();
            }
            for webhook in order {
                let (sample, call) = self.create(&api, webhook)?;
                calls.extend(call.map(|mean| (sample.server.clone(), mean)));
                report.add(Sample { case: CREATE.into(), round, ..sample });
            }
        }
        report.table(CREATE);
        report::calls(&self.args.out, &calls)?;
        report.end()
    }

    /// Has a pod created many times with this webhook, or none; and how long the API server says that a call
    /// of the webhook took in the mean, in milliseconds.
    fn create(&self, api: &Api<'_>, webhook: Option<&Server>) -> anyhow::Result<(Sample, Option<f64>)> {
        let cpu = || webhook.map_or(Ok(0.0), |server| server.process.cpu());
        let registered = webhook.map(|server| api.register(server)).transpose()?;
        let (cpu_before, calls_before) = (cpu()?, api.calls()?);
        let seen = api.create_pods(CREATIONS)?;
        let (cpu, calls) = (cpu()? - cpu_before, api.calls()?);
        registered.map(Webhook::remove).transpose()?;
        let asked = calls.count - calls_before.count;
        let expected = if webhook.is_some() { f64::from(CREATIONS) } else { 0.0 };
        anyhow::ensure!(asked == expected, "{asked} calls of the webhook, not {expected}");
        anyhow::ensure!(webhook.is_none() || cpu > 0.0, "another server has answered");
        let name = webhook.map_or("no webhook", |server| &server.name);
        let sample = Sample::of(name, cpu, &seen);
        Ok((sample, webhook.map(|_| (calls.seconds - calls_before.seconds) / asked * 1000.0)))
    }

    /// Memory, and the time until Torch is ready.
    pub fn memory(&self) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for server in self.all()?.iter().chain(&[self.programs.torch(10)?, self.programs.torch(10_000)?]) {
            sleep(IDLE);
            let idle = server.process.memory("VmRSS")?;
            self.ask(server, Review::usual(), Load::Most)?;
            rows.push((server.name.clone(), idle, server.process.memory("VmHWM")?));
        }
        report::memory(&self.args.out, &rows)?;
        let idle: Vec<_> = rows.into_iter().map(|(name, idle, _)| (name, idle)).collect();
        plot::bars(&self.args.out, "memory", "memory when idle, MiB", &idle)?;
        for nodes in NODES {
            let times = (0..STARTS).map(|_| self.programs.torch_ready(nodes));
            let mut times = times.collect::<anyhow::Result<Vec<f64>>>()?;
            let middle = median(&mut times);
            println!(
                "torch-{nodes} is ready after {middle:.1} ms ({:.1}-{:.1})",
                times[0],
                times[STARTS - 1]
            );
        }
        Ok(())
    }

    /// All kinds, Torch with 1,000 nodes.
    fn all(&self) -> anyhow::Result<Vec<Server>> {
        let others = OTHERS.iter().map(|name| self.programs.other(name));
        others.chain([self.programs.torch(1_000)]).collect()
    }

    /// All that change pods make the same of each.
    fn check(&self, servers: &[Server]) -> anyhow::Result<()> {
        for review in &reviews::ALL {
            let made = |server: &Server| {
                let answer = self.curl(server, review)?;
                patches::apply(&server.review(review), &answer).context(server.name.clone())
            };
            let pods = servers.iter().map(made).collect::<anyhow::Result<Vec<_>>>()?;
            for (server, pod) in servers.iter().zip(&pods) {
                anyhow::ensure!(*pod == pods[0], "{} makes something else of {}", server.name, review.name);
            }
        }
        Ok(())
    }

    /// Asks all servers in turn, forth and back.
    fn case(
        &self,
        report: &mut Report,
        case: &str,
        servers: &[Server],
        review: &Review,
        load: impl Fn(usize) -> Load,
    ) -> anyhow::Result<()> {
        for round in 0..ROUNDS {
            let mut order: Vec<usize> = (0..servers.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                let sample = self.ask(&servers[at], review, load(at))?;
                report.add(Sample { case: case.into(), round, ..sample });
            }
        }
        report.table(case);
        Ok(())
    }

    fn ask(&self, server: &Server, review: &Review, load: Load) -> anyhow::Result<Sample> {
        let body = self.body(server, review)?;
        sleep(REST);
        let before = server.process.cpu()?;
        let seen = load.run(&server.url(review), &body)?;
        let cpu = server.process.cpu()? - before;
        Ok(Sample::of(&server.name, cpu, &seen))
    }

    fn body(&self, server: &Server, review: &Review) -> anyhow::Result<std::path::PathBuf> {
        let body = self.programs.work.join(format!("{}-{}", server.name, review.name));
        fs::write(&body, server.review(review))?;
        Ok(body)
    }

    /// What a server answers.
    fn curl(&self, server: &Server, review: &Review) -> anyhow::Result<Vec<u8>> {
        let body = format!("@{}", self.body(server, review)?.display());
        let mut command = std::process::Command::new("curl");
        command.args(["--silent", "--fail", "--insecure", "--header", "Content-Type: application/json"]);
        command.args(["--data-binary", &body, &server.url(review)]);
        let done = command.output()?;
        anyhow::ensure!(done.status.success(), "{} does not answer {}", server.name, review.name);
        Ok(done.stdout)
    }
}
