//! What the parsers share: a cursor over hostile text, and serde as text.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Visitor};

use super::ParsePositionError;

/// How many characters of the input an error may show.
const EXCERPT: usize = 32;

/// A place in the text. It only moves forward, over ASCII, so it always stands on a character boundary.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) const fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Steps over `byte` (ASCII) if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        debug_assert!(byte.is_ascii());
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), ParsePositionError> {
        if self.eat(byte) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    pub(super) fn expect_end(&self, expected: &'static str) -> Result<(), ParsePositionError> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    pub(super) fn skip_whitespace(&mut self) {
        self.take_while(|b| b.is_ascii_whitespace());
    }

    /// The longest run of ASCII bytes that satisfy `wanted`.
    pub(super) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest.bytes().take_while(|b| b.is_ascii() && wanted(*b)).count();
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// A decimal number that fits `T`; the cursor stays in front of it otherwise.
    pub(super) fn decimal<T: TryFrom<u64>>(
        &mut self,
        expected: &'static str,
    ) -> Result<T, ParsePositionError> {
        let start = *self;
        let digits = self.take_while(|b| b.is_ascii_digit());
        // `from_str` refuses an empty text and what overflows; a sign cannot be among the digits.
        let number = digits.parse::<u64>().ok().and_then(|n| T::try_from(n).ok());
        number.ok_or_else(|| {
            *self = start;
            self.unexpected(expected)
        })
    }

    /// One to eight hexadecimal digits of either case.
    pub(super) fn hex_u32(&mut self, expected: &'static str) -> Result<u32, ParsePositionError> {
        let start = *self;
        let digits = self.take_while(|b| b.is_ascii_hexdigit());
        let number = if digits.len() <= 8 { u32::from_str_radix(digits, 16).ok() } else { None };
        number.ok_or_else(|| {
            *self = start;
            self.unexpected(expected)
        })
    }

    /// Two hexadecimal digits of either case.
    pub(super) fn hex_byte(&mut self) -> Option<u8> {
        let digits = self.text.get(self.at..self.at + 2)?;
        let byte =
            digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())??;
        self.at += 2;
        Some(byte)
    }

    /// The error of finding something else here.
    pub(super) fn unexpected(&self, expected: &'static str) -> ParsePositionError {
        let mut rest = self.text.get(self.at..).unwrap_or_default().chars();
        let shown: String = rest.by_ref().take(EXCERPT).collect();
        let found = match (shown.is_empty(), rest.next().is_some()) {
            (true, _) => "the end of the text".to_owned(),
            (false, false) => format!("{shown:?}"),
            (false, true) => format!("{shown:?}…"),
        };
        ParsePositionError::Unexpected { expected, at: self.at, found: found.into() }
    }
}

/// Serialises a type as its `Display` text and reads it back with `FromStr`.
macro_rules! serde_as_text {
    ($type:ty, $expecting:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::position::text::deserialize(deserializer, $expecting)
            }
        }
    };
}
pub(super) use serde_as_text;

/// The body of what [`serde_as_text`] generates.
pub(super) fn deserialize<'de, T, D>(deserializer: D, expecting: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err = ParsePositionError>,
    D: Deserializer<'de>,
{
    struct Text<T>(&'static str, PhantomData<T>);

    impl<T: FromStr<Err = ParsePositionError>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(expecting, PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_a_bounded_escaped_excerpt() {
        let long = "💥\n".repeat(1_000_000);
        let error = Cursor::new(&long).unexpected("a number");
        let text = error.to_string();
        assert!(text.len() < 300, "{} bytes", text.len());
        assert!(text.chars().filter(|c| *c == '💥').count() <= EXCERPT);
        assert!(!text.contains('\n'), "control characters must not reach a log raw: {text:?}");
        assert_eq!(
            Cursor::new("").unexpected("x").to_string(),
            "expected x at byte 0, found the end of the text"
        );
    }

    #[test]
    fn a_number_out_of_range_leaves_the_cursor_in_front_of_it() {
        for text in ["", "x", "-1", "+1", "4294967296", "99999999999999999999999999"] {
            let mut cursor = Cursor::new(text);
            assert!(cursor.decimal::<u32>("a number").is_err(), "{text}");
            assert_eq!(cursor.at, 0);
        }
        assert_eq!(Cursor::new("4294967295,").decimal::<u32>("a number"), Ok(u32::MAX));
    }

    #[test]
    fn a_hex_byte_does_not_split_a_character() {
        for text in ["é", "aé", "a", "", "+1", "g0"] {
            assert_eq!(Cursor::new(text).hex_byte(), None, "{text}");
        }
        assert_eq!(Cursor::new("aF0").hex_byte(), Some(0xAF));
    }
}
