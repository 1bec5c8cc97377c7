//! Whether what the Markdown files point at within the repository is there.

use std::collections::{BTreeSet, HashMap};

use super::{documents, path};

#[test]
fn every_link_leads_somewhere() {
    let anchors: HashMap<String, BTreeSet<String>> =
        documents().into_iter().map(|(name, text)| (name, anchors(&text))).collect();
    let mut broken = Vec::new();
    for (name, text) in documents() {
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) =
                link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let file = if file.is_empty() { name.clone() } else { resolve(&name, file) };
            let is_there = path(&file).exists();
            let is_anchor =
                anchor.is_none_or(|anchor| anchors.get(&file).is_some_and(|all| all.contains(anchor)));
            if !is_there || !is_anchor {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "these lead nowhere: {broken:#?}");
}

/// The targets of `[text](target)`, of pictures, too.
fn links(text: &str) -> Vec<&str> {
    let prose = without_code(text);
    let ends = prose.flat_map(|line| line.split("](").skip(1));
    ends.filter_map(|rest| rest.split([')', ' ']).next()).collect()
}

/// The lines outside of blocks of code.
fn without_code(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// A path as seen from the folder of a file.
fn resolve(from: &str, to: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The names by which GitHub leads to headings: repeated ones are counted.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = without_code(text).filter(|line| line.starts_with('#'));
    let headings = headings.map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| {
            let name = anchor(heading);
            let count = seen.entry(name.clone()).or_default();
            *count += 1;
            if *count == 1 { name } else { format!("{name}-{}", *count - 1) }
        })
        .collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn a_heading_is_led_to_by_its_words() {
    assert_eq!(anchor("What `start.sh` does, and why"), "what-startsh-does-and-why");
    let twice = anchors("# A b\n```sh\n# no heading\n```\n## A b\n");
    assert_eq!(twice.into_iter().collect::<Vec<_>>(), ["a-b", "a-b-1"]);
    assert_eq!(resolve("docs/a.md", "../deploy/b"), "deploy/b");
}
