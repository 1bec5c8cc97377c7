//! What `docs/` says of the code, made of the code or compared with it. `make docs` writes anew what is made.

mod command_line;
mod configuration;
mod links;
mod operations;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, fs};

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What stands in a file of the repository.
fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Holds a file of the repository to `text`, or writes it anew where the environment has `UPDATE_DOCS`.
pub(crate) fn keep(name: &str, text: &str) {
    let is_same = || fs::read_to_string(path(name)).is_ok_and(|there| there == text);
    if env::var_os("UPDATE_DOCS").is_some() && !is_same() {
        // Whole or not at all, since other tests read it meanwhile.
        let new = path(&format!("{name}.new"));
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path(name)));
        written.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(
        is_same(),
        "{name} is not what the code says: run `make docs`, look at what it changed, and commit it"
    );
}

/// Does so with the part of a Markdown file between two comments, `<!-- made of the code -->` and `<!-- end -->`.
fn keep_part(name: &str, text: &str) {
    const BEGIN: &str = "<!-- made of the code by `make docs` -->\n";
    const END: &str = "<!-- end of what is made -->\n";
    let whole = read(name);
    let (before, rest) = whole.split_once(BEGIN).unwrap_or_else(|| panic!("{name} has no line {BEGIN}"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("{name} has no line {END}"));
    keep(name, &format!("{before}{BEGIN}\n{}\n{END}{after}", text.trim_end().to_owned() + "\n"));
}

/// The words in backticks in a column of the tables below a heading of a Markdown file, up to the next such heading.
fn column(document: &str, heading: &str, column: usize) -> BTreeSet<String> {
    let begin = format!("\n{heading}\n");
    let (_, rest) = document.split_once(&begin).unwrap_or_else(|| panic!("there is no {heading}"));
    let rows =
        rest.split("\n## ").next().unwrap_or_default().lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| row.split(" | ").nth(column)).flat_map(words).map(String::from).collect()
}

/// The words in backticks.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// All Markdown files that are written by hand, by name, with what stands in them.
fn documents() -> Vec<(String, String)> {
    files("", "md")
}

/// The source of Torch without its tests.
pub(crate) fn sources() -> Vec<(String, String)> {
    let mut sources = files("src", "rs");
    sources.retain(|(name, _)| !name.contains("tests") && !name.starts_with("src/reference"));
    sources
}

/// The files of a folder that end so, of those below it, too.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut names: Vec<_> = fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap()).collect();
    names.sort_by_key(fs::DirEntry::file_name);
    for entry in names {
        let name = entry.file_name().into_string().expect("file names are UTF-8");
        let below = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let is_ours = !name.starts_with('.') && name != "target" && name != "node_modules";
        match entry.file_type().unwrap() {
            kind if kind.is_dir() && is_ours => found.extend(files(&below, ending)),
            kind if kind.is_file() && name.ends_with(&format!(".{ending}")) => {
                found.push((below.clone(), read(&below)))
            }
            _ => {}
        }
    }
    found
}
