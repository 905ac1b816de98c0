//! Tokens into a class: the loop and what it remembers.
//!
//! [`Scan`] only ever *raises* what it has found, and it decides from the tokens so far, never from what it
//! expects. That is why more text cannot turn a write back into a read.
//!
//! Until the verb has come (and between the statements of one text) every token goes through
//! [`verb`](super::verb). Behind it most tokens say nothing, and [`Scan::behind_verb`] passes over them as fast
//! as it can; what it stops at is judged in [`clauses`](super::clauses).

use super::bytes::{Byte, digits_end, word_end};
use super::grammar::Grammar;
use super::keywords::Seen;
use super::lexer::{Kind, Lexer};
use super::{Classified, StatementClass};
use crate::consistency::Consistency;

/// Where in a statement the next token stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expect {
    /// At the first word, or behind opening parentheses.
    Verb,
    /// Behind `WITH`, until the main verb at this depth.
    MainVerb { depth: usize },
    /// Behind `EXPLAIN`.
    Explained,
    /// Behind `EXPLAIN (`: options or a query.
    OptionOrVerb,
    /// Inside the parenthesised options of `EXPLAIN`.
    Options { depth: usize },
    /// Behind `SHOW`.
    Subject,
    /// Behind `last_value`: a parenthesis makes it a window function.
    Window,
    /// The verb is known; only exceptions are looked for.
    Rest,
}

impl Expect {
    /// Whether ordinary tokens say nothing here.
    #[inline]
    pub(super) const fn is_behind_verb(self) -> bool {
        matches!(self, Self::Rest | Self::MainVerb { .. })
    }
}

/// What the verb is, where later words depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    Read,
    Create,
    Drop,
    Start,
    Flush,
    Account,
    Other,
}

/// One pass over a text.
pub(super) struct Scan<'a, G> {
    pub(super) text: &'a [u8],
    pub(super) lexer: Lexer<'a, G>,
    /// The most restrictive thing found so far; never lowered.
    found: StatementClass,
    pub(super) expect: Expect,
    /// What to expect again behind [`Expect::Window`].
    pub(super) behind_window: Expect,
    pub(super) verb: Verb,
    pub(super) depth: usize,
    /// A `WITH` opened in this statement, so that a data-modifying verb is one.
    pub(super) has_with: bool,
    /// `EXPLAIN` was told to run the statement.
    pub(super) runs: bool,
    /// A statement is complete: what follows `;` is another one.
    pub(super) complete: bool,
    /// In the body of a stored routine: it will run in some other session.
    pub(super) in_body: bool,
}

/// Where the last word or quoted name stands.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// How far a pass has come.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    before: Seen,
    name: Name,
}

