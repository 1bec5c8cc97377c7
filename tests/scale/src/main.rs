//! Measures Torch with thousands of nodes: `torch-scale [--hub] [--out DIRECTORY] [SIZE…]`, on the API server of
//! `KUBECONFIG`, with the `torch` that lies beside this program. With `--hub`, the first node is in every group;
//! `--out` has the figures written as CSV, and as plots.
//!
//! The nodes are pods on the real API server whose status is written here, since no machine has room for
//! so many containers. At the address of each a node answers that proves a key of its own. Torch is a
//! process of this machine; all that it asks of the API server goes through a proxy that counts, and that
//! answers its execs, since there is nothing to run a command in.

mod fleet;
mod measure;
mod nodes;
#[path = "../../bench/src/plot.rs"]
mod plot;
mod proxy;
mod report;
mod torch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use kube::Client;

use fleet::Fleet;
use measure::Bench;
use nodes::Nodes;
use proxy::Proxy;

/// How many nodes there are, one number after the other: 10, 100, 1,000 and 2,000 groups.
const SIZES: [usize; 4] = [50, 500, 5_000, 10_000];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().expect("this comes first");
    let Arguments { hub, out, sizes } = Arguments::read()?;
    let client = Client::try_default().await.context("no API server: set KUBECONFIG")?;
    let nodes = Nodes::listen().await?;
    let proxy = Proxy::start(client.clone()).await?;
    let fleet = Fleet::make(client, nodes.clone(), hub).await?;
    let mut bench = Bench { fleet, nodes, proxy };
    let measured = measure_all(&mut bench, &sizes).await;
    bench.fleet.remove().await;
    let measured = measured?;
    out.map(|out| report::keep(&out, &measured)).transpose()?;
    report::verdict(&measured, hub)
}

async fn measure_all(bench: &mut Bench, sizes: &[usize]) -> anyhow::Result<Vec<measure::Figures>> {
    let mut all = Vec::new();
    for &size in sizes {
        let figures = bench.run(size).await.with_context(|| format!("with {size} nodes"))?;
        report::row(&figures, all.is_empty());
        all.push(figures);
    }
    Ok(all)
}

/// What is to be measured.
struct Arguments {
    hub: bool,
    out: Option<PathBuf>,
    sizes: Vec<usize>,
}

impl Arguments {
    fn read() -> anyhow::Result<Self> {
        let (mut hub, mut out, mut sizes) = (false, None, Vec::new());
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "--hub" => hub = true,
                "--out" => out = Some(given.next().context("--out needs a directory")?.into()),
                size => {
                    sizes.push(size.parse().with_context(|| format!("`{size}` is not a number of nodes"))?)
                }
            }
        }
        if sizes.is_empty() {
            sizes = SIZES.into();
        }
        Ok(Self { hub, out, sizes })
    }
}
