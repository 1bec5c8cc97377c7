//! JSON that is checked where it is read, and only there: of a review most is skipped.
//!
//! What is skipped is told by its quotes and brackets alone. An API server has just written it, so that there is
//! nothing to find in it.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Error;

use super::scan;

/// A reader of JSON. Asked for bytes it gives a value as it is written, whatever that is.
pub struct Json<'a> {
    rest: &'a [u8],
}

impl<'a> Json<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// Sees that nothing is left.
    pub fn end(&self) -> Result<(), Error> {
        if self.rest.trim_ascii_start().is_empty() {
            Ok(())
        } else {
            Err(unexpected("something after the end"))
        }
    }

    /// What comes next, white space left out.
    fn peek(&mut self) -> Result<u8, Error> {
        while let Some((&next, rest)) = self.rest.split_first() {
            if !next.is_ascii_whitespace() {
                return Ok(next);
            }
            self.rest = rest;
        }
        Err(endless())
    }

    fn take(&mut self, wanted: u8) -> Result<(), Error> {
        if self.peek()? != wanted {
            return Err(unexpected("another character than JSON has there"));
        }
        self.pass(1).map(|_| ())
    }

    /// The next `length` bytes, which are passed.
    fn pass(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (passed, rest) = self.rest.split_at_checked(length).ok_or_else(endless)?;
        self.rest = rest;
        Ok(passed)
    }

    fn text(&mut self) -> Result<Cow<'a, str>, Error> {
        match self.quoted()? {
            (quoted, true) => unescape(quoted).map(Cow::Owned),
            (quoted, false) => str::from_utf8(inner(quoted)).map(Cow::Borrowed).map_err(Error::custom),
        }
    }

    /// A text with its quotes, and whether it has escapes.
    fn quoted(&mut self) -> Result<(&'a [u8], bool), Error> {
        if self.peek()? != b'"' {
            return Err(unexpected("another value than text"));
        }
        let (length, has_escapes) = scan::text(self.rest).ok_or_else(endless)?;
        Ok((self.pass(length)?, has_escapes))
    }

    /// A value as it is written.
    fn value(&mut self) -> Result<&'a [u8], Error> {
        let length = match self.peek()? {
            b'"' => scan::text(self.rest).ok_or_else(endless)?.0,
            b'{' | b'[' => scan::nested(self.rest).ok_or_else(endless)?,
            _ => length_of_word(self.rest),
        };
        self.pass(length)
    }

    /// Whether a list or map goes on; if not, its end is passed.
    fn goes_on(&mut self, end: u8, is_first: bool) -> Result<bool, Error> {
        if self.peek()? == end {
            return self.take(end).map(|()| false);
        }
        if is_first { Ok(true) } else { self.take(b',').map(|()| true) }
    }
}

fn inner(quoted: &[u8]) -> &[u8] {
    &quoted[1..quoted.len() - 1]
}

fn unescape(quoted: &[u8]) -> Result<String, Error> {
    serde_json::from_slice(quoted)
}

/// How long the number, `true`, `false` or `null` is that begins here.
fn length_of_word(text: &[u8]) -> usize {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b",:]}".contains(byte);
    text.iter().position(is_end).unwrap_or(text.len())
}

fn endless() -> Error {
    Error::custom("it ends too early")
}

fn unexpected(what: &str) -> Error {
    Error::custom(format_args!("{what} is not expected"))
}

impl<'a> Deserializer<'a> for &mut Json<'a> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek()? {
            b'{' => visitor.visit_map(Entries::begin(self, b'{', b'}')?),
            b'[' => visitor.visit_seq(Entries::begin(self, b'[', b']')?),
            b'"' => match self.text()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            // Numbers are few.
            _ => serde_json::Deserializer::from_slice(self.value()?).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek()? != b'n' {
            return visitor.visit_some(self);
        }
        if self.value()? == b"null" {
            visitor.visit_none()
        } else {
            Err(unexpected("another word than null"))
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// As bytes, which are compared without a look at whether they are text.
    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.quoted()? {
            (quoted, true) => visitor.visit_string(unescape(quoted)?),
            (quoted, false) => visitor.visit_borrowed_bytes(inner(quoted)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.value()?;
        visitor.visit_unit()
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_bytes(self.value()?)
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string byte_buf unit unit_struct
        seq tuple tuple_struct map struct enum
    }
}

/// What is in a list or map.
struct Entries<'r, 'a> {
    json: &'r mut Json<'a>,
    end: u8,
    is_first: bool,
}

impl<'r, 'a> Entries<'r, 'a> {
    fn begin(json: &'r mut Json<'a>, begin: u8, end: u8) -> Result<Self, Error> {
        json.take(begin)?;
        Ok(Self { json, end, is_first: true })
    }

    fn next<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        if self.json.goes_on(self.end, is_first)? {
            seed.deserialize(&mut *self.json).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl<'a> SeqAccess<'a> for Entries<'_, 'a> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.next(seed)
    }
}

impl<'a> MapAccess<'a> for Entries<'_, 'a> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.json.take(b':')?;
        seed.deserialize(&mut *self.json)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize as _;
    use serde::de::IgnoredAny;
    use serde_json::Value;

    use super::*;

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
                prop_assert_eq!(&Value::deserialize(&mut reader)?, &serde_json::from_str::<Value>(&text)?);
                prop_assert!(reader.end().is_ok());

                let mut skipper = Json::new(text.as_bytes());
                IgnoredAny::deserialize(&mut skipper)?;
                prop_assert!(skipper.end().is_ok());

                // A number, a word may end anywhere.
                if text.starts_with(['{', '[', '"']) {
                    let part = &text.as_bytes()[..cut.index(text.len())];
                    prop_assert!(IgnoredAny::deserialize(&mut Json::new(part)).is_err());
                    prop_assert!(Value::deserialize(&mut Json::new(part)).is_err());
                }
            }
        }
    }
}
