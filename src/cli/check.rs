//! `torch check`: what is wrong with a configuration, or with an installation.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};

use super::installation;
use super::live::{Torch, Which};
use super::text::{Unwritable, name, print, read, say};
use crate::config::{self, Config, Problems};

const EXAMPLES: &str = "\
Examples:
  torch check deploy/config.yaml
  kubectl get configmap -n torch torch-config -o jsonpath='{.data.config\\.yaml}' | torch check -
  torch check --output json config.yaml    # [{\"line\": 3, \"column\": 7, \"message\": \"…\"}, …]; [] is good
  torch check --cluster -n torch           # API server, webhook, certificates, replicas, rights, nodes

With --cluster it needs leave to list mutatingwebhookconfigurations and endpointslices, to get services, pods and the
Lease `torch`, to create subjectaccessreviews and, in Torch's namespace, to get and create pods/portforward.";

/// What `torch check` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// The configuration file; `-` reads standard input
    #[arg(value_name = "FILE", required_unless_present = "cluster", conflicts_with = "Which")]
    file: Option<PathBuf>,
    /// Look at the installation in the cluster of the kubeconfig, each thing on one line
    #[arg(long, conflicts_with = "file")]
    cluster: bool,
    #[command(flatten)]
    which: Which,
    /// How to say it: `text` for people, `json` for editors and CI, on standard output
    #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl CheckArgs {
    /// Says whether the configuration is good, and where it is not.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn check(&self) -> anyhow::Result<ExitCode> {
        let file = self.file.as_ref().context("there is no file to check")?;
        let text = read(file)?;
        let checked = config::parse(&text);
        match self.output {
            Output::Text => tell(&name(file), &text, &checked)?,
            Output::Json => print(&format!("{}\n", json(&checked)?))?,
        }
        Ok(if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Whether it is the installation that is to be checked.
    pub fn is_of_cluster(&self) -> bool {
        self.cluster
    }

    /// Says of each thing of the installation whether it is as it should be.
    ///
    /// # Errors
    /// Where there is no kubeconfig, or the output cannot be made.
    pub async fn check_cluster(self) -> anyhow::Result<ExitCode> {
        let findings = installation::look(&Torch::find(self.which).await?).await;
        let text = match self.output {
            Output::Text => findings.iter().map(|finding| format!("{}\n", finding.line())).collect(),
            Output::Json => format!("{}\n", serde_json::to_string(&findings)?),
        };
        print(&text)?;
        let is_good = findings.iter().all(|finding| finding.ok);
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn tell(name: &str, text: &str, checked: &Result<Config, Problems>) -> Result<(), Unwritable> {
    match checked {
        Ok(config) => {
            let nodes: usize = config.groups.iter().map(|g| g.peers.len()).sum();
            print(&format!("{name} is good: {} group(s), {nodes} member(s)\n", config.groups.len()))
        }
        Err(problems) => {
            for problem in &problems.0 {
                say(format_args!("{}\n", coloured(&problem.excerpt(name, text))));
            }
            Ok(())
        }
    }
}

/// An excerpt with its `error` and its `^` in red, as compilers show it.
fn coloured(excerpt: &str) -> String {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let mut shown = excerpt.to_owned();
    if let Some(start) = excerpt.strip_suffix('^') {
        shown = format!("{start}{red}^{red:#}");
    }
    match shown.strip_prefix("error") {
        Some(rest) => format!("{red}error{red:#}{rest}"),
        None => shown,
    }
}

fn json(checked: &Result<Config, Problems>) -> serde_json::Result<String> {
    serde_json::to_string(checked.as_ref().err().map_or(&[][..], |problems| &problems.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_is_told_with_its_place() {
        let checked = config::parse("mutualPeers:\n  - peers: []\n");
        let problems: serde_json::Value = serde_json::from_str(&json(&checked).unwrap()).unwrap();
        assert_eq!(problems[0]["line"], 2);
        assert!(problems[0]["message"].as_str().unwrap().contains("peers"), "{problems}");
        assert_eq!(json(&config::parse("mutualPeers: [{peers: [{nodeName: a}]}]")).unwrap(), "[]");
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let excerpt = config::parse("x: 1").unwrap_err().0[0].excerpt("f", "x: 1");
        let shown = coloured(&excerpt);
        assert_ne!(shown, excerpt);
        assert_eq!(anstream::adapter::strip_str(&shown).to_string(), excerpt);
    }
}
