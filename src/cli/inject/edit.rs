//! Changes of a YAML document in its text, so that comments, order and form stay as they are.

use std::borrow::Cow;

use serde_json::{Value, json};
use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

use crate::yaml;

/// Something to put into a document.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Where, as a JSON pointer; `-` stands for the end of a list, and what is not there is made.
    pub path: String,
    /// What.
    pub value: Value,
}

impl Edit {
    fn keys(&self) -> Vec<Cow<'_, str>> {
        self.path.split('/').skip(1).map(unescape).collect()
    }
}

fn unescape(key: &str) -> Cow<'_, str> {
    if key.contains('~') { key.replace("~1", "/").replace("~0", "~").into() } else { key.into() }
}

/// A document's text after the edits, and whether it had to be written anew, without its comments.
///
/// # Errors
/// Where the document cannot be written as YAML.
pub fn edited(
    text: &str,
    document: &Value,
    edits: &[Edit],
) -> Result<(String, bool), serde_yaml::SerializeError> {
    let mut after = document.clone();
    for edit in edits {
        apply(&mut after, &edit.keys(), &edit.value);
    }
    // Anchors, merge keys and the like can make one place of a text mean several of the document.
    let in_place =
        in_place(text, edits).filter(|text| yaml::read::<Value>(text).is_ok_and(|written| written == after));
    match in_place {
        Some(text) => Ok((text, false)),
        None => {
            let separator = if text.starts_with("---") { "---\n" } else { "" };
            Ok((format!("{separator}{}", yaml(&after)?), true))
        }
    }
}

