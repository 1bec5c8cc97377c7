//! `torch status`: how all nodes stand, once or live.

mod table;

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;

use super::live::{Changes, Status, Torch, Which};
use super::text::{print, say};

const EXAMPLES: &str = "\
It needs leave to get the Lease `torch` and to get and create pods/portforward in Torch's namespace.

Examples:
  torch status -n torch
  torch status -n torch --watch                # live, until Ctrl-C
  torch status -n torch --output json | jq '.nodes[] | select(.waitsFor) | .pod'";

/// How long after a connection has ended the next is tried.
const AGAIN: Duration = Duration::from_secs(1);

/// Clears the terminal and begins at its top.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// What `torch status` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    #[command(flatten)]
    which: Which,
    /// Show each change, until it is ended
    #[arg(short, long)]
    watch: bool,
    /// The form; with --watch, one `json` or `yaml` document for each change
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

impl StatusArgs {
    /// Shows how all nodes stand.
    ///
    /// # Errors
    /// Where Torch cannot be asked, or the output cannot be written. While it watches, only the latter ends it.
    pub async fn show(self) -> anyhow::Result<()> {
        let torch = Torch::find(self.which.clone()).await?;
        if !self.watch {
            return self.print(torch.status().await?);
        }
        // What is wrong from the start will not become right.
        let mut changes = torch.follow().await?;
        loop {
            match changes.next().await {
                Ok(Some(status)) => self.print(status)?,
                ended => {
                    if let Err(error) = ended {
                        say(format_args!("{error:#}; trying again"));
                    }
                    changes = follow_again(&torch).await;
                }
            }
        }
    }

    fn print(&self, status: Value) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Json if self.watch => format!("{status}\n"),
            Output::Json => format!("{status:#}\n"),
            Output::Yaml => format!("---\n{}", serde_yaml::to_string(&status)?),
            Output::Table => {
                let status = Status::deserialize(status).context("cannot read Torch's answer")?;
                let clear = if self.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
                format!("{clear}{}", table::of(&status, self.watch, Timestamp::now()))
            }
        };
        Ok(print(&text)?)
    }
}

/// Tries until it can.
async fn follow_again(torch: &Torch) -> Changes {
    loop {
        tokio::time::sleep(AGAIN).await;
        match torch.follow().await {
            Ok(changes) => return changes,
            Err(error) => say(format_args!("{error:#}; trying again")),
        }
    }
}
