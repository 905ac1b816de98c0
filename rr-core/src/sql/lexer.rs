//! Text into tokens: everything that quotes and comments can hide is decided here.
//!
//! The lexer never looks back further than the token it is in and never forward without moving there, so its
//! time is linear on any input. What it cannot be sure about (a quote that two server settings read
//! differently, a comment that some servers run) it reports as evidence for [`StatementClass::Write`].

use std::marker::PhantomData;

use super::bytes::{Byte, in_word};
use super::comments::{self, CodeComment};
use super::grammar::Grammar;
use super::{Hint, StatementClass};

/// What a token is, as far as the rules care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A bare word: keyword or name.
    Word,
    /// A quoted name; in MySQL also a `"…"` string, which is a name there under `ANSI_QUOTES`.
    Quoted,
    /// A string or a number.
    Literal,
    Open,
    Close,
    Dot,
    Semicolon,
    /// The `@` of a MySQL user variable or of an account name.
    At,
    /// A MySQL system variable: `@@name`, `@@session.name`.
    SystemVariable,
    Symbol,
}

/// A token: for [`Kind::Quoted`] the span is what stands between the quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// How a backslash before the closing quote is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backslash {
    /// Nothing special anywhere: quoted names.
    Plain,
    /// It escapes: `E'…'`.
    Escapes,
    /// The standard says plain, an old setting says escape: `'…'` in PostgreSQL.
    Standard,
    /// The default says escape, a setting says plain: strings in MySQL.
    MySql,
}

pub(super) struct Lexer<'a, G> {
    text: &'a [u8],
    at: usize,
    /// What the text itself gives away, whatever the statement.
    pub(super) evidence: StatementClass,
    /// The text ended inside a quote or a comment.
    pub(super) open: bool,
    /// The most restrictive hint so far.
    pub(super) hint: Option<Hint>,
    /// Inside a MySQL comment whose content is code.
    in_code_comment: bool,
    grammar: PhantomData<G>,
}

