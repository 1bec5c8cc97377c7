//! What is measured: Torch learns everything, does nothing, and sees some nodes change.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::time::sleep;

use crate::fleet::{self, Fleet};
use crate::nodes::Nodes;
use crate::proxy::{Proxy, Tally};
use crate::torch::Torch;

/// How long Torch may take to learn everything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Nothing asked for so long: Torch has done what there was to do.
const QUIET: Duration = Duration::from_millis(1500);

/// How often the book is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How long Torch is watched doing nothing.
const IDLE: Duration = Duration::from_secs(10);

/// How many nodes change.
const CHANGES: usize = 20;

/// How far apart: each is more work than the one before it left over.
const APART: Duration = Duration::from_millis(400);

/// All that takes part.
pub struct Bench {
    /// The pods.
    pub fleet: Fleet,
    /// What answers at their addresses.
    pub nodes: Nodes,
    /// What Torch has for an API server.
    pub proxy: Proxy,
}

/// What Torch has done in a time.
pub struct Work {
    /// The time until the last request.
    pub time: Duration,
    /// Processor time.
    pub cpu: Duration,
    /// Requests to the API server.
    pub asked: Tally,
    /// Handshakes with nodes.
    pub dials: u64,
}

/// What was measured with so many nodes.
pub struct Figures {
    /// How many.
    pub nodes: usize,
    /// When all addresses were known, if they were in time.
    pub known: Option<Duration>,
    /// From the start until everything was written down and handed over.
    pub learning: Work,
    /// Without anything to do.
    pub idle: Work,
    /// One change.
    pub change: Work,
    /// [`CHANGES`] changes.
    pub changes: Work,
    /// Nodes that changed and whose new address did not come to be in the book.
    pub missed: Vec<String>,
    /// The most memory, in MiB.
    pub peak: f64,
    /// The memory at the end, in MiB.
    pub memory: f64,
}

impl Figures {
    /// The processor time of one change, without what Torch does anyway.
    pub fn cpu_of_a_change(&self) -> Duration {
        let anyway = self.idle_percent() / 100.0 * (self.changes.time + QUIET).as_secs_f64();
        self.changes.cpu.saturating_sub(Duration::from_secs_f64(anyway)) / CHANGES as u32
    }

    /// How much of one processor it takes to do nothing, in percent.
    pub fn idle_percent(&self) -> f64 {
        100.0 * self.idle.cpu.div_duration_f64(IDLE)
    }

    /// One of many changes' share of a number.
    pub fn share(of_all: u64) -> f64 {
        of_all as f64 / CHANGES as f64
    }
}

/// From when on work is counted.
struct Mark {
    at: Instant,
    cpu: Duration,
    asked: Tally,
    dials: u64,
}

impl Bench {
    /// Measures with so many nodes.
    pub async fn run(&mut self, size: usize) -> anyhow::Result<Figures> {
        self.fleet.grow(size).await?;
        self.fleet.forget().await?;
        let none = Mark {
            at: Instant::now(),
            cpu: Duration::ZERO,
            asked: self.proxy.tally(),
            dials: self.nodes.dialled(),
        };
        let torch = Torch::start(&self.fleet.namespace, &self.proxy.kubeconfig(), &self.fleet.config())?;
        let known = self.learn(&torch, size).await?;
        self.settle(&(0..size).collect::<Vec<_>>()).await?;
        let learning = self.since(&none, &torch)?;
        let mark = self.mark(&torch)?;
        sleep(IDLE).await;
        let idle = self.since(&mark, &torch)?;
        let mark = self.mark(&torch)?;
        self.fleet.change(0).await?;
        self.settle(&[0]).await?;
        let change = self.since(&mark, &torch)?;
        let mark = self.mark(&torch)?;
        let changed = self.change_some(size).await?;
        let missed = self.settle(&changed).await?;
        let changes = self.since(&mark, &torch)?;
        let (memory, peak) = torch.memory()?;
        Ok(Figures { nodes: size, known, learning, idle, change, changes, missed, peak, memory })
    }

    async fn learn(&self, torch: &Torch, size: usize) -> anyhow::Result<Option<Duration>> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if torch.known() == size {
                return Ok(Some(begun.elapsed()));
            }
            torch.cpu().context("while it learns")?;
            sleep(Duration::from_millis(100)).await;
        }
        eprintln!("not within {PATIENCE:?}: {} of {size} nodes are known", torch.known());
        Ok(None)
    }

    /// Waits until the book holds these nodes' addresses, and then nothing is asked any more; gives those
    /// that it does not come to hold.
    async fn settle(&self, nodes: &[usize]) -> anyhow::Result<Vec<String>> {
        let begun = Instant::now();
        let mut missed = self.missed(nodes).await?;
        while !missed.is_empty() && begun.elapsed() < PATIENCE {
            sleep(LOOK).await;
            missed = self.missed(nodes).await?;
        }
        let from = Instant::now();
        while self.proxy.last().max(from).elapsed() < QUIET && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(missed)
    }

    async fn change_some(&self, size: usize) -> anyhow::Result<Vec<usize>> {
        // The middle of each part, so that no two are in one group, and none is the first.
        let nodes: Vec<usize> = (0..CHANGES).map(|n| (2 * n + 1) * size / (2 * CHANGES)).collect();
        for &node in &nodes {
            let (_, ()) = tokio::join!(self.fleet.change(node), sleep(APART));
        }
        Ok(nodes)
    }

    /// The nodes of these whose address the book does not hold.
    async fn missed(&self, nodes: &[usize]) -> anyhow::Result<Vec<String>> {
        let book = self.fleet.book().await?;
        let is_there = |node: &usize| {
            book.get(&fleet::name(*node)).is_some_and(|entry| entry.contains(&self.nodes.address(*node)))
        };
        Ok(nodes.iter().filter(|node| !is_there(node)).map(|node| fleet::name(*node)).collect())
    }

    fn mark(&self, torch: &Torch) -> anyhow::Result<Mark> {
        let (asked, dials) = (self.proxy.tally(), self.nodes.dialled());
        Ok(Mark { at: Instant::now(), cpu: torch.cpu()?, asked, dials })
    }

    fn since(&self, mark: &Mark, torch: &Torch) -> anyhow::Result<Work> {
        Ok(Work {
            time: self.proxy.last().saturating_duration_since(mark.at),
            cpu: torch.cpu()?.saturating_sub(mark.cpu),
            asked: &self.proxy.tally() - &mark.asked,
            dials: self.nodes.dialled() - mark.dials,
        })
    }
}
