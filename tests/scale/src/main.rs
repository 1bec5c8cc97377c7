//! Measures Torch with thousands of nodes: `torch-scale [--hub] [SIZE…]`, on the API server of `KUBECONFIG`,
//! with the `torch` that lies beside this program. With `--hub`, the first node is in every group.
//!
//! The nodes are pods on the real API server whose status is written here, since no machine has room for
//! so many containers. At the address of each a node answers that proves a key of its own. Torch is a
//! process of this machine; all that it asks of the API server goes through a proxy that counts, and that
//! answers its execs, since there is nothing to run a command in.

mod fleet;
mod measure;
mod nodes;
mod proxy;
mod report;
mod torch;

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
    let (hub, sizes) = arguments()?;
    let client = Client::try_default().await.context("no API server: set KUBECONFIG")?;
    let nodes = Nodes::listen().await?;
    let proxy = Proxy::start(client.clone()).await?;
    let fleet = Fleet::make(client, nodes.clone(), hub).await?;
    let mut bench = Bench { fleet, nodes, proxy };
    let measured = measure_all(&mut bench, &sizes).await;
    bench.fleet.remove().await;
    report::verdict(&measured?)
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

fn arguments() -> anyhow::Result<(bool, Vec<usize>)> {
    let (options, given): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument == "--hub");
    let size = |text: &String| text.parse().with_context(|| format!("`{text}` is not a number of nodes"));
    let sizes = given.iter().map(size).collect::<anyhow::Result<Vec<usize>>>()?;
    Ok((!options.is_empty(), if sizes.is_empty() { SIZES.into() } else { sizes }))
}