fn apply(at: &mut Value, keys: &[Cow<'_, str>], value: &Value) {
    let Some((key, rest)) = keys.split_first() else {
        *at = value.clone();
        return;
    };
    match at {
        Value::Array(list) if at_end(key) => list.push(nested(rest, value)),
        Value::Array(list) => {
            let there = key.parse::<usize>().ok().and_then(|i| list.get_mut(i));
            there.into_iter().for_each(|there| apply(there, rest, value));
        }
        Value::Object(map) => match map.get_mut(key.as_ref()) {
            Some(there) => apply(there, rest, value),
            None => drop(map.insert(key.clone().into_owned(), nested(rest, value))),
        },
        _ => *at = nested(keys, value),
    }
}

/// Whether a key stands for the place after the last entry of a list.
fn at_end(key: &str) -> bool {
    key == "-"
}

/// What stands at the first of these keys, so that the value stands at the last.
fn nested(keys: &[Cow<'_, str>], value: &Value) -> Value {
    match keys.split_first() {
        None => value.clone(),
        Some((key, rest)) if at_end(key) => json!([nested(rest, value)]),
        Some((key, rest)) => json!({key.as_ref(): nested(rest, value)}),
    }
}

/// The text after the edits, if there is a place in it for each.
fn in_place(text: &str, edits: &[Edit]) -> Option<String> {
    let root = Node::root(text)?;
    let mut changes: Vec<Change> = edits.iter().map(|edit| root.change(text, edit)).collect::<Option<_>>()?;
    // What ends at one place ends from the inside out.
    changes.sort_by_key(|change| (change.start, std::cmp::Reverse(change.depth)));
    let mut edited = String::with_capacity(text.len() + 512);
    let mut done = 0;
    for Change { start, end, new, .. } in changes {
        edited.push_str(text.get(done..start)?);
        edited.push_str(&new);
        done = end;
    }
    edited.push_str(&text[done..]);
    Some(edited)
}

/// A part of the text that becomes another; empty where something is only added.
struct Change {
    start: usize,
    end: usize,
    new: String,
    /// How deep in the document that is.
    depth: usize,
}

/// Where something of a document stands in its text, in bytes.
struct Node {
    start: usize,
    end: usize,
    /// The indentation of its entries.
    column: usize,
    shape: Shape,
}

enum Shape {
    Scalar,
    Alias,
    Map(StructureStyle, Vec<(String, Node)>),
    List(StructureStyle, Vec<Node>),
}

impl Node {
    fn root(text: &str) -> Option<Self> {
        let options = serde_yaml::granit_parser::options! { emit_comments: false };
        let mut events = Parser::new_from_str_with_options(text, options).map_while(Result::ok);
        let first =
            events.find(|(event, _)| !matches!(event, Event::StreamStart | Event::DocumentStart(..)))?;
        Self::read(text, first, &mut events)
    }

    fn read<'a>(
        text: &'a str,
        (event, span): (Event<'a>, Span),
        events: &mut impl Iterator<Item = (Event<'a>, Span)>,
    ) -> Option<Self> {
        let (start, end) = (span.start.byte_offset()?, span.end.byte_offset()?);
        let leaf = |shape| Some(Self { start, end, column: span.start.col(), shape });
        match event {
            Event::Scalar(..) => leaf(Shape::Scalar),
            Event::Alias(_) => leaf(Shape::Alias),
            Event::SequenceStart(style, ..) => Self::list(text, start, style, events),
            Event::MappingStart(style, ..) => Self::map(text, start, style, events),
            _ => None,
        }
    }

    fn list<'a>(
        text: &'a str,
        start: usize,
        style: StructureStyle,
        events: &mut impl Iterator<Item = (Event<'a>, Span)>,
    ) -> Option<Self> {
        let mut items: Vec<Self> = Vec::new();
        loop {
            let (event, span) = events.next()?;
            if event == Event::SequenceEnd {
                let end = end_of(style, &span, items.last())?;
                let column = items.first().map_or(0, |first| column_of_dash(text, first.start));
                return Some(Self { start, end, column, shape: Shape::List(style, items) });
            }
            items.push(Self::read(text, (event, span), events)?);
        }
    }

    fn map<'a>(
        text: &'a str,
        start: usize,
        style: StructureStyle,
        events: &mut impl Iterator<Item = (Event<'a>, Span)>,
    ) -> Option<Self> {
        let mut entries: Vec<(String, Self)> = Vec::new();
        let mut column = None;
        loop {
            let (event, span) = events.next()?;
            match event {
                Event::MappingEnd => {
                    let end = end_of(style, &span, entries.last().map(|(_, value)| value))?;
                    let column = column.unwrap_or(0);
                    return Some(Self { start, end, column, shape: Shape::Map(style, entries) });
                }
                Event::Scalar(key, ..) => {
                    column.get_or_insert(span.start.col());
                    let next = events.next()?;
                    let unwritten = is_unwritten(&next);
                    let mut value = Self::read(text, next, events)?;
                    if unwritten {
                        value.put_after_key(text, span.end.byte_offset()?);
                    }
                    entries.push((key.into_owned(), value));
                }
                _ => return None,
            }
        }
    }

    /// A value that is not written stands after its key's colon, wherever the parser noticed.
    fn put_after_key(&mut self, text: &str, key_end: usize) {
        self.start = key_end + text[key_end..].find(':').map_or(0, |colon| colon + 1);
        self.end = self.start;
    }

    fn child(&self, key: &str) -> Option<&Self> {
        match &self.shape {
            Shape::Map(_, entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            Shape::List(_, items) => items.get(key.parse::<usize>().ok()?),
            Shape::Scalar | Shape::Alias => None,
        }
    }

    fn change(&self, text: &str, edit: &Edit) -> Option<Change> {
        let keys = edit.keys();
        let mut node = self;
        for (depth, key) in keys.iter().enumerate() {
            match (node.child(key), &node.shape) {
                (Some(child), _) => node = child,
                (None, Shape::Scalar) => {
                    return Some(node.replace(&nested(&keys[depth..], &edit.value), depth));
                }
                (None, _) => return node.add(text, key, &nested(&keys[depth + 1..], &edit.value), depth),
            }
        }
        Some(node.replace(&edit.value, keys.len()))
    }

    fn replace(&self, value: &Value, depth: usize) -> Change {
        let space = if self.start == self.end { " " } else { "" };
        Change { start: self.start, end: self.end, new: format!("{space}{value}"), depth }
    }

    /// Adds an entry at the end, in the form that the others have.
    fn add(&self, text: &str, key: &str, value: &Value, depth: usize) -> Option<Change> {
        let (style, last, block, flow) = match &self.shape {
            Shape::Map(style, entries) => {
                let flow = format!("{}: {value}", json!(key));
                (style, entries.last().map(|(_, value)| value.end), json!({key: value}), flow)
            }
            Shape::List(style, items) => {
                (style, items.last().map(|i| i.end), json!([value]), value.to_string())
            }
            Shape::Scalar | Shape::Alias => return None,
        };
        let (start, new) = match (style, last) {
            (StructureStyle::Block, last) => {
                let start = line_after(text, last?);
                let line = if text[..start].ends_with('\n') { "" } else { "\n" };
                (start, format!("{line}{}", indented(&yaml(&block).ok()?, self.column)))
            }
            (StructureStyle::Flow, Some(last)) => (last, format!(", {flow}")),
            (StructureStyle::Flow, None) => (self.end - 1, flow),
        };
        Some(Change { start, end: start, new, depth })
    }
}

fn is_unwritten((event, span): &(Event<'_>, Span)) -> bool {
    matches!(event, Event::Scalar(_, ScalarStyle::Plain, ..)) && span.start == span.end
}

/// The end of a collection: its bracket's, or, where it has none, its last entry's.
fn end_of(style: StructureStyle, span: &Span, last: Option<&Node>) -> Option<usize> {
    match style {
        StructureStyle::Flow => span.end.byte_offset(),
        StructureStyle::Block => last.map(|node| node.end),
    }
}

/// The indentation of the `-` before an item.
fn column_of_dash(text: &str, item: usize) -> usize {
    let dash = text[..item].rfind('-').unwrap_or(0);
    dash - text[..dash].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The begin of the line after the one that holds the end of something. A text block ends before the next
/// thing, wherever in its line that is.
fn line_after(text: &str, end: usize) -> usize {
    let line = text[..end].rfind('\n').map_or(0, |newline| newline + 1);
    if text[line..end].trim().is_empty() {
        return line;
    }
    text[end..].find('\n').map_or(text.len(), |newline| end + newline + 1)
}

fn indented(lines: &str, column: usize) -> String {
    lines.lines().map(|line| format!("{:column$}{line}\n", "")).collect()
}

fn yaml(value: &Value) -> Result<String, serde_yaml::SerializeError> {
    // Addresses stay on one line.
    serde_yaml::to_string_with_options(value, serde_yaml::ser_options! { prefer_block_scalars: false })
}
