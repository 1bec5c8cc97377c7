//! What is done with a pod, as it is sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The length of most patches, in bytes; it is no limit.
const USUAL: usize = 1024;

const ADD: &[u8] = br#"{"op":"add","path":""#;

/// A JSON Patch (RFC 6902) of `add` and `replace`, the only operations that Torch needs.
///
/// It is written at once as it is sent: trees of values, to be written afterwards, cost as much as all the rest of
/// an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    json: Vec<u8>,
}

/// One of its operations.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Operation {
    /// Where, as a JSON pointer into the pod; `-` stands for the end of a list.
    pub path: String,
    /// What is put there.
    pub value: Value,
}

impl Patch {
    /// Nothing is done.
    pub const fn nothing() -> Self {
        Self { json: Vec::new() }
    }

    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.json.is_empty()
    }

    /// As it is sent; nothing, where nothing is done.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// What it is made of.
    pub fn operations(&self) -> Vec<Operation> {
        if self.is_empty() {
            return Vec::new();
        }
        serde_json::from_slice(&self.json).expect("it was written as JSON")
    }

    /// Appends to a list that may not be `there` yet what `value` writes.
    pub(super) fn append(&mut self, list: [&str; 2], there: bool, value: impl FnOnce(&mut Vec<u8>)) {
        if there {
            self.write(ADD, &[list[0], list[1], "/-"], value);
            return;
        }
        self.write(ADD, &list, |json| {
            json.push(b'[');
            value(json);
            json.push(b']');
        });
    }

    pub(super) fn add(&mut self, path: &[&str], value: &impl Serialize) {
        self.write(ADD, path, as_json(value));
    }

    pub(super) fn replace(&mut self, path: &[&str], value: &impl Serialize) {
        self.write(br#"{"op":"replace","path":""#, path, as_json(value));
    }

    /// The parts of the path are put one behind the other; they must be such as JSON does not escape.
    fn write(&mut self, begin: &[u8], path: &[&str], value: impl FnOnce(&mut Vec<u8>)) {
        match self.json.last_mut() {
            Some(end) => *end = b',',
            None => {
                self.json.reserve(USUAL);
                self.json.push(b'[');
            }
        }
        self.json.extend_from_slice(begin);
        for part in path {
            debug_assert!(is_plain(part), "{part}");
            self.json.extend_from_slice(part.as_bytes());
        }
        self.json.extend_from_slice(br#"","value":"#);
        value(&mut self.json);
        self.json.extend_from_slice(b"}]");
    }
}

/// Writes a value.
pub(super) fn as_json(value: &impl Serialize) -> impl FnOnce(&mut Vec<u8>) {
    |json| serde_json::to_writer(json, value).expect("its keys are text")
}

/// Writes a variable. Its name and value must be such as JSON does not escape: a look at each of their bytes would cost
/// as much as a tenth of all that is done for a pod.
pub(super) fn variable(name: &str, value: &str) -> impl FnOnce(&mut Vec<u8>) {
    debug_assert!(is_plain(name) && is_plain(value), "{name}={value}");
    move |json| {
        for part in [r#"{"name":""#, name, r#"","value":""#, value, r#""}"#] {
            json.extend_from_slice(part.as_bytes());
        }
    }
}

/// Whether JSON has the text as it is.
fn is_plain(text: &str) -> bool {
    !text.contains(['"', '\\']) && !text.contains(char::is_control)
}
