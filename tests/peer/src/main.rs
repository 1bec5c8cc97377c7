//! `celestia`: a libp2p node with the interfaces of a celestia-node that Torch and operators use.
//!
//! Torch's tests run it in place of the real program: its command line, its lines on stdout, its
//! JSON-RPC and its way to fail without peers are those of celestia-node; behind them is a real
//! libp2p host (TCP, DNS, Noise, Yamux, identify, ping) and no chain. Two liberties are taken:
//! every node type has `--headers.trusted-peers`, and RPC listens on all addresses unless told
//! otherwise, as in the official image.

mod cli;
mod client;
mod host;
mod node;
mod rpc;
mod store;
mod token;
mod trusted;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match cli::Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
