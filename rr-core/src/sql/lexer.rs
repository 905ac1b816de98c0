//! Text into tokens: everything that quotes and comments can hide is decided here.
//!
//! The lexer never looks further ahead than it then moves (the look at what follows an `E'…'` string and a lone
//! `$` are the exceptions, and nothing looks twice), so its time is linear on any input. What it cannot be sure
//! about (a quote that two server settings read differently, a comment that some servers run) it reports as
//! evidence for [`StatementClass::Write`].

use std::marker::PhantomData;

use super::bytes::{Byte, digits_end, find, find_either, in_word, word_end};
use super::comments::{self, CodeComment, Wish};
use super::grammar::Grammar;
use super::{Hint, StatementClass};
use crate::consistency::Consistency;

/// What a token is, as far as the rules care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A bare word: keyword or name.
    Word,
    /// A quoted name; in MySQL also a `"…"` string, which is a name there under `ANSI_QUOTES`.
    Quoted,
    /// A string, a number or a parameter.
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
    /// White space or a comment; never handed out.
    Blank,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// For [`Kind::Quoted`] the span is what stands between the quotes.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Where to go on reading.
    pub(super) next: usize,
}

impl Token {
    #[inline]
    const fn new(kind: Kind, start: usize, next: usize) -> Self {
        Self { kind, start, end: next, next }
    }
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

/// What reading has told so far. Where it has come to is the caller's to know: a position kept in here would
/// go through memory at every byte.
pub(super) struct Lexer<'a, G> {
    text: &'a [u8],
    /// What the text itself gives away, whatever the statement.
    pub(super) evidence: StatementClass,
    open: bool,
    /// The most restrictive hint so far.
    pub(super) hint: Option<Hint>,
    /// The level that a comment asks for.
    pub(super) level: Option<Consistency>,
    /// Inside a MySQL comment whose content is code.
    in_code_comment: bool,
    grammar: PhantomData<G>,
}

