//! What `docs/` says of the code, made of the code or compared with it. `make docs` writes anew what is made.

mod command_line;
mod configuration;
mod operations;

use std::path::PathBuf;
use std::{env, fs};

/// A file of the repository.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What stands in a file of the repository.
pub(crate) fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Holds a file of the repository to `text`, or writes it anew where the environment has `UPDATE_DOCS`.
pub(crate) fn keep(name: &str, text: &str) {
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let is_same = fs::read_to_string(path(name)).is_ok_and(|there| there == text);
    assert!(
        is_same,
        "{name} is not what the code says: run `make docs`, look at what it changed, and commit it"
    );
}

/// Does so with the part of a Markdown file between two comments, `<!-- made of the code -->` and `<!-- end -->`.
pub(crate) fn keep_part(name: &str, text: &str) {
    const BEGIN: &str = "<!-- made of the code by `make docs` -->\n";
    const END: &str = "<!-- end of what is made -->\n";
    let whole = read(name);
    let (before, rest) = whole.split_once(BEGIN).unwrap_or_else(|| panic!("{name} has no line {BEGIN}"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("{name} has no line {END}"));
    keep(name, &format!("{before}{BEGIN}\n{}\n{END}{after}", text.trim_end().to_owned() + "\n"));
}

/// The first column of the tables of a Markdown file below a heading and up to the next one: the words in backticks.
pub(crate) fn first_column(document: &str, heading: &str) -> Vec<String> {
    let at = document.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no {heading}"));
    let section = document[at + 1 + heading.len()..].split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(words).collect()
}

/// The words in backticks.
fn words(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(String::from).collect()
}
