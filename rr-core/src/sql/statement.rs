//! Tokens into a class.
//!
//! [`Scan`] only ever *raises* what it has found, and it decides from the tokens so far, never from what it
//! expects. That is why more text cannot turn a write back into a read.

use super::grammar::Grammar;
use super::keywords::{Keyword, keyword};
use super::lexer::{Kind, Lexer, Token};
use super::mysql::is_connection_variable;
use super::names::Word;
use super::{Classified, StatementClass};

/// Where in a statement the next token stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
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
    /// The verb is known; only exceptions are looked for.
    Rest,
}

/// What the verb is, where later words depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verb {
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
    text: &'a [u8],
    lexer: Lexer<'a, G>,
    /// The most restrictive thing found so far; never lowered.
    found: StatementClass,
    expect: Expect,
    verb: Verb,
    depth: usize,
    /// A `WITH` opened in this statement, so that a data-modifying verb is one.
    has_with: bool,
    /// `EXPLAIN` was told to run the statement.
    runs: bool,
    /// A statement is complete: what follows `;` is another one.
    complete: bool,
    /// In the body of a stored routine: it will run in some other session.
    in_body: bool,
    /// The last token, and what it and the one before mean if they are bare words.
    previous: Token,
    keyword: Keyword,
    keyword_before: Keyword,
}

