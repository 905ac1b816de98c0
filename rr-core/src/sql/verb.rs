//! The beginning of a statement: which verb it is, and what stands in front of it.

use super::StatementClass;
use super::grammar::Grammar;
use super::keywords::Keyword;
use super::lexer::{Kind, Token};
use super::statement::{Before, Expect, Name, Scan, Verb};

impl<G: Grammar> Scan<'_, G> {
    /// Takes in a token while no verb is known, and says what it means as a bare word.
    pub(super) fn before_verb(&mut self, token: Token, before: Before, name: Name) -> Keyword {
        if self.expect == Expect::Window {
            self.expect = self.behind_window;
            if token.kind != Kind::Open {
                // `SELECT last_value FROM seq`: a sequence runs ahead in the replicated copy.
                self.raise(StatementClass::Write);
            }
        }
        match token.kind {
            Kind::Word => return self.bare_word(token, before),
            Kind::Open => self.open(before, name),
            Kind::Close => {
                self.close();
                self.close_before_verb(token, before);
            }
            Kind::Semicolon => self.end_of_statement(),
            Kind::Dot => {
                self.qualifier(before, name);
                self.no_word(token, before);
            }
            Kind::Quoted => {
                self.quoted(Name { start: token.start, end: token.end });
                self.no_word(token, before);
            }
            Kind::At | Kind::SystemVariable | Kind::Literal | Kind::Symbol | Kind::Blank => {
                self.variable(token);
                self.no_word(token, before);
            }
        }
        Keyword::None
    }

    fn bare_word(&mut self, token: Token, before: Before) -> Keyword {
        let keyword = G::KEYWORDS.get(self.text, token.start, token.end).unwrap_or(Keyword::None);
        if self.expect.is_behind_verb() {
            return self.listed(keyword, before);
        }
        self.relation(keyword);
        // A verb cannot stand behind a dot.
        if before.kind == Kind::Dot {
            return Keyword::None;
        }
        match self.expect {
            Expect::OptionOrVerb if !matches!(keyword, Keyword::Query | Keyword::With) => {
                self.runs |= keyword == Keyword::Analyze;
                self.expect = Expect::Options { depth: self.depth };
            }
            Expect::Options { .. } => self.runs |= keyword == Keyword::Analyze,
            Expect::Explained => self.explained(keyword, before),
            Expect::Subject => {
                if let Some(class) = G::show(self.word(token.start, token.end)) {
                    self.raise(class);
                    self.expect = Expect::Rest;
                }
            }
            _ => self.first_word(keyword),
        }
        keyword
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
    fn explained(&mut self, keyword: Keyword, before: Before) {
        match keyword {
            Keyword::Analyze => self.runs = true,
            Keyword::ExplainOption => {}
            // FORMAT = something new
            Keyword::None if G::MYSQL && before.kind == Kind::Symbol => {}
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
    fn no_word(&mut self, token: Token, before: Before) {
        match (self.expect, token.kind) {
            (Expect::Rest | Expect::MainVerb { .. } | Expect::Options { .. }, _) => {}
            (Expect::Explained, Kind::Quoted) if G::MYSQL && !self.runs => self.describe(),
            // FORMAT=JSON, FORMAT='json'
            (Expect::Explained, Kind::Symbol | Kind::Literal)
                if G::MYSQL && before.keyword != Keyword::Explain => {}
            // SHOW "TimeZone"
            (Expect::Subject, Kind::Quoted) => {
                let subject = self.word(token.start, token.end);
                self.raise(G::show(subject).unwrap_or(StatementClass::Write));
                self.expect = Expect::Rest;
            }
            _ => self.no_verb(),
        }
    }

    /// Whatever this is, it begins like no statement.
    fn no_verb(&mut self) {
        self.raise(StatementClass::Write);
        self.verb = Verb::Other;
        self.expect = Expect::Rest;
    }

    /// A `(`, before it is counted.
    pub(super) fn open_before_verb(&mut self, before: Before) {
        match self.expect {
            Expect::Explained if G::MYSQL => self.expect = Expect::Verb,
            Expect::Explained => self.expect = Expect::OptionOrVerb,
            Expect::OptionOrVerb => self.expect = Expect::Verb,
            // WITH … AS (…) (SELECT …)
            Expect::MainVerb { depth } if depth == self.depth && before.kind == Kind::Close => {
                self.expect = Expect::Verb;
            }
            Expect::Subject => self.no_verb(),
            _ => {}
        }
    }

    /// A `)`, already counted.
    fn close_before_verb(&mut self, token: Token, before: Before) {
        match self.expect {
            Expect::Options { depth } if self.depth < depth => self.expect = Expect::Verb,
            _ => self.no_word(token, before),
        }
    }
}
