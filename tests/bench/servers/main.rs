//! What Torch is compared with: servers that listen, shake hands and speak HTTP as it does, each of which
//! does another part of its work.

mod answers;
mod injector;
mod routed;
mod serve;
mod wire;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use hyper::service::service_fn;
use hyper_util::service::TowerToHyperService;

use crate::injector::Injection;
use crate::serve::Door;

#[derive(Parser)]
struct Args {
    /// Which of them
    kind: Kind,
    /// The address to listen on
    #[arg(long)]
    address: IpAddr,
    /// The port to listen on
    #[arg(long)]
    port: u16,
    /// The directory with tls.crt and tls.key
    #[arg(long)]
    tls_dir: PathBuf,
    /// The directory of the answers; each is given on the path that is its name
    #[arg(long)]
    answers: PathBuf,
    /// The workload whose pods are changed
    #[arg(long)]
    node: String,
    /// The value that these get
    #[arg(long)]
    peers: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// hyper and rustls: reads the body and answers, the same for all
    Wire,
    /// The same behind axum's routes and extractors
    Axum,
    /// An injector as kube's examples have it
    Kube,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Args { kind, address, port, tls_dir, answers, node, peers } = Args::parse();
    let door = Door::open((address, port), &tls_dir).await?;
    let answers = answers::read(&answers)?;
    match kind {
        Kind::Wire => {
            door.serve(service_fn(move |request| wire::answer(Arc::clone(&answers), request))).await
        }
        Kind::Axum => door.serve(TowerToHyperService::new(routed::router(answers))).await,
        Kind::Kube => door.serve(TowerToHyperService::new(injector::router(Injection { node, peers }))).await,
    }
}
