//! The reference of the command line.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::keep_part;
use crate::cli;

#[test]
fn the_reference_is_what_the_parser_takes() {
    let mut text = String::new();
    for command in cli::command().get_subcommands().filter(|command| command.get_name() != "help") {
        describe(&mut text, command);
    }
    keep_part("docs/command-line.md", &text);
}

fn describe(text: &mut String, command: &Command) {
    let name = command.get_name();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(text, "## torch {name}\n\n{about}.\n\n| | default | |\n|---|---|---|").unwrap();
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        writeln!(text, "{}", row(arg)).unwrap();
    }
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    writeln!(text, "\n```text\n{examples}\n```\n").unwrap();
}

fn row(arg: &Arg) -> String {
    let value = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values())
        .map_or_else(String::new, |names| names.join(" "));
    let flag = match (arg.get_long(), arg.get_short()) {
        (Some(long), Some(short)) => format!("`-{short}`, `--{long}"),
        (Some(long), None) => format!("`--{long}"),
        (None, Some(short)) => format!("`-{short}"),
        (None, None) => "`".into(),
    };
    let space = if value.is_empty() || flag == "`" { "" } else { " " };
    let env = arg.get_env().map_or_else(String::new, |env| format!(" (`{}`)", env.display()));
    let values = arg
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect::<Vec<_>>()
        .join(", ");
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
    let help = if values.is_empty() || !arg.get_action().takes_values() {
        help
    } else {
        format!("{help}: {values}")
    };
    let default: Vec<_> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    format!("| {flag}{space}{value}`{env} | {} | {} |", default.join(", "), help.replace('\n', " "))
}