impl<'a, G: Grammar> Scan<'a, G> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            lexer: Lexer::new(text),
            found: StatementClass::Read,
            expect: Expect::Verb,
            verb: Verb::Other,
            depth: 0,
            has_with: false,
            runs: false,
            complete: false,
            in_body: false,
            previous: Token { kind: Kind::Semicolon, start: 0, end: 0 },
            keyword: Keyword::None,
            keyword_before: Keyword::None,
        }
    }

    /// Reads the whole text.
    pub(super) fn run(mut self) -> Outcome {
        while let Some(token) = self.lexer.next() {
            let keyword = self.step(token);
            self.keyword_before = self.keyword;
            self.keyword = keyword;
            self.previous = token;
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

    #[inline]
    fn word(&self, token: Token) -> Word<'a> {
        Word::new(self.text, token.start, token.end)
    }

    #[inline]
    fn raise(&mut self, class: StatementClass) {
        if class > self.found && (class == StatementClass::Write || !self.in_body) {
            self.found = class;
        }
    }

    /// Takes in one token and says what it means as a bare word.
    #[inline]
    fn step(&mut self, token: Token) -> Keyword {
        match token.kind {
            Kind::Word => return self.bare(token),
            Kind::Quoted => {
                let keyword = keyword(G::KEYWORDS, self.word(token));
                if keyword.is_relation() {
                    self.relation(keyword);
                }
                if self.expect != Expect::Rest {
                    self.not_a_verb(token);
                }
            }
            Kind::Open => {
                if matches!(self.previous.kind, Kind::Word | Kind::Quoted)
                    && self.keyword_before != Keyword::As
                {
                    self.call();
                }
                if self.expect != Expect::Rest {
                    self.open_before_verb(token);
                }
                self.depth += 1;
            }
            Kind::Close => {
                if self.depth == 0 {
                    self.raise(StatementClass::Write);
                }
                self.depth = self.depth.saturating_sub(1);
                if self.expect != Expect::Rest {
                    self.close_before_verb(token);
                }
            }
            Kind::Semicolon => self.end_of_statement(),
            Kind::Dot => {
                self.qualifier();
                if self.expect != Expect::Rest {
                    self.not_a_verb(token);
                }
            }
            Kind::At => self.at_sign(token),
            Kind::SystemVariable => self.system_variable(token),
            Kind::Literal | Kind::Symbol => {
                if self.expect != Expect::Rest {
                    self.not_a_verb(token);
                }
            }
        }
        if self.keyword == Keyword::LastValue && token.kind != Kind::Open {
            // `SELECT last_value FROM seq`: a sequence runs ahead in the replicated copy.
            self.raise(StatementClass::Write);
        }
        Keyword::None
    }

    /// A word without quotes.
    #[inline]
    fn bare(&mut self, token: Token) -> Keyword {
        if self.keyword == Keyword::LastValue {
            self.raise(StatementClass::Write);
        }
        let keyword = keyword(G::KEYWORDS, self.word(token));
        if keyword == Keyword::None && self.expect == Expect::Rest {
            return keyword;
        }
        self.listed(token, keyword)
    }

    /// A word that is listed, or one that may be the verb.
    fn listed(&mut self, token: Token, keyword: Keyword) -> Keyword {
        if keyword.is_relation() {
            self.relation(keyword);
        }
        // A column or a label may have any name; the verb cannot stand there.
        if self.previous.kind == Kind::Dot {
            return if keyword == Keyword::LastValue { keyword } else { Keyword::None };
        }
        // As a sort key or an alias it is the result of the window function.
        if keyword == Keyword::LastValue
            && self.keyword != Keyword::Query
            && self.previous.kind != Kind::Symbol
        {
            return Keyword::None;
        }
        match self.expect {
            Expect::Rest => {}
            Expect::Verb => {
                self.first_word(keyword);
                return keyword;
            }
            Expect::OptionOrVerb => {
                if matches!(keyword, Keyword::Query | Keyword::With) {
                    self.first_word(keyword);
                } else {
                    self.runs |= keyword == Keyword::Analyze;
                    self.expect = Expect::Options { depth: self.depth };
                }
                return keyword;
            }
            Expect::Options { .. } => {
                self.runs |= keyword == Keyword::Analyze;
                return keyword;
            }
            Expect::Explained => {
                self.explained(keyword);
                return keyword;
            }
            Expect::Subject => {
                if let Some(class) = G::show(self.word(token).bytes()) {
                    self.raise(class);
                    self.expect = Expect::Rest;
                }
                return Keyword::None;
            }
            Expect::MainVerb { depth } => {
                if keyword == Keyword::Query && depth == self.depth {
                    self.expect = Expect::Rest;
                }
            }
        }
        if self.keyword == Keyword::As {
            return Keyword::None;
        }
        self.inside(keyword);
        keyword
    }

    /// A listed word behind the verb.
    fn inside(&mut self, keyword: Keyword) {
        use StatementClass::{Session, Write};
        let (previous, before) = (self.keyword, self.keyword_before);
        match keyword {
            Keyword::Into => self.raise(Write),
            Keyword::Temp => {
                let created = matches!(self.verb, Verb::Create | Verb::Drop)
                    && matches!(previous, Keyword::Create | Keyword::Drop | Keyword::BeforeTemp);
                let selected = self.verb == Verb::Read
                    && (previous == Keyword::Into
                        || previous == Keyword::BeforeTemp && before == Keyword::Into);
                if created || selected {
                    self.raise(Session);
                }
            }
            Keyword::Update | Keyword::Share if previous == Keyword::For => self.raise(Write),
            Keyword::Key if previous == Keyword::No && before == Keyword::For => self.raise(Write),
            Keyword::Share if previous == Keyword::Key && before == Keyword::For => self.raise(Write),
            // MySQL hides nothing behind WITH but UPDATE and DELETE, and has a function INSERT().
            Keyword::Update | Keyword::Delete if self.has_with => self.raise(Write),
            Keyword::Insert if self.has_with && !G::MYSQL => self.raise(Write),
            Keyword::With if self.previous.kind == Kind::Open => self.has_with = true,
            // LOCK IN SHARE MODE
            Keyword::In if previous == Keyword::Lock => self.raise(Write),
            Keyword::CalcFoundRows => self.raise(Session),
            Keyword::For if previous == Keyword::Value && before == Keyword::Next => self.raise(Write),
            Keyword::For if previous == Keyword::Value && before == Keyword::Previous => self.raise(Session),
            Keyword::Transaction if self.verb == Verb::Start => self.raise(Session),
            // They keep the tables locked until this connection lets go.
            Keyword::Read if self.verb == Verb::Flush && previous == Keyword::With => self.raise(Session),
            Keyword::Export if self.verb == Verb::Flush && previous == Keyword::For => self.raise(Session),
            Keyword::Prepare if self.verb == Verb::Drop && previous == Keyword::Drop => self.raise(Session),
            Keyword::Routine
                if self.verb == Verb::Create && self.depth == 0 && previous != Keyword::Query =>
            {
                self.in_body = true;
            }
            Keyword::Atomic if self.verb == Verb::Create && previous == Keyword::Begin => self.in_body = true,
            _ => {}
        }
    }

    /// The first word of a statement.
    fn first_word(&mut self, keyword: Keyword) {
        use StatementClass::{Session, Write};
        if self.complete {
            self.raise(Write);
        }
        self.expect = Expect::Rest;
        self.verb = Verb::Other;
        match keyword {
            Keyword::Query | Keyword::ReadVerb => self.verb = Verb::Read,
            Keyword::With => {
                self.verb = Verb::Read;
                self.has_with = true;
                self.expect = Expect::MainVerb { depth: self.depth };
            }
            Keyword::Explain => self.expect = Expect::Explained,
            Keyword::Show => {
                self.verb = Verb::Account;
                self.expect = Expect::Subject;
            }
            Keyword::SessionVerb | Keyword::Begin | Keyword::Prepare | Keyword::Lock => self.raise(Session),
            _ => {
                self.raise(Write);
                self.verb = match keyword {
                    Keyword::Create => Verb::Create,
                    Keyword::Drop => Verb::Drop,
                    Keyword::Start => Verb::Start,
                    Keyword::Flush => Verb::Flush,
                    Keyword::AccountVerb => Verb::Account,
                    _ => Verb::Other,
                };
            }
        }
    }

    /// A word behind `EXPLAIN`: an option, the statement, or in MySQL the name of a table.
    fn explained(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::Analyze => self.runs = true,
            Keyword::ExplainOption => {}
            // FORMAT = something new
            Keyword::None if G::MYSQL && self.previous.kind == Kind::Symbol => {}
            Keyword::None if G::MYSQL && !self.runs => self.describe(),
            _ => self.first_word(keyword),
        }
    }

    /// `DESCRIBE table`.
    fn describe(&mut self) {
        if self.complete {
            self.raise(StatementClass::Write);
        }
        self.verb = Verb::Read;
        self.expect = Expect::Rest;
    }

    /// A token that is no bare word, where one is expected.
    #[cold]
    fn not_a_verb(&mut self, token: Token) {
        match (self.expect, token.kind) {
            (Expect::Rest | Expect::MainVerb { .. } | Expect::Options { .. }, _) => {}
            (Expect::Explained, Kind::Quoted) if G::MYSQL && !self.runs => self.describe(),
            // FORMAT=JSON, FORMAT='json'
            (Expect::Explained, Kind::Symbol | Kind::Literal)
                if G::MYSQL && self.keyword != Keyword::Explain => {}
            // SHOW "TimeZone"
            (Expect::Subject, Kind::Quoted) => {
                let class = G::show(self.word(token).bytes()).unwrap_or(StatementClass::Write);
                self.raise(class);
                self.expect = Expect::Rest;
            }
            _ => {
                self.raise(StatementClass::Write);
                self.verb = Verb::Other;
                self.expect = Expect::Rest;
            }
        }
    }

    fn open_before_verb(&mut self, token: Token) {
        match self.expect {
            Expect::Explained if G::MYSQL => self.expect = Expect::Verb,
            Expect::Explained => self.expect = Expect::OptionOrVerb,
            Expect::OptionOrVerb => self.expect = Expect::Verb,
            // WITH … AS (…) (SELECT …)
            Expect::MainVerb { depth } if depth == self.depth && self.previous.kind == Kind::Close => {
                self.expect = Expect::Verb;
            }
            Expect::Subject => self.not_a_verb(token),
            Expect::Verb | Expect::MainVerb { .. } | Expect::Options { .. } | Expect::Rest => {}
        }
    }

    fn close_before_verb(&mut self, token: Token) {
        match self.expect {
            Expect::Options { depth } if self.depth < depth => self.expect = Expect::Verb,
            Expect::Options { .. } | Expect::MainVerb { .. } => {}
            _ => self.not_a_verb(token),
        }
    }

    fn end_of_statement(&mut self) {
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

    /// The name before `(` is called.
    #[inline]
    fn call(&mut self) {
        let class = G::FUNCTIONS.class(self.word(self.previous));
        if class != StatementClass::Read {
            self.raise(class);
        }
    }

    /// The name before `.` is a schema or a table.
    #[inline]
    fn qualifier(&mut self) {
        if G::MYSQL || !matches!(self.previous.kind, Kind::Word | Kind::Quoted) {
            return;
        }
        let name = self.word(self.previous).bytes();
        if let Some(name) = name.first_chunk::<7>() {
            // pg_temp, and pg_temp_3 as catalogs spell it.
            if name.eq_ignore_ascii_case(b"pg_temp") {
                self.raise(StatementClass::Session);
            }
        }
    }

    fn relation(&mut self, keyword: Keyword) {
        self.raise(match keyword {
            Keyword::ConnectionRelation => StatementClass::Session,
            _ => StatementClass::Write,
        });
    }

    /// `@name` is a variable of this connection, unless it is the host of an account: `root@localhost`.
    fn at_sign(&mut self, token: Token) {
        let touches = match self.previous.kind {
            Kind::Word | Kind::Literal => self.previous.end == token.start,
            // The span leaves the closing quote out.
            Kind::Quoted => self.previous.end + 1 == token.start,
            _ => false,
        };
        if !(touches && matches!(self.verb, Verb::Create | Verb::Drop | Verb::Account)) {
            self.raise(StatementClass::Session);
        }
        if self.expect != Expect::Rest {
            self.not_a_verb(token);
        }
    }

    fn system_variable(&mut self, token: Token) {
        let is_connection = is_connection_variable(self.word(token).bytes());
        self.raise(if is_connection { StatementClass::Session } else { StatementClass::Write });
        if self.expect != Expect::Rest {
            self.not_a_verb(token);
        }
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
