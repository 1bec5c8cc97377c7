//! The documents of a YAML text, each with all of its bytes.

/// A document as it stands in the text, with the `---` before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// All of it.
    pub text: &'a str,
    /// Its first line in the whole text, counted from 1.
    pub line: usize,
}

/// Splits a text before each `---`; together the documents are the text.
pub fn documents(text: &str) -> Vec<Document<'_>> {
    let mut starts = vec![(0, 1)];
    let mut at = 0;
    for (n, line) in text.split_inclusive('\n').enumerate() {
        if at > 0 && is_separator(line) {
            starts.push((at, n + 1));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([text.len()]);
    starts.iter().zip(ends).map(|(&(start, line), end)| Document { text: &text[start..end], line }).collect()
}

/// Nothing of a document's content, not even a text in it, may begin a line so.
fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_before_each_separator() {
        let parts = |text| documents(text).into_iter().map(|d| (d.text, d.line)).collect::<Vec<_>>();
        assert_eq!(parts(""), [("", 1)]);
        assert_eq!(parts("a: 1\n---\nb: 2"), [("a: 1\n", 1), ("---\nb: 2", 2)]);
        assert_eq!(
            parts("---\na: 1\n--- # c\n---x\n---"),
            [("---\na: 1\n", 1), ("--- # c\n---x\n", 3), ("---", 5)]
        );
    }
}