impl<'a, G: Grammar> Lexer<'a, G> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            evidence: StatementClass::Read,
            open: false,
            hint: None,
            level: None,
            in_code_comment: false,
            grammar: PhantomData,
        }
    }

    /// Whether the text ended inside a quote or a comment.
    pub(super) const fn is_open(&self) -> bool {
        self.open || self.in_code_comment
    }

    /// The token at or behind `at`, or `None` at the end of the text.
    pub(super) fn token(&mut self, mut at: usize) -> Option<Token> {
        loop {
            let first = *self.text.get(at)?;
            let next = at + 1;
            let token = match G::BYTES[usize::from(first)] {
                Byte::Space => Token::new(Kind::Blank, at, next),
                Byte::Word if Self::is_prefix(self.text, at) => self.prefixed(at),
                Byte::Word => Token::new(Kind::Word, at, word_end(self.text, next)),
                Byte::Digit => Token::new(Kind::Literal, at, self.number_end(next)),
                Byte::DoubleQuote | Byte::Backtick => {
                    let end = self.quoted_name_end(at, first);
                    Token { kind: Kind::Quoted, start: next, end, next: end + 1 }
                }
                Byte::Quote => Token::new(Kind::Literal, at, self.string_end(at) + 1),
                Byte::Open => Token::new(Kind::Open, at, next),
                Byte::Close => Token::new(Kind::Close, at, next),
                Byte::Dot => Token::new(Kind::Dot, at, next),
                Byte::Semicolon => Token::new(Kind::Semicolon, at, next),
                class => self.rare(class, at),
            };
            if token.kind != Kind::Blank {
                return Some(token);
            }
            at = token.next;
        }
    }

    /// Whether the word at `at` is a single letter before a quote or an `&`, which may say how to read on.
    #[inline]
    pub(super) fn is_prefix(text: &[u8], at: usize) -> bool {
        !G::MYSQL && matches!(text.get(at + 1), Some(b'\'' | b'&'))
    }

    /// The closing quote of the name in double quotes or backticks at `at`.
    #[inline]
    pub(super) fn quoted_name_end(&mut self, at: usize, quote: u8) -> usize {
        let string = G::MYSQL && quote == b'"';
        self.quote_end(at + 1, quote, if string { Backslash::MySql } else { Backslash::Plain })
    }

    /// The closing quote of the string in single quotes at `at`.
    #[inline]
    pub(super) fn string_end(&mut self, at: usize) -> usize {
        self.quote_end(at + 1, b'\'', if G::MYSQL { Backslash::MySql } else { Backslash::Standard })
    }

    /// What the loops do not handle by themselves: comments, dollar quotes, parameters, variables.
    pub(super) fn rare(&mut self, first: Byte, at: usize) -> Token {
        let next = at + 1;
        let second = self.text.get(next).copied();
        match first {
            Byte::Dash if self.is_dash_comment(next) => Token::new(Kind::Blank, at, self.line_end(next)),
            Byte::Hash => Token::new(Kind::Blank, at, self.line_end(next)),
            Byte::Slash if second == Some(b'*') => Token::new(Kind::Blank, at, self.block_comment(next + 1)),
            Byte::Star if self.in_code_comment && second == Some(b'/') => {
                self.in_code_comment = false;
                Token::new(Kind::Blank, at, next + 1)
            }
            Byte::Nul => {
                // Some servers and drivers stop at it, some go on.
                self.evidence = StatementClass::Write;
                Token::new(Kind::Blank, at, next)
            }
            Byte::Dollar if second.is_some_and(|byte| byte.is_ascii_digit()) => {
                Token::new(Kind::Literal, at, digits_end(self.text, next))
            }
            Byte::Dollar => self.dollar(at),
            Byte::At if second == Some(b'@') => Token::new(Kind::SystemVariable, at, self.path_end(next + 1)),
            Byte::At => Token::new(Kind::At, at, next),
            _ => Token::new(Kind::Symbol, at, next),
        }
    }

    /// What [`is_prefix`](Self::is_prefix) has found.
    #[cold]
    pub(super) fn prefixed(&mut self, at: usize) -> Token {
        match self.text.get(at..self.text.len().min(at + 3)) {
            Some([b'e' | b'E', b'\'', ..]) => Token::new(Kind::Literal, at, self.escape_string(at + 2)),
            Some([b'u' | b'U', b'&', b'"']) => {
                // Any name can be spelled with escapes: U&"n\0065xtval".
                self.evidence = StatementClass::Write;
                Token::new(Kind::Word, at, at + 1)
            }
            _ => Token::new(Kind::Word, at, at + 1),
        }
    }

    /// Where to read on behind `E'…'`. A string on the next line continues it, and its backslashes still escape.
    fn escape_string(&mut self, content: usize) -> usize {
        let mut at = self.quote_end(content, b'\'', Backslash::Escapes) + 1;
        loop {
            match self.text.get(at).map(|byte| G::BYTES[usize::from(*byte)]) {
                Some(Byte::Space) => at += 1,
                Some(Byte::Dash) if self.is_dash_comment(at + 1) => at = self.line_end(at + 1),
                Some(Byte::Quote) => at = self.quote_end(at + 1, b'\'', Backslash::Escapes) + 1,
                _ => return at,
            }
        }
    }

    /// Digits, fraction and exponent, and not a letter more: older servers read `1INTO t` as `1 INTO t`.
    #[inline]
    pub(super) fn number_end(&self, at: usize) -> usize {
        let mut end = digits_end(self.text, at);
        // Most numbers end here.
        if !matches!(self.text.get(end), Some(b'.' | b'e' | b'E')) {
            return end;
        }
        if self.text.get(end) == Some(&b'.') {
            end = digits_end(self.text, end + 1);
        }
        if let Some(b'e' | b'E') = self.text.get(end) {
            let sign = usize::from(matches!(self.text.get(end + 1), Some(b'+' | b'-')));
            if self.text.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
                end = digits_end(self.text, end + 1 + sign);
            }
        }
        end
    }

    /// Where the quote is that closes what begins at `start`; a doubled one stands for itself. If there is none,
    /// the end of the text.
    #[inline(always)]
    fn quote_end(&mut self, start: usize, quote: u8, backslash: Backslash) -> usize {
        let text = self.text;
        let end = find(text, start, quote);
        let doubled = text.get(end + 1) == Some(&quote);
        let escaped = backslash != Backslash::Plain && text.get(end.wrapping_sub(1)) == Some(&b'\\');
        if end < text.len() && !doubled && !escaped {
            return end;
        }
        self.quote_end_from(start, end, quote, backslash)
    }

    /// The same, from the first quote in it on.
    #[inline(never)]
    fn quote_end_from(&mut self, start: usize, first: usize, quote: u8, backslash: Backslash) -> usize {
        let (mut from, mut end) = (start, first);
        loop {
            if end >= self.text.len() {
                self.open = true;
                return end;
            }
            let doubled = self.text.get(end + 1) == Some(&quote);
            if backslash != Backslash::Plain && self.is_escaped(from, end) {
                match backslash {
                    // `ESCAPE '\'` is written everywhere; it only makes sense one way.
                    Backslash::Standard if end == start + 1 && !doubled => return end,
                    Backslash::Standard | Backslash::Plain => self.evidence = StatementClass::Write,
                    Backslash::Escapes | Backslash::MySql => {
                        if backslash == Backslash::MySql {
                            self.evidence = StatementClass::Write;
                        }
                        (from, end) = (end + 1, find(self.text, end + 1, quote));
                        continue;
                    }
                }
            }
            if !doubled {
                return end;
            }
            (from, end) = (end + 2, find(self.text, end + 2, quote));
        }
    }

    /// Whether an odd number of backslashes stands between `from` and `end`, right before `end`.
    fn is_escaped(&self, from: usize, end: usize) -> bool {
        let content = self.text.get(from..end).unwrap_or_default();
        content.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
    }

    /// `$tag$ … $tag$`, or a lone `$`.
    fn dollar(&mut self, at: usize) -> Token {
        let tag_start = at + 1;
        let tag_len = self
            .text
            .get(tag_start..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| in_word(**byte) && **byte != b'$')
            .count();
        if self.text.get(tag_start + tag_len) != Some(&b'$') {
            return Token::new(Kind::Symbol, at, tag_start);
        }
        let content = tag_start + tag_len + 1;
        let tag = self.text.get(at..content).unwrap_or_default();
        let mut close = content;
        loop {
            close = find(self.text, close, b'$');
            let rest = self.text.get(close..).unwrap_or_default();
            if rest.is_empty() {
                self.open = true;
                return Token::new(Kind::Literal, at, close);
            }
            if rest.starts_with(tag) {
                return Token::new(Kind::Literal, at, close + tag.len());
            }
            // A tag has no `$` inside, so what was compared is passed over at once by the next search.
            close += 1;
        }
    }

    /// Whether the `-` before `at` begins a comment.
    #[inline]
    fn is_dash_comment(&self, at: usize) -> bool {
        self.text.get(at) == Some(&b'-')
            && (!G::MYSQL || self.text.get(at + 1).is_none_or(|byte| *byte <= b' ' || *byte == 0x7f))
    }

    /// Where a line comment ends. MySQL's ends at a NUL as well, and code may follow.
    fn line_end(&self, at: usize) -> usize {
        find_either(self.text, at, b'\n', if G::MYSQL { 0 } else { b'\r' })
    }

    /// Where to go on reading, for a comment whose content begins at `at`.
    fn block_comment(&mut self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let length = if G::MYSQL {
            match comments::code_comment(rest) {
                Some(CodeComment::Blank(length)) => return at + length,
                Some(CodeComment::Code(start)) => {
                    self.evidence = StatementClass::Write;
                    self.in_code_comment = true;
                    return at + start;
                }
                Some(CodeComment::Open) => None,
                None => comments::flat(rest),
            }
        } else {
            comments::nested(rest)
        };
        let Some(length) = length else {
            self.open = true;
            return self.text.len();
        };
        if let Some(wish) = rest.get(..length).and_then(comments::wish) {
            self.note(wish);
        }
        at + length + 2
    }

    #[cold]
    fn note(&mut self, wish: Wish) {
        let hint = match wish {
            Wish::Hint(hint) => hint,
            Wish::Level(level) if *self.level.get_or_insert(level) == level => return,
            // Two levels: the primary fulfils both.
            Wish::Level(_) => Hint::Primary,
        };
        self.hint = self.hint.max(Some(hint));
    }

    /// Where the name of a system variable ends.
    fn path_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| in_word(**byte) || matches!(byte, b'.' | b'`')).count()
    }
}
