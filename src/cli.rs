//! The command line.

mod certs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::certs::CertsArgs;
use crate::app::{self, ServeArgs};
use crate::config;
use crate::telemetry::{self, LogFormat};

/// Torch, the Trusted Peers Orchestrator: hands peer-to-peer nodes on Kubernetes each other's addresses
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the webhook and REST, learn the nodes' addresses and hand them on
    Serve {
        #[command(flatten)]
        serve: Box<ServeArgs>,
        /// The form of the logs
        #[arg(long, value_enum, default_value = "text")]
        log_format: LogFormat,
        /// What is logged, such as `info` or `warn,torch=debug`
        #[arg(
            long,
            value_name = "FILTER",
            env = "RUST_LOG",
            default_value = "info,kube_runtime=error,kube_client=off"
        )]
        log: String,
    },
    /// Say what is wrong with a configuration, without starting anything
    Check {
        /// The configuration file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Make a serving certificate, and a CA where there is none, to mount by hand
    Certs(CertsArgs),
}

/// Does what the command line says. The exit code is 0 for success, 1 for a failure, and 2 where the
/// command line itself is wrong.
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve { serve, log_format, log } => self::serve(*serve, log_format, &log),
        Command::Check { file } => return check(&file),
        Command::Certs(certs) => certs.make(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(serve: ServeArgs, log_format: LogFormat, log: &str) -> anyhow::Result<()> {
    telemetry::init(log_format, log)?;
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(app::serve(serve))
}

fn check(file: &PathBuf) -> ExitCode {
    let name = file.display().to_string();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: cannot read {name}: {error}");
            return ExitCode::FAILURE;
        }
    };
    match config::parse(&text) {
        Ok(config) => {
            let nodes: usize = config.groups.iter().map(|g| g.peers.len()).sum();
            println!("{name} is good: {} group(s), {nodes} member(s)", config.groups.len());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in &problems.0 {
                eprintln!("{}\n", problem.excerpt(&name, &text));
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
