//! Tables of what each byte can begin and continue.

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
pub(super) const POSTGRES: [Byte; 256] = begins(false);

/// MySQL's table: `$` is a letter, `#` begins a comment, backticks quote, `@` begins a variable.
pub(super) const MYSQL: [Byte; 256] = begins(true);

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
#[inline]
pub(super) fn in_word(byte: u8) -> bool {
    IN_WORD[usize::from(byte)]
}

static IN_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(MYSQL[byte], Byte::Word | Byte::Digit);
        byte += 1;
    }
    table
};
