//! `torch check`: what is wrong with a configuration.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};

use crate::config::{self, Config, Problems};

const EXAMPLES: &str = "\
Examples:
  torch check deploy/config.yaml
  kubectl get configmap -n torch torch-config -o jsonpath='{.data.config\\.yaml}' | torch check -
  torch check --output json config.yaml    # [{\"line\": 3, \"column\": 7, \"message\": \"…\"}, …]; [] is good";

/// What `torch check` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// The configuration file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
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
        let text = read(&self.file)?;
        let checked = config::parse(&text);
        match self.output {
            Output::Text => say(&name(&self.file), &text, &checked),
            Output::Json => anstream::println!("{}", json(&checked)?),
        }
        Ok(if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn say(name: &str, text: &str, checked: &Result<Config, Problems>) {
    match checked {
        Ok(config) => {
            let nodes: usize = config.groups.iter().map(|g| g.peers.len()).sum();
            anstream::println!("{name} is good: {} group(s), {nodes} member(s)", config.groups.len());
        }
        Err(problems) => {
            for problem in &problems.0 {
                anstream::eprintln!("{}\n", coloured(&problem.excerpt(name, text)));
            }
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

/// What a file is called in messages.
pub fn name(file: &Path) -> String {
    if is_stdin(file) { "standard input".into() } else { file.display().to_string() }
}

/// The text of a file; `-` is standard input.
///
/// # Errors
/// Where it cannot be read, or is not UTF-8.
pub fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let done = if is_stdin(file) {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(file).map(|whole| text = whole)
    };
    done.with_context(|| format!("cannot read {}", name(file)))?;
    Ok(text)
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
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

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/no/such/file")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /no/such/file");
    }
}
