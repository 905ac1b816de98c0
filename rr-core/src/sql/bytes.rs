//! What each byte can begin and continue, and the loops over runs of bytes.
//!
//! The loops look at eight bytes at a time: names, strings and numbers are most of every statement, and a
//! branch per byte would mispredict at the end of each of them.

/// What a byte begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Byte {
    Space,
    Word,
    Digit,
    Quote,
    DoubleQuote,
    Backtick,
    Dollar,
    Dash,
    Slash,
    Hash,
    At,
    Star,
    Open,
    Close,
    Dot,
    Semicolon,
    Nul,
    /// A character that is a token by itself, or part of an operator: the rules need not know which.
    Symbol,
}

/// PostgreSQL's table.
pub(super) static POSTGRES: [Byte; 256] = begins(false);

/// MySQL's table: `$` is a letter, `#` begins a comment, backticks quote, `@` begins a variable.
pub(super) static MYSQL: [Byte; 256] = begins(true);

const fn begins(mysql: bool) -> [Byte; 256] {
    let mut table = [Byte::Symbol; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the loop stays below 256; const code has no TryFrom"
        )]
        let character = byte as u8;
        table[byte] = match character {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Byte::Space,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Byte::Word,
            b'0'..=b'9' => Byte::Digit,
            b'\'' => Byte::Quote,
            b'"' => Byte::DoubleQuote,
            b'-' => Byte::Dash,
            b'/' => Byte::Slash,
            b'(' => Byte::Open,
            b')' => Byte::Close,
            b'.' => Byte::Dot,
            b';' => Byte::Semicolon,
            0 => Byte::Nul,
            b'$' if mysql => Byte::Word,
            b'$' => Byte::Dollar,
            b'`' if mysql => Byte::Backtick,
            b'#' if mysql => Byte::Hash,
            b'@' if mysql => Byte::At,
            b'*' if mysql => Byte::Star,
            _ => Byte::Symbol,
        };
        byte += 1;
    }
    table
}

/// Whether a byte continues a word. Every byte of a character outside ASCII does, in both dialects.
///
/// So does DEL, for free: no server reads it outside of quotes at all.
pub(super) const fn in_word(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | 0x7f..)
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// `byte` in every lane.
const fn each(byte: u8) -> u64 {
    LOW * byte as u64
}

/// Where the word that began before `at` ends.
#[inline(always)]
pub(super) fn word_end(text: &[u8], at: usize) -> usize {
    let mut end = plain_word_end(text, at);
    while text.get(end) == Some(&b'$') {
        end = plain_word_end(text, end + 1);
    }
    end
}

/// The same, as if `$` ended a word: it is rare, and one comparison less for every other word.
#[inline(always)]
fn plain_word_end(text: &[u8], at: usize) -> usize {
    skip_while(text, at, |lanes| {
        // In lanes without their top bit an addition cannot carry into the next one, and the sum's top bit says
        // "at least this".
        let plain = lanes & !HIGH;
        let folded = plain | each(0x20);
        let letter = (folded + each(0x80 - b'a')) & !(folded + each(0x7f - b'z'));
        let digit = (plain + each(0x80 - b'0')) & !(plain + each(0x7f - b'9'));
        // Folding takes `_` to 0x7f, where only DEL is besides.
        let underscore = folded + LOW;
        !(lanes | letter | digit | underscore)
    })
}

/// Where the digits at `at` end.
#[inline(always)]
pub(super) fn digits_end(text: &[u8], at: usize) -> usize {
    skip_while(text, at, |lanes| {
        let value = lanes ^ each(b'0');
        ((value & !HIGH) + each(0x80 - 10)) | value
    })
}

/// Where `byte` stands next, from `at` on; the length of the text if nowhere.
#[inline(always)]
pub(super) fn find(text: &[u8], at: usize, byte: u8) -> usize {
    skip_while(text, at, |lanes| {
        let same = lanes ^ each(byte);
        // Only the first marked lane is exact, and only the first is looked at.
        same.wrapping_sub(LOW) & !same
    })
}

/// Where one of two bytes stands next.
#[inline(always)]
pub(super) fn find_either(text: &[u8], at: usize, one: u8, two: u8) -> usize {
    skip_while(text, at, |lanes| {
        let (one, two) = (lanes ^ each(one), lanes ^ each(two));
        (one.wrapping_sub(LOW) & !one) | (two.wrapping_sub(LOW) & !two)
    })
}

/// The first position from `at` on whose byte is not `wanted`, or the end of the text.
///
/// `unwanted` marks bytes of eight at once: the top bit of the lowest lane that is set is exact.
#[inline(always)]
fn skip_while(text: &[u8], at: usize, unwanted: impl Fn(u64) -> u64) -> usize {
    // Most runs end within eight bytes, so the loop stays out of the way.
    if let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let marks = unwanted(u64::from_le_bytes(*chunk)) & HIGH;
        if marks != 0 {
            return at + lane(marks);
        }
        return skip_long(text, at + 8, unwanted);
    }
    skip_long(text, at, unwanted)
}

#[inline(never)]
fn skip_long(text: &[u8], mut at: usize, unwanted: impl Fn(u64) -> u64) -> usize {
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let marks = unwanted(u64::from_le_bytes(*chunk)) & HIGH;
        if marks != 0 {
            return at + lane(marks);
        }
        at += 8;
    }
    let marks = unwanted(tail(text, at)) & HIGH;
    if marks == 0 { text.len() } else { text.len().min(at + lane(marks)) }
}

/// The up to seven bytes from `at` to the end of the text, and zeros.
#[inline]
pub(super) fn tail(text: &[u8], at: usize) -> u64 {
    let rest = text.len().saturating_sub(at);
    match text.last_chunk::<8>() {
        Some(chunk) if rest > 0 => u64::from_le_bytes(*chunk) >> ((8 - rest) * 8),
        _ => text
            .get(at..)
            .unwrap_or_default()
            .iter()
            .rev()
            .fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    }
}

/// The index of the lowest lane whose top bit is set.
#[inline]
const fn lane(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests {
    use super::{digits_end, find, find_either, in_word, word_end};

    /// Every byte, in every lane and behind the last whole chunk, against the plain loop.
    #[test]
    fn eight_at_a_time_is_one_at_a_time() {
        for filler in [b'a', b'Z', b'_', b'$', b'0', b'9', 0x80, 0xff, b'1'] {
            for byte in 0..=255_u8 {
                for place in 0..20 {
                    for after in [0, 1, 7, 30] {
                        let mut text = vec![filler; place];
                        text.push(byte);
                        text.extend(vec![filler; after]);
                        let plain = |wanted: &dyn Fn(u8) -> bool| {
                            text.iter().position(|byte| !wanted(*byte)).unwrap_or(text.len())
                        };
                        assert_eq!(word_end(&text, 0), plain(&in_word), "{text:?}");
                        assert_eq!(digits_end(&text, 0), plain(&|b| b.is_ascii_digit()), "{text:?}");
                        assert_eq!(find(&text, 0, b'\''), plain(&|b| b != b'\''), "{text:?}");
                        assert_eq!(find(&text, 0, byte), plain(&|b| b != byte), "{text:?}");
                        assert_eq!(
                            find_either(&text, 0, 0, b'\n'),
                            plain(&|b| b != 0 && b != b'\n'),
                            "{text:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_end_of_the_text_ends_every_run() {
        for at in [0, 3, 4, 100] {
            assert_eq!(word_end(b"abc", at), 3);
            assert_eq!(find(b"abc", at, b'x'), 3);
        }
    }
}
