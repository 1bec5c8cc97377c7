//! The servers: what each is and how it is started.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::Args;
use crate::process::{Process, ask, free_port, listens, wait};
use crate::reviews::{NODE, Review};

/// The namespace of Torch with 1,000 nodes, and of those that it is compared with.
pub const NAMESPACE: &str = "torch-bench-1000";

/// How many nodes a group has.
const GROUP: usize = 5;

const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

/// A server that runs.
pub struct Server {
    /// What it is called in tables and files.
    pub name: String,
    /// Its process.
    pub process: Process,
    address: IpAddr,
    /// Its port.
    pub port: u16,
    namespace: String,
    /// The directory with its certificate, and the CA's.
    pub tls: PathBuf,
    answers_by_name: bool,
}

impl Server {
    /// Where to send a review.
    pub fn url(&self, review: &Review) -> String {
        let path = if self.answers_by_name { review.name } else { "mutate" };
        format!("https://{}:{}/{path}", self.address, self.port)
    }

    /// The review, of the namespace that it serves.
    pub fn review(&self, review: &Review) -> String {
        review.text(&self.namespace)
    }
}

/// What servers are started from.
pub struct Programs<'a> {
    args: &'a Args,
    others: PathBuf,
    /// A directory for what they read.
    pub work: PathBuf,
}

impl<'a> Programs<'a> {
    /// With the program that lies beside this one.
    pub fn find(args: &'a Args) -> anyhow::Result<Self> {
        let others = std::env::current_exe()?.with_file_name("torch-bench-server");
        let work = std::env::temp_dir().join(format!("torch-bench-{}", std::process::id()));
        fs::create_dir_all(work.join("answers"))?;
        Ok(Self { args, others, work })
    }

    /// Torch with so many nodes, all of whose addresses it knows.
    pub fn torch(&self, nodes: usize) -> anyhow::Result<Server> {
        let (server, plain) = self.start_torch(nodes)?;
        let known = format!("torch_nodes{{outcome=\"known\"}} {}\n", nodes - 1);
        wait(&known, || ask(plain, "/metrics").contains(&known))?;
        Ok(server)
    }

    /// The time from Torch's start until it is ready, in milliseconds.
    pub fn torch_ready(&self, nodes: usize) -> anyhow::Result<f64> {
        let begun = std::time::Instant::now();
        let (_server, plain) = self.start_torch(nodes)?;
        wait("Torch is ready", || ask(plain, "/readyz").starts_with("HTTP/1.1 200 "))?;
        Ok(begun.elapsed().as_secs_f64() * 1000.0)
    }

    fn start_torch(&self, nodes: usize) -> anyhow::Result<(Server, u16)> {
        let namespace = format!("torch-bench-{nodes}");
        let config = self.work.join(format!("{namespace}.yaml"));
        if !config.exists() {
            fs::write(&config, configuration(nodes))?;
        }
        let (address, port, plain) = (self.args.address, free_port()?, free_port()?);
        let tls = self.certificate(&namespace)?;
        let arguments = format!(
            "serve --log error --config {} --namespace {namespace} --tls-dir {} \
             --listen {address}:{port} --plain-listen 127.0.0.1:{plain}",
            config.display(),
            tls.display(),
        );
        let process = Process::start(&self.args.torch, &words(&arguments))?;
        let name = format!("torch-{nodes}");
        Ok((Server { name, process, address, port, namespace, tls, answers_by_name: false }, plain))
    }

    /// One of those that Torch is compared with: `wire`, `axum`, `kube`, or `controller-runtime`.
    pub fn other(&self, name: &str) -> anyhow::Result<Server> {
        let peers = (1..GROUP).map(address).collect::<Vec<_>>().join(",");
        let (address, port, namespace) = (self.args.address, free_port()?, String::from(NAMESPACE));
        let tls = self.certificate(&namespace)?;
        let common = format!(
            "--address {address} --port {port} --tls-dir {} --node {NODE} --peers {peers}",
            tls.display()
        );
        let process = if name == "controller-runtime" {
            Process::start(&self.args.injector, &words(&common))?
        } else {
            let answers = self.work.join("answers");
            Process::start(&self.others, &words(&format!("{name} --answers {} {common}", answers.display())))?
        };
        wait(&format!("{name} listens"), || listens(address, port))?;
        let answers_by_name = matches!(name, "wire" | "axum");
        Ok(Server { name: name.into(), process, address, port, namespace, tls, answers_by_name })
    }

    fn certificate(&self, namespace: &str) -> anyhow::Result<PathBuf> {
        let directory = self.work.join(format!("{namespace}-tls"));
        if !directory.exists() {
            make_certificate(&self.args.torch, namespace, &directory)?;
        }
        Ok(directory)
    }
}

impl Drop for Programs<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work);
    }
}

fn make_certificate(torch: &Path, namespace: &str, directory: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(torch);
    command.args(["certs", "--namespace", namespace, "--out"]).arg(directory);
    let made = command.output().context("cannot start torch certs")?;
    anyhow::ensure!(made.status.success(), "torch certs: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

/// Groups of five nodes; that of the first has no pod yet, all others' addresses are given.
fn configuration(nodes: usize) -> String {
    let mut text = String::from("containerName: node\ntrustedPeersPath: /peers\nmutualPeers:\n");
    for node in 0..nodes {
        if node % GROUP == 0 {
            text.push_str("  - peers:\n");
        }
        let probe = if node == 0 { "dial".into() } else { format!("address: {}", address(node)) };
        writeln!(text, "      - {{nodeName: {}, probe: [{probe}]}}", name(node))
            .expect("a String takes everything");
    }
    text
}

fn name(node: usize) -> String {
    format!("celestia-bridge-{node:05}")
}

fn address(node: usize) -> String {
    format!("/dns/{0}-0.{0}/tcp/2121/p2p/{PEER}", name(node))
}
