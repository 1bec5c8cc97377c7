//! The command line.

mod certs;
mod check;
mod completions;
mod explain;
mod inject;
mod installation;
mod live;
mod status;
mod text;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use jiff::SignedDuration;

use self::certs::CertsArgs;
use self::check::CheckArgs;
use self::completions::CompletionsArgs;
use self::explain::ExplainArgs;
use self::inject::InjectArgs;
use self::status::StatusArgs;
use self::text::Unwritable;
use crate::app::{self, ServeArgs};
use crate::telemetry::{self, LogFormat};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and nothing is wrong
  1  a failure, or something is wrong with what was checked
  2  the command line itself is wrong";

const SERVE_EXAMPLES: &str = "\
Examples:
  torch serve                                      # in a pod, as deploy/ has it
  torch serve --config config.yaml --namespace da  # outside, by the kubeconfig";

/// Torch, the Trusted Peers Orchestrator: hands peer-to-peer nodes on Kubernetes each other's addresses
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the webhook and REST, learn the nodes' addresses and hand them on
    #[command(after_help = SERVE_EXAMPLES)]
    Serve {
        #[command(flatten)]
        serve: Box<ServeArgs>,
        /// The form of the logs
        #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
        log_format: LogFormat,
        /// What is logged, such as `info` or `warn,torch=debug`
        #[arg(
            long,
            value_name = "FILTER",
            env = "RUST_LOG",
            value_parser = telemetry::filter,
            default_value = "info,kube_runtime=error,kube_client=off"
        )]
        log: String,
    },
    /// Say what is wrong with a configuration, or with an installation
    Check(CheckArgs),
    /// Show how all nodes stand, once or live
    Status(StatusArgs),
    /// Say all that Torch knows of one pod, in sentences
    Explain(ExplainArgs),
    /// Show what the webhook would do to pods and workloads, without a cluster
    Inject(Box<InjectArgs>),
    /// Make a serving certificate, and a CA where there is none, to mount by hand
    Certs(CertsArgs),
    /// Print a shell's completions of this command line
    Completions(CompletionsArgs),
}

/// Does what the command line says. The exit code is 0 for success, 1 for a failure, and 2 where the
/// command line itself is wrong.
pub fn run() -> ExitCode {
    match run_command(parse().command) {
        Ok(code) => code,
        Err(error) if error.downcast_ref().is_some_and(Unwritable::is_unwanted) => ExitCode::SUCCESS,
        Err(error) => {
            text::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run_command(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve { serve, log_format, log } => self::serve(*serve, log_format, &log)?,
        Command::Check(check) if check.is_of_cluster() => return client(check.check_cluster()),
        Command::Check(check) => return check.check(),
        Command::Status(status) => client(status.show())?,
        Command::Explain(explain) => return client(explain.explain()),
        Command::Inject(inject) => inject.inject()?,
        Command::Certs(certs) => certs.make()?,
        Command::Completions(completions) => completions.print(Cli::command())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs what asks a cluster and serves nobody.
fn client<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// A duration as people say it.
fn rough(time: SignedDuration) -> String {
    match time.as_secs().max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

fn parse() -> Cli {
    let program = std::env::args_os().next().unwrap_or_default();
    let command = Cli::command().bin_name(called(&program));
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// How people call this program: kubectl finds a plugin by its file's name.
fn called(program: &OsStr) -> &'static str {
    let name = Path::new(program).file_stem();
    if name == Some(OsStr::new("kubectl-torch")) { "kubectl torch" } else { "torch" }
}

fn serve(serve: ServeArgs, log_format: LogFormat, log: &str) -> anyhow::Result<()> {
    telemetry::init(log_format, log)?;
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    // Those that answer: the leader's work is the main thread's. More than there are processors would only get in
    // each other's way.
    let workers = std::thread::available_parallelism().map_or(1, |processors| processors.get().min(2));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?
        .block_on(app::serve(serve))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let name = command.get_name();
            assert!(help.contains("Examples:") && help.contains(&format!("torch {name}")), "{name}: {help}");
        }
    }

    #[test]
    fn a_duration_has_one_unit() {
        let rough = |seconds| rough(SignedDuration::from_secs(seconds));
        assert_eq!([rough(-1), rough(119), rough(120)], ["0 s", "119 s", "2 min"]);
        assert_eq!([rough(7200), rough(172_800)], ["2 h", "2 days"]);
    }

    #[test]
    fn kubectl_calls_it_by_two_words() {
        let called = |path: &str| called(OsStr::new(path));
        assert_eq!(called("/usr/local/bin/kubectl-torch"), "kubectl torch");
        assert_eq!([called("torch"), called("")], ["torch", "torch"]);
        let usage = Cli::command().bin_name("kubectl torch").render_usage().to_string();
        assert!(usage.contains("kubectl torch <COMMAND>"), "{usage}");
    }
}
