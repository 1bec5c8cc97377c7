//! JSON that is checked where it is read, and only there: of a review most is skipped.
//!
//! What is skipped is told by its quotes and brackets alone. An API server has just written it, so that there is
//! nothing to find in it. Serde would read it, too, at twice the price: its values go through many hands.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::Deref;

use memchr::memchr;
use memchr::memmem::Finder;

use super::scan;

/// How many entries all lists and maps that are read may have together. What is read of an entry can be ten times as
/// large as its text, so that without a bound one review could take more memory than there is. A [`List`], of which one
/// or two are read, may have as many again.
const MOST_ENTRIES: usize = 10_000;

/// For how many bytes of elements a list has room from its first one on: few lists of a pod are longer, and to make room
/// again and again costs as much as to read them.
const ROOM: usize = 1024;

/// What is not as it should be is none, and what is wrong with it nobody asks.
pub type Read<T> = Option<T>;

/// A reader of JSON.
pub struct Json<'a> {
    rest: &'a [u8],
    /// Of [`MOST_ENTRIES`].
    entries_left: usize,
}

/// What can be read.
pub trait Readable<'a>: Sized {
    fn read(json: &mut Json<'a>) -> Read<Self>;
}

impl<'a> Json<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { rest: text, entries_left: MOST_ENTRIES }
    }

    pub fn read<T: Readable<'a>>(&mut self) -> Read<T> {
        T::read(self)
    }

    /// Reads a map, and has `field` read the value of each of its keys, which come as they are written.
    pub fn fields(&mut self, mut field: impl FnMut(&[u8], &mut Self) -> Read<()>) -> Read<()> {
        self.each(b'{', b'}', |json| {
            let (quoted, _) = json.quoted()?;
            json.take(b':')?;
            field(&quoted[1..quoted.len() - 1], json)
        })
    }

    /// A value as it is written.
    #[inline]
    pub fn value(&mut self) -> Read<&'a [u8]> {
        let length = match self.peek()? {
            b'"' => scan::text(self.rest)?.0,
            b'{' | b'[' => scan::nested(self.rest)?,
            _ => length_of_word(self.rest),
        };
        self.pass(length)
    }

    /// Whether `null` comes, which is then passed.
    pub fn null(&mut self) -> Read<bool> {
        if self.peek()? != b'n' {
            return Some(false);
        }
        (self.value()? == b"null").then_some(true)
    }

    pub fn skip(&mut self) -> Read<()> {
        self.value().map(|_| ())
    }

    /// Sees that nothing is left.
    pub fn end(&self) -> Read<()> {
        self.rest.trim_ascii_start().is_empty().then_some(())
    }

    /// Has `one` read each of what is in a list or map.
    fn each(&mut self, begin: u8, end: u8, mut one: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.take(begin)?;
        if self.peek()? == end {
            return self.take(end);
        }
        loop {
            one(self)?;
            let next = self.peek()?;
            self.pass(1)?;
            match next {
                b',' => {}
                _ if next == end => return Some(()),
                _ => return None,
            }
        }
    }

    fn count_entry(&mut self) -> Read<()> {
        self.entries_left = self.entries_left.checked_sub(1)?;
        Some(())
    }

    /// What comes next, white space left out, as which all counts up to the blank: one comparison instead of four, and
    /// that is asked most of all.
    #[inline]
    fn peek(&mut self) -> Read<u8> {
        while let Some((&next, rest)) = self.rest.split_first() {
            if next > b' ' {
                return Some(next);
            }
            self.rest = rest;
        }
        None
    }

    #[inline]
    fn take(&mut self, wanted: u8) -> Read<()> {
        if self.peek()? == wanted { self.pass(1).map(|_| ()) } else { None }
    }

    /// The next `length` bytes, which are passed.
    #[inline]
    fn pass(&mut self, length: usize) -> Read<&'a [u8]> {
        let (passed, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(passed)
    }

    /// A text with its quotes, and whether it has escapes.
    #[inline]
    fn quoted(&mut self) -> Read<(&'a [u8], bool)> {
        if self.peek()? != b'"' {
            return None;
        }
        let (length, has_escapes) = scan::text(self.rest)?;
        Some((self.pass(length)?, has_escapes))
    }
}

/// A text; it is copied only where it has escapes. Whether it is UTF-8 is seen where it is used as such: of most
/// texts nobody asks.
#[derive(Default, PartialEq)]
pub struct Text<'a>(Cow<'a, [u8]>);

impl Text<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In bytes, as they were sent.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// As they were sent, whether it is UTF-8 or not.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Text<'_> {
    type Target = str;

    /// Nothing, where it is not UTF-8.
    fn deref(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl<'a> Readable<'a> for Text<'a> {
    fn read(json: &mut Json<'a>) -> Read<Self> {
        let (quoted, has_escapes) = json.quoted()?;
        if has_escapes {
            // There are few.
            let text: String = serde_json::from_slice(quoted).ok()?;
            return Some(Self(Cow::Owned(text.into_bytes())));
        }
        Some(Self(Cow::Borrowed(&quoted[1..quoted.len() - 1])))
    }
}

/// How long the number, `true`, `false` or `null` is that begins here.
fn length_of_word(text: &[u8]) -> usize {
    let is_end = |byte: &u8| *byte <= b' ' || b",:]}".contains(byte);
    text.iter().position(is_end).unwrap_or(text.len())
}

