//! The beginning of a statement: which verb it is, and what stands in front of it.

use super::StatementClass;
use super::grammar::Grammar;
use super::keywords::Seen;
use super::lexer::{Kind, Token};
use super::statement::{Expect, Name, Scan, Verb};

impl<G: Grammar> Scan<'_, G> {
    /// Takes in a token while no verb is known.
    pub(super) fn before_verb(&mut self, token: Token, before: Seen, name: Name) -> Seen {
        if self.expect == Expect::Window {
            self.expect = self.behind_window;
            if token.kind != Kind::Open {
                // `SELECT last_value FROM seq`: a sequence runs ahead in the replicated copy.
                self.raise(StatementClass::Write);
            }
        }
        match token.kind {
            Kind::Word => self.bare_word(token, before),
            Kind::Quoted => {
                self.quoted(Name { start: token.start, end: token.end });
                self.no_word(token, before);
                Seen::Name
            }
            Kind::Open => {
                self.open(before, name);
                Seen::Open
            }
            Kind::Close => {
                self.close();
                self.close_before_verb(token, before);
                Seen::Close
            }
            Kind::Semicolon => {
                self.end_of_statement();
                Seen::Semicolon
            }
            Kind::Dot => {
                self.qualifier(before, name);
                self.no_word(token, before);
                Seen::Dot
            }
            Kind::At | Kind::SystemVariable | Kind::Literal | Kind::Symbol | Kind::Blank => {
                self.no_word(token, before);
                self.variable(token)
            }
        }
    }

    fn bare_word(&mut self, token: Token, before: Seen) -> Seen {
        let word = G::KEYWORDS.get(self.text, token.start, token.end).unwrap_or(Seen::Name);
        if self.expect.is_behind_verb() {
            return self.listed(word, before);
        }
        self.relation(word);
        // A verb cannot stand behind a dot.
        if before == Seen::Dot {
            return Seen::Name;
        }
        match self.expect {
            Expect::OptionOrVerb if !matches!(word, Seen::Query | Seen::With) => {
                self.runs |= word == Seen::Analyze;
                self.expect = Expect::Options { depth: self.depth };
            }
            Expect::Options { .. } => self.runs |= word == Seen::Analyze,
            Expect::Explained => self.explained(word, before),
            Expect::Subject => {
                if let Some(class) = G::show(self.word(token.start, token.end)) {
                    self.raise(class);
                    self.expect = Expect::Rest;
                }
            }
            _ => self.first_word(word),
        }
        word
    }

    /// The first word of a statement.
    fn first_word(&mut self, word: Seen) {
        use StatementClass::{Session, Write};
        if self.complete {
            self.raise(Write);
        }
        self.expect = Expect::Rest;
        self.verb = Verb::Other;
        match word {
            Seen::Query | Seen::ReadVerb => self.verb = Verb::Read,
            Seen::With => {
                self.verb = Verb::Read;
                self.has_with = true;
                self.expect = Expect::MainVerb { depth: self.depth };
            }
            Seen::Explain => self.expect = Expect::Explained,
            Seen::Show => {
                self.verb = Verb::Account;
                self.expect = Expect::Subject;
            }
            Seen::SessionVerb | Seen::Begin | Seen::Prepare | Seen::Lock => self.raise(Session),
            _ => {
                self.raise(Write);
                self.verb = match word {
                    Seen::Create => Verb::Create,
                    Seen::Drop => Verb::Drop,
                    Seen::Start => Verb::Start,
                    Seen::Flush => Verb::Flush,
                    Seen::AccountVerb => Verb::Account,
                    _ => Verb::Other,
                };
            }
        }
    }

    /// A word behind `EXPLAIN`: an option, the statement, or in MySQL the name of a table.
    fn explained(&mut self, word: Seen, before: Seen) {
        match word {
            Seen::Analyze => self.runs = true,
            Seen::ExplainOption => {}
            // FORMAT = something new
            Seen::Name if G::MYSQL && before == Seen::Symbol => {}
            Seen::Name if G::MYSQL && !self.runs => self.describe(),
            _ => self.first_word(word),
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
    fn no_word(&mut self, token: Token, before: Seen) {
        match (self.expect, token.kind) {
            (Expect::Rest | Expect::MainVerb { .. } | Expect::Options { .. }, _) => {}
            (Expect::Explained, Kind::Quoted) if G::MYSQL && !self.runs => self.describe(),
            // FORMAT=JSON, FORMAT='json'
            (Expect::Explained, Kind::Symbol | Kind::Literal) if G::MYSQL && before != Seen::Explain => {}
            // SHOW "TimeZone"
            (Expect::Subject, Kind::Quoted) => {
                let name = Name { start: token.start, end: token.end };
                if self.is_whole(name) {
                    let subject = self.word(name.start, name.end);
                    self.raise(G::show(subject).unwrap_or(StatementClass::Write));
                }
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
    pub(super) fn open_before_verb(&mut self, before: Seen) {
        match self.expect {
            Expect::Explained if G::MYSQL => self.expect = Expect::Verb,
            Expect::Explained => self.expect = Expect::OptionOrVerb,
            Expect::OptionOrVerb => self.expect = Expect::Verb,
            // WITH … AS (…) (SELECT …)
            Expect::MainVerb { depth } if depth == self.depth && before == Seen::Close => {
                self.expect = Expect::Verb;
            }
            Expect::Subject => self.no_verb(),
            _ => {}
        }
    }

    /// A `)`, already counted.
    fn close_before_verb(&mut self, token: Token, before: Seen) {
        match self.expect {
            Expect::Options { depth } if self.depth < depth => self.expect = Expect::Verb,
            _ => self.no_word(token, before),
        }
    }
}