impl<'a, G: Grammar> Lexer<'a, G> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            evidence: StatementClass::Read,
            open: false,
            hint: None,
            in_code_comment: false,
            grammar: PhantomData,
        }
    }

    /// The next token, or `None` at the end of the text.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Token> {
        loop {
            let start = self.at;
            let Some(&first) = self.text.get(start) else {
                self.open |= self.in_code_comment;
                return None;
            };
            self.at = start + 1;
            let kind = match G::BYTES[usize::from(first)] {
                Byte::Space => continue,
                Byte::Word => self.word(start),
                Byte::Digit => self.number(),
                Byte::Quote => {
                    self.quoted(b'\'', if G::MYSQL { Backslash::MySql } else { Backslash::Standard });
                    Kind::Literal
                }
                Byte::DoubleQuote => {
                    let end = self.quoted(b'"', if G::MYSQL { Backslash::MySql } else { Backslash::Plain });
                    return Some(Token { kind: Kind::Quoted, start: start + 1, end });
                }
                Byte::Backtick => {
                    let end = self.quoted(b'`', Backslash::Plain);
                    return Some(Token { kind: Kind::Quoted, start: start + 1, end });
                }
                Byte::Dollar => self.dollar(),
                Byte::Dash if self.is_dash_comment() => {
                    self.line_comment();
                    continue;
                }
                Byte::Hash => {
                    self.line_comment();
                    continue;
                }
                Byte::Slash if self.peek() == Some(b'*') => {
                    self.block_comment();
                    continue;
                }
                Byte::Star if self.in_code_comment && self.peek() == Some(b'/') => {
                    self.at += 1;
                    self.in_code_comment = false;
                    continue;
                }
                Byte::Nul => {
                    // Some servers and drivers stop at it, some go on.
                    self.evidence = StatementClass::Write;
                    continue;
                }
                Byte::At if self.peek() == Some(b'@') => self.system_variable(),
                Byte::At => Kind::At,
                Byte::Open => Kind::Open,
                Byte::Close => Kind::Close,
                Byte::Dot => Kind::Dot,
                Byte::Semicolon => Kind::Semicolon,
                Byte::Dash | Byte::Slash | Byte::Star | Byte::Symbol => Kind::Symbol,
            };
            return Some(Token { kind, start, end: self.at });
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// A word, or in PostgreSQL a string or name whose first letter says how to read it.
    #[inline]
    fn word(&mut self, start: usize) -> Kind {
        let end = self.run_of(in_word);
        if !G::MYSQL && end == start + 1 && matches!(self.text.get(end), Some(b'\'' | b'&')) {
            return self.prefixed(start);
        }
        Kind::Word
    }

    #[cold]
    fn prefixed(&mut self, start: usize) -> Kind {
        match self.text.get(start..self.text.len().min(start + 3)) {
            Some([b'e' | b'E', b'\'', ..]) => {
                self.at += 1;
                self.escape_string();
                Kind::Literal
            }
            Some([b'u' | b'U', b'&', b'"']) => {
                // Any name can be spelled with escapes: U&"n\0065xtval".
                self.evidence = StatementClass::Write;
                Kind::Word
            }
            _ => Kind::Word,
        }
    }

    /// `E'…'`. A string on the next line continues it, and its backslashes still escape.
    fn escape_string(&mut self) {
        loop {
            self.quoted(b'\'', Backslash::Escapes);
            loop {
                match self.peek().map(|byte| G::BYTES[usize::from(byte)]) {
                    Some(Byte::Space) => self.at += 1,
                    Some(Byte::Dash) if self.text.get(self.at + 1) == Some(&b'-') => self.line_comment(),
                    Some(Byte::Quote) => break,
                    _ => return,
                }
            }
            self.at += 1;
        }
    }

    /// Digits, fraction and exponent, and not a letter more: older servers read `1INTO t` as `1 INTO t`.
    #[inline]
    fn number(&mut self) -> Kind {
        self.run_of(|byte| byte.is_ascii_digit());
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.run_of(|byte| byte.is_ascii_digit());
        }
        if let Some(b'e' | b'E') = self.peek() {
            let sign = usize::from(matches!(self.text.get(self.at + 1), Some(b'+' | b'-')));
            if self.text.get(self.at + 1 + sign).is_some_and(u8::is_ascii_digit) {
                self.at += 1 + sign;
                self.run_of(|byte| byte.is_ascii_digit());
            }
        }
        Kind::Literal
    }

    /// Moves to the first byte that is not `wanted`.
    #[inline]
    fn run_of(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        while let Some(&byte) = self.text.get(self.at) {
            if !wanted(byte) {
                break;
            }
            self.at += 1;
        }
        self.at
    }

    /// Moves behind the closing quote, where a doubled quote stands for itself. Returns where the quoted text
    /// ends.
    #[inline]
    fn quoted(&mut self, quote: u8, backslash: Backslash) -> usize {
        let start = self.at;
        loop {
            let from = self.at;
            let end = self.run_of(|byte| byte != quote);
            if end == self.text.len() {
                self.open = true;
                return end;
            }
            self.at = end + 1;
            let doubled = self.peek() == Some(quote);
            if backslash != Backslash::Plain && self.escaped(from, end) {
                match backslash {
                    Backslash::Escapes => continue,
                    Backslash::MySql => {
                        self.evidence = StatementClass::Write;
                        continue;
                    }
                    // `ESCAPE '\'` is written everywhere; it only makes sense one way.
                    Backslash::Standard if end == start + 1 && !doubled => {}
                    Backslash::Standard => self.evidence = StatementClass::Write,
                    Backslash::Plain => {}
                }
            }
            if !doubled {
                return end;
            }
            self.at += 1;
        }
    }

    /// Whether an odd number of backslashes stands before `end`.
    #[inline]
    fn escaped(&self, from: usize, end: usize) -> bool {
        let content = self.text.get(from..end).unwrap_or_default();
        content.last() == Some(&b'\\')
            && content.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
    }

    /// `$1`, `$tag$ … $tag$`, or a lone `$`.
    fn dollar(&mut self) -> Kind {
        let tag_start = self.at;
        if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.run_of(|byte| byte.is_ascii_digit());
            return Kind::Literal;
        }
        let tag_end = self.run_of(|byte| in_word(byte) && byte != b'$');
        if self.peek() != Some(b'$') {
            self.at = tag_start;
            return Kind::Symbol;
        }
        let tag = self.text.get(tag_start - 1..=tag_end).unwrap_or_default();
        self.at = tag_end + 1;
        loop {
            let dollar = self.run_of(|byte| byte != b'$');
            let rest = self.text.get(dollar..).unwrap_or_default();
            if rest.is_empty() {
                self.open = true;
                return Kind::Literal;
            }
            if rest.starts_with(tag) {
                self.at = dollar + tag.len();
                return Kind::Literal;
            }
            // What was compared holds no other `$`, so it is not read twice for long.
            self.at = dollar + 1;
        }
    }

    /// Whether the `-` before the cursor begins a comment.
    #[inline]
    fn is_dash_comment(&self) -> bool {
        self.peek() == Some(b'-')
            && (!G::MYSQL || self.text.get(self.at + 1).is_none_or(|byte| *byte <= b' ' || *byte == 0x7f))
    }

    fn line_comment(&mut self) {
        // MySQL's ends at a NUL as well, and code may follow.
        self.run_of(|byte| byte != b'\n' && if G::MYSQL { byte != 0 } else { byte != b'\r' });
    }

    /// The cursor is on the `*` of `/*`.
    fn block_comment(&mut self) {
        let inner = self.at + 1;
        let rest = self.text.get(inner..).unwrap_or_default();
        if G::MYSQL {
            match comments::code_comment(rest) {
                None => {}
                Some(CodeComment::Blank(length)) => {
                    self.at = inner + length;
                    return;
                }
                Some(CodeComment::Code(start)) => {
                    self.at = inner + start;
                    self.evidence = StatementClass::Write;
                    self.in_code_comment = true;
                    return;
                }
                Some(CodeComment::Open) => {
                    self.at = self.text.len();
                    self.open = true;
                    return;
                }
            }
        }
        let length = if G::MYSQL { comments::flat(rest) } else { comments::nested(rest) };
        let Some(length) = length else {
            self.open = true;
            self.at = self.text.len();
            return;
        };
        self.at = inner + length + 2;
        let hint = rest.get(..length).and_then(comments::hint);
        self.hint = self.hint.max(hint);
    }

    /// The cursor is on the second `@` of `@@session.name`.
    fn system_variable(&mut self) -> Kind {
        self.at += 1;
        self.run_of(|byte| in_word(byte) || byte == b'.' || byte == b'`');
        Kind::SystemVariable
    }
}