impl<'a> Readable<'a> for bool {
    fn read(json: &mut Json<'a>) -> Read<Self> {
        match json.value()? {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }
}

impl<'a> Readable<'a> for i64 {
    fn read(json: &mut Json<'a>) -> Read<Self> {
        serde_json::from_slice(json.value()?).ok()
    }
}

/// As it is written.
impl<'a> Readable<'a> for &'a [u8] {
    fn read(json: &mut Json<'a>) -> Read<Self> {
        json.value()
    }
}

/// `null` is none.
impl<'a, T: Readable<'a>> Readable<'a> for Option<T> {
    fn read(json: &mut Json<'a>) -> Read<Self> {
        if json.null()? { Some(None) } else { json.read().map(Some) }
    }
}

impl<'a, T: Readable<'a>> Readable<'a> for Vec<T> {
    fn read(json: &mut Json<'a>) -> Read<Self> {
        let mut list = Self::new();
        json.each(b'[', b']', |json| {
            json.count_entry()?;
            push(&mut list, json.read()?);
            Some(())
        })?;
        Some(list)
    }
}

fn push<T>(list: &mut Vec<T>, element: T) {
    if list.is_empty() {
        list.reserve(ROOM / size_of::<T>().max(1));
    }
    list.push(element);
}

/// A list that is read when it is asked for: of most containers nobody asks.
pub struct List<'a, T> {
    written: &'a [u8],
    of: PhantomData<T>,
}

impl<'a, T: Readable<'a>> List<'a, T> {
    pub fn read(&self) -> Read<Vec<T>> {
        Json::new(self.written).read()
    }

    /// Whether that text, whole, may be in it: another way to write it has a backslash.
    pub fn may_have(&self, text: &Finder<'_>) -> bool {
        let is_quote = |at: Option<usize>| at.and_then(|at| self.written.get(at)) == Some(&b'"');
        let length = text.needle().len();
        let is_whole = |at: usize| is_quote(at.checked_sub(1)) && is_quote(at.checked_add(length));
        text.find_iter(self.written).any(is_whole) || memchr(b'\\', self.written).is_some()
    }
}

impl<'a, T> Readable<'a> for List<'a, T> {
    fn read(json: &mut Json<'a>) -> Read<Self> {
        let is_list = json.peek()? == b'[';
        let written = json.value()?;
        is_list.then_some(Self { written, of: PhantomData })
    }
}

/// As an API server reads a map of texts: `null` is an empty one.
impl<'a> Readable<'a> for Vec<(Text<'a>, Text<'a>)> {
    fn read(json: &mut Json<'a>) -> Read<Self> {
        let mut map = Self::new();
        json.each(b'{', b'}', |json| {
            json.count_entry()?;
            let key = json.read()?;
            json.take(b':')?;
            let value: Option<_> = json.read()?;
            push(&mut map, (key, value.unwrap_or_default()));
            Some(())
        })?;
        Some(map)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    impl<'a> Readable<'a> for Value {
        fn read(json: &mut Json<'a>) -> Read<Self> {
            match json.peek()? {
                b'{' => {
                    let mut map = serde_json::Map::new();
                    json.each(b'{', b'}', |json| {
                        let key: Text<'_> = json.read()?;
                        json.take(b':')?;
                        map.insert(key.to_string(), json.read()?);
                        Some(())
                    })?;
                    Some(map.into())
                }
                b'[' => json.read().map(Self::Array),
                b'"' => json.read().map(|text: Text<'_>| text.to_string().into()),
                _ => serde_json::from_slice(json.value()?).ok(),
            }
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[a-z\\\\\"{}\\[\\],:]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-z\\\\\"]{0,20}", inner, 0..6)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_is_read_as_serde_json_reads_it(value in json(), cut in any::<prop::sample::Index>()) {
            for text in [value.to_string(), format!("{value:#}")] {
                let mut reader = Json::new(text.as_bytes());
                prop_assert_eq!(reader.read::<Value>(), Some(serde_json::from_str(&text)?));
                prop_assert!(reader.end().is_some());

                let mut skipper = Json::new(text.as_bytes());
                prop_assert!(skipper.skip().and(skipper.end()).is_some());

                // A number, a word may end anywhere.
                if text.starts_with(['{', '[', '"']) {
                    let part = &text.as_bytes()[..cut.index(text.len())];
                    prop_assert!(Json::new(part).skip().is_none());
                    prop_assert!(Json::new(part).read::<Value>().is_none());
                }
            }
        }
    }

    #[test]
    fn what_is_not_utf8_is_no_text() {
        let text: Text<'_> = Json::new(b"\"da-\xff\"").read().unwrap();
        assert_eq!(&*text, "");
        assert!(Json::new(b"\"\\u12\"").read::<Text<'_>>().is_none());
    }

    #[test]
    fn lists_and_maps_have_so_many_entries_together_and_no_more() {
        let lists = |entries: usize| format!("[{}]", vec!["[1,1,1]"; entries / 4].join(","));
        let map = |entries: usize| format!("{{{}}}", vec!["\"a\":\"b\""; entries].join(","));
        let read_lists = |text: String| Json::new(text.as_bytes()).read::<Vec<Vec<i64>>>().is_some();
        let read_map =
            |text: String| Json::new(text.as_bytes()).read::<Vec<(Text<'_>, Text<'_>)>>().is_some();
        assert_eq!([read_lists(lists(MOST_ENTRIES)), read_map(map(MOST_ENTRIES))], [true; 2]);
        assert_eq!([read_lists(lists(MOST_ENTRIES + 4)), read_map(map(MOST_ENTRIES + 1))], [false; 2]);
    }
}
