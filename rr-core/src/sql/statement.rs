//! Tokens into a class: the loop and what it remembers.
//!
//! [`Scan`] only ever *raises* what it has found, and it decides from the tokens so far, never from what it
//! expects. That is why more text cannot turn a write back into a read.
//!
//! Until the verb has come (and between the statements of one text) every token goes through
//! [`verb`](super::verb). Behind it most tokens say nothing, and [`Scan::behind_verb`] passes over them as fast
//! as it can; what it stops at is judged in [`clauses`](super::clauses).

use super::bytes::{Byte, digits_end};
use super::grammar::Grammar;
use super::keywords::{Keyword, keyword};
use super::lexer::{Kind, Lexer};
use super::names::Word;
use super::{Classified, StatementClass};

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

/// What stands before a token.
///
/// The loop hands it down by value, so that it stays in registers.
#[derive(Clone, Copy)]
pub(super) struct Before {
    pub(super) kind: Kind,
    /// The span, if it is a word or a quoted name.
    pub(super) start: usize,
    pub(super) end: usize,
    /// What it means as a bare word.
    pub(super) keyword: Keyword,
    /// And the one before it.
    pub(super) earlier: Keyword,
}

impl Before {
    const NOTHING: Self =
        Self { kind: Kind::Semicolon, start: 0, end: 0, keyword: Keyword::None, earlier: Keyword::None };

    /// What stands before the token behind a word or a quoted name.
    #[inline]
    fn name(self, kind: Kind, start: usize, end: usize, keyword: Keyword) -> Self {
        Self { kind, start, end, keyword, earlier: self.keyword }
    }

    /// What stands before the token behind any other.
    #[inline]
    fn other(self, kind: Kind) -> Self {
        Self { kind, keyword: Keyword::None, earlier: self.keyword, ..self }
    }
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
        let (mut at, mut before) = (0, Before::NOTHING);
        while let Some(token) = self.lexer.token(at) {
            let keyword = self.before_verb(token, before);
            at = token.next;
            before = before.name(token.kind, token.start, token.end, keyword);
            if self.expect.is_behind_verb() {
                (at, before) = self.behind_verb(at, before);
            }
        }
        let ended = match self.expect {
            Expect::Rest => true,
            Expect::Verb => self.complete,
            _ => false,
        };
        Outcome {
            found: self.found.max(self.lexer.evidence),
            settled: ended && self.depth == 0 && !self.lexer.open,
            hint: self.lexer.hint,
        }
    }

    /// Reads on from `at` until something else is expected, or to the end of the text.
    fn behind_verb(&mut self, mut at: usize, mut before: Before) -> (usize, Before) {
        loop {
            // One blank stands behind nearly every token; taking it here saves a turn.
            at += usize::from(self.text.get(at) == Some(&b' '));
            let Some(&first) = self.text.get(at) else { break };
            let next = at + 1;
            match G::BYTES[usize::from(first)] {
                Byte::Space => at = next,
                Byte::Word => {
                    let token = self.lexer.word(at);
                    let keyword = if token.kind == Kind::Word {
                        let keyword = keyword(G::KEYWORDS, self.word(token.start, token.end));
                        if keyword == Keyword::None { keyword } else { self.listed(keyword, before) }
                    } else {
                        Keyword::None
                    };
                    before = before.name(token.kind, at, token.end, keyword);
                    at = token.next;
                    if keyword == Keyword::LastValue {
                        break;
                    }
                }
                Byte::DoubleQuote | Byte::Backtick => {
                    let token = self.lexer.quoted_name(at, first);
                    self.quoted(token.start, token.end);
                    before = before.name(Kind::Quoted, token.start, token.end, Keyword::None);
                    at = token.next;
                }
                Byte::Quote => {
                    at = self.lexer.string(at).next;
                    before = before.other(Kind::Literal);
                }
                Byte::Digit => {
                    at = self.lexer.number_end(next);
                    before = before.other(Kind::Literal);
                }
                Byte::Dollar if self.text.get(next).is_some_and(u8::is_ascii_digit) => {
                    at = digits_end(self.text, next);
                    before = before.other(Kind::Literal);
                }
                Byte::Symbol => {
                    at = next;
                    before = before.other(Kind::Symbol);
                }
                Byte::Dot => {
                    self.qualifier(before);
                    at = next;
                    before = before.other(Kind::Dot);
                }
                Byte::Open => {
                    self.open(before);
                    at = next;
                    before = before.other(Kind::Open);
                    if !self.expect.is_behind_verb() {
                        break;
                    }
                }
                Byte::Close => {
                    self.close();
                    at = next;
                    before = before.other(Kind::Close);
                }
                Byte::Semicolon => {
                    self.end_of_statement();
                    at = next;
                    before = before.other(Kind::Semicolon);
                    break;
                }
                class => {
                    let token = self.lexer.rare(class, at);
                    self.variable(token);
                    at = token.next;
                    if token.kind != Kind::Blank {
                        before = before.other(token.kind);
                    }
                }
            }
        }
        (at, before)
    }

    #[inline]
    pub(super) const fn word(&self, start: usize, end: usize) -> Word<'a> {
        Word::new(self.text, start, end)
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

/// What a pass has found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// What the tokens prove. More text can only raise it.
    pub(super) found: StatementClass,
    /// The text is whole: every quote, comment and parenthesis is closed and the verb has come.
    pub(super) settled: bool,
    pub(super) hint: Option<super::Hint>,
}

impl Outcome {
    pub(super) fn classified(self) -> Classified {
        let class = if self.settled { self.found } else { self.found.max(StatementClass::Write) };
        Classified { class, hint: self.hint }
    }
}
