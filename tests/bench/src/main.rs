//! Measures Torch beside others on this machine: `torch-bench [PART…]`, begun by `tests/bench/run`.
//!
//! All servers run at the same time, pinned to one processor, and are asked in turn by a load generator
//! that is pinned to another.

mod api;
mod bench;
mod load;
mod patches;
mod plot;
mod process;
mod report;
mod reviews;
mod servers;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

#[derive(Parser)]
struct Args {
    /// Torch's program
    #[arg(long)]
    torch: PathBuf,
    /// The injector in Go
    #[arg(long)]
    injector: PathBuf,
    /// The address of this machine that servers listen on, which the API server can reach
    #[arg(long)]
    address: IpAddr,
    /// The program kubectl
    #[arg(long)]
    kubectl: PathBuf,
    /// Where to put figures and plots
    #[arg(long)]
    out: PathBuf,
    /// What to measure; by default everything
    parts: Vec<Part>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Part {
    /// Pods of all sizes, as fast as they are answered
    Pods,
    /// Configurations of all sizes
    Nodes,
    /// Latency at half of what a server can do, and at 100 requests per second
    Latency,
    /// A new connection for each request
    Connections,
    /// Pods created through the API server, with a webhook and without
    Cluster,
    /// Memory, and the time until Torch is ready
    Memory,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let parts = if args.parts.is_empty() { Part::value_variants() } else { &args.parts };
    let bench = bench::Bench::begin(&args)?;
    for part in parts {
        match part {
            Part::Pods => bench.pods()?,
            Part::Nodes => bench.nodes()?,
            Part::Latency => bench.latency()?,
            Part::Connections => bench.connections()?,
            Part::Cluster => bench.cluster()?,
            Part::Memory => bench.memory()?,
        }
    }
    Ok(())
}
