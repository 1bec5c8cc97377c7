//! How long JSON texts, lists and maps are, told by their quotes and brackets alone, 64 bytes at a time.
//!
//! The bits are found as simdjson finds them (G. Langdale, D. Lemire, "Parsing Gigabytes of JSON per Second",
//! 2019, 3.1), by what this machine's processor can: what is always inlined is compiled for each kind.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x16, u8x64};

/// Of the text that begins here: its length with its quotes, and whether it has escapes. Nothing, where it
/// does not end.
#[inline]
pub fn text(json: &[u8]) -> Option<(usize, bool)> {
    dispatch!(Level::baseline(), simd => text_by(simd, json))
}

#[inline(always)]
fn text_by<S: Simd>(simd: S, json: &[u8]) -> Option<(usize, bool)> {
    let mut at = 1;
    let mut has_escapes = false;
    while at < json.len() {
        // Most texts are shorter than this.
        let bytes = u8x16::simd_from(simd, first(&json[at..]));
        let found = (bytes.simd_eq(b'"') | bytes.simd_eq(b'\\')).to_bitmask();
        if found == 0 {
            at += 16;
            continue;
        }
        at += found.trailing_zeros() as usize;
        if json[at] == b'"' {
            return Some((at + 1, has_escapes));
        }
        has_escapes = true;
        at += 2;
    }
    None
}

/// The length of the list or map that begins here; nothing, where it does not end. Its depth takes no memory.
pub fn nested(json: &[u8]) -> Option<usize> {
    dispatch!(Level::new(), simd => nested_by(simd, json))
}

#[inline(always)]
fn nested_by<S: Simd>(simd: S, json: &[u8]) -> Option<usize> {
    let mut depth = 0;
    let mut texts = Texts::default();
    for (i, block) in json.chunks(64).enumerate() {
        let bytes = u8x64::simd_from(simd, first(block));
        let are = |byte: u8| bytes.simd_eq(byte).to_bitmask();
        // By this bit `[` differs from `{`, and `]` from `}`; nothing else becomes one of them that way.
        let folded = bytes | 0x20;
        let are_folded = |byte: u8| folded.simd_eq(byte).to_bitmask();
        let outside = !texts.inside(are(b'"'), are(b'\\'));
        let begins = outside & are_folded(b'{');
        let ends = outside & are_folded(b'}');
        if depth > ends.count_ones() {
            depth = depth + begins.count_ones() - ends.count_ones();
        } else if let Some(at) = last_end(&mut depth, begins, ends) {
            return Some(64 * i + at + 1);
        }
    }
    None
}

/// Where the bracket is that ends the outermost of `depth` lists and maps, if here.
#[inline(always)]
fn last_end(depth: &mut u32, begins: u64, ends: u64) -> Option<usize> {
    let mut brackets = begins | ends;
    while brackets != 0 {
        let at = brackets.trailing_zeros();
        brackets &= brackets - 1;
        if begins >> at & 1 == 1 {
            *depth += 1;
            continue;
        }
        *depth = depth.checked_sub(1)?;
        if *depth == 0 {
            return Some(at as usize);
        }
    }
    None
}

/// The texts of consecutive blocks.
#[derive(Default)]
struct Texts {
    /// All bits, where the last block ended within a text.
    inside: u64,
    /// The lowest bit, where it ended with a backslash that escapes what comes next.
    escaped: u64,
}

impl Texts {
    /// Which bytes of the next block are within texts; of its quotes those that begin one are.
    #[inline(always)]
    fn inside(&mut self, quotes: u64, backslashes: u64) -> u64 {
        let quotes = quotes & !self.escaped(backslashes);
        let inside = parity(quotes) ^ self.inside;
        self.inside = if inside >> 63 == 1 { u64::MAX } else { 0 };
        inside
    }

    #[inline(always)]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        let mut escaped = std::mem::take(&mut self.escaped);
        let mut left = backslashes & !escaped;
        while left != 0 {
            let backslash = left & left.wrapping_neg();
            escaped |= backslash << 1;
            self.escaped = backslash >> 63;
            left &= !(backslash | backslash << 1);
        }
        escaped
    }
}

/// For each bit whether the number of bits up to it, it included, is odd.
#[inline(always)]
fn parity(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// The first bytes, and zeros where there are fewer.
#[inline(always)]
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; N];
        padded[..bytes.len()].copy_from_slice(bytes);
        padded
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any inner part of a text: what matters more often than by chance.
    fn within_text() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b'"'), Just(b'\\'), Just(b'{'), Just(b']'), any::<u8>()];
        prop::collection::vec(byte, 0..100)
    }

    /// Brackets and texts, of which the last may not end. Outside of texts JSON has no backslash.
    fn within_list() -> impl Strategy<Value = Vec<u8>> {
        let escaped =
            "([a-z{}\\[\\]]|\\\\[\"\\\\n]){0,30}".prop_map(|text| format!("\"{text}\"").into_bytes());
        let part = prop_oneof!["[\\[\\]{},: 1]{1,8}".prop_map(String::into_bytes), escaped];
        let parts = prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat());
        (parts, any::<prop::sample::Index>()).prop_map(|(mut parts, cut)| {
            parts.truncate(cut.index(parts.len() + 1));
            parts
        })
    }

    /// As `text`, one byte after the other.
    fn slow_text(json: &[u8]) -> Option<(usize, bool)> {
        let mut at = 1;
        let mut has_escapes = false;
        loop {
            match json.get(at)? {
                b'"' => return Some((at + 1, has_escapes)),
                b'\\' => (at, has_escapes) = (at + 2, true),
                _ => at += 1,
            }
        }
    }

    /// As `nested`, one byte after the other.
    fn slow_nested(json: &[u8]) -> Option<usize> {
        let mut depth = 0_usize;
        let mut at = 0;
        loop {
            match json.get(at)? {
                b'"' => at += slow_text(&json[at..])?.0 - 1,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 1 => return Some(at + 1),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
    }

    proptest! {
        #[test]
        fn a_text_is_as_long_as_byte_by_byte(rest in within_text()) {
            let json = [&b"\""[..], &rest].concat();
            prop_assert_eq!(text(&json), slow_text(&json));
        }

        #[test]
        fn a_list_is_as_long_as_byte_by_byte(rest in within_list()) {
            let json = [&b"["[..], &rest].concat();
            prop_assert_eq!(nested(&json), slow_nested(&json));
        }
    }
}