impl<'a, G: Grammar> Scan<'a, G> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            lexer: Lexer::new(text),
            found: StatementClass::Read,
            expect: Expect::Verb,
            behind_window: Expect::Rest,
            verb: Verb::Other,
            depth: 0,
            has_with: false,
            runs: false,
            complete: false,
            in_body: false,
        }
    }

    /// Reads the whole text.
    pub(super) fn run(mut self) -> Outcome {
        let mut place = Place { at: 0, before: Seen::Semicolon, name: Name { start: 0, end: 0 } };
        if begins_with_select(self.text) {
            // What most texts begin with, at a third of the price.
            self.verb = Verb::Read;
            self.expect = Expect::Rest;
            place = Place { at: 6, before: Seen::Query, ..place };
        }
        loop {
            if self.expect.is_behind_verb() {
                place = self.behind_verb(place);
            }
            let Some(token) = self.lexer.token(place.at) else { break };
            place = Place {
                at: token.next,
                before: self.before_verb(token, place.before, place.name),
                name: Name { start: token.start, end: token.end },
            };
        }
        let ended = match self.expect {
            Expect::Rest => true,
            Expect::Verb => self.complete,
            _ => false,
        };
        Outcome {
            found: self.found.max(self.lexer.evidence),
            settled: ended && self.depth == 0 && !self.lexer.is_open(),
            hint: self.lexer.hint,
            level: self.lexer.level,
        }
    }

    /// Reads on until something else is expected, or to the end of the text.
    #[inline(always)]
    fn behind_verb(&mut self, place: Place) -> Place {
        let text = self.text;
        let Place { mut at, mut before, mut name } = place;
        while let Some(&first) = text.get(at) {
            let next = at + 1;
            match G::BYTES[usize::from(first)] {
                Byte::Space => at = next,
                Byte::Word => {
                    let end = word_end(text, next);
                    if end == next && Lexer::<G>::is_prefix(text, at) {
                        let token = self.lexer.prefixed(at);
                        before = if token.kind == Kind::Word { Seen::Name } else { Seen::Literal };
                        name = Name { start: at, end: token.end };
                        at = token.next;
                        continue;
                    }
                    before = match G::KEYWORDS.get_word(text, first, at, end) {
                        Some(keyword) => self.listed(keyword, before),
                        None if before == Seen::As => Seen::Label,
                        None => Seen::Name,
                    };
                    name = Name { start: at, end };
                    at = end;
                    if before == Seen::LastValue {
                        break;
                    }
                }
                Byte::DoubleQuote | Byte::Backtick => {
                    let end = self.lexer.quoted_name_end(at, first);
                    name = Name { start: next, end };
                    self.quoted(name);
                    before = if before == Seen::As { Seen::Label } else { Seen::Name };
                    at = end + 1;
                }
                Byte::Quote => {
                    at = self.lexer.string_end(at) + 1;
                    before = Seen::Literal;
                }
                Byte::Digit => {
                    at = self.lexer.number_end(next);
                    before = Seen::Literal;
                }
                Byte::Dollar if text.get(next).is_some_and(u8::is_ascii_digit) => {
                    at = digits_end(text, next);
                    before = Seen::Literal;
                }
                Byte::Symbol => {
                    at = next;
                    before = Seen::Symbol;
                }
                Byte::Dot => {
                    self.qualifier(before, name);
                    at = next;
                    before = Seen::Dot;
                }
                Byte::Open => {
                    self.open(before, name);
                    at = next;
                    before = Seen::Open;
                    if !self.expect.is_behind_verb() {
                        break;
                    }
                }
                Byte::Close => {
                    self.close();
                    at = next;
                    before = Seen::Close;
                }
                Byte::Semicolon => {
                    self.end_of_statement();
                    at = next;
                    before = Seen::Semicolon;
                    break;
                }
                class => {
                    let token = self.lexer.rare(class, at);
                    at = token.next;
                    if token.kind != Kind::Blank {
                        before = self.variable(token);
                    }
                }
            }
        }
        Place { at, before, name }
    }

    /// A word or name as written.
    pub(super) fn word(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Records what was found. The body of a routine cannot touch this session.
    #[inline]
    pub(super) fn raise(&mut self, class: StatementClass) {
        if class > self.found && (class == StatementClass::Write || !self.in_body) {
            self.found = class;
        }
    }

    /// Counts a `)`; one too many is no statement.
    #[inline]
    pub(super) fn close(&mut self) {
        if self.depth == 0 {
            self.raise(StatementClass::Write);
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// A `;`.
    pub(super) fn end_of_statement(&mut self) {
        match self.expect {
            Expect::Rest => self.complete = true,
            Expect::Verb if self.depth == 0 => {}
            _ => {
                self.raise(StatementClass::Write);
                self.complete = true;
            }
        }
        self.expect = Expect::Verb;
        self.has_with = false;
        self.runs = false;
    }
}

/// Whether the text begins with `SELECT` and a blank or a line's end, in any case.
#[inline]
fn begins_with_select(text: &[u8]) -> bool {
    const CASE: u64 = u64::from_le_bytes([0x20; 8]) & WORD;
    const WORD: u64 = (1 << 48) - 1;
    const SELECT: u64 = u64::from_le_bytes(*b"select\0\0");
    text.first_chunk::<8>().is_some_and(|start| {
        (u64::from_le_bytes(*start) | CASE) & WORD == SELECT && matches!(start[6], b' ' | b'\n')
    })
}

/// What a pass has found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// What the tokens prove. More text can only raise it.
    pub(super) found: StatementClass,
    /// The text is whole: every quote, comment and parenthesis is closed and the verb has come.
    pub(super) settled: bool,
    pub(super) hint: Option<super::Hint>,
    pub(super) level: Option<Consistency>,
}

impl Outcome {
    pub(super) fn classified(self) -> Classified {
        let class = if self.settled { self.found } else { self.found.max(StatementClass::Write) };
        Classified { level: self.level, ..Classified::new(class, self.hint) }
    }
}
