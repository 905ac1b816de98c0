//! Behind the verb: the words, calls and names that make a statement more than its verb says.

use super::StatementClass::{self, Session, Write};
use super::grammar::Grammar;
use super::keywords::Seen;
use super::lexer::{Kind, Token};
use super::mysql::is_connection_variable;
use super::statement::{Expect, Name, Scan, Verb};

impl<G: Grammar> Scan<'_, G> {
    /// A bare word that is listed. Says what it means where it stands: any word may be a name.
    pub(super) fn listed(&mut self, word: Seen, before: Seen) -> Seen {
        match word {
            Seen::NodeRelation | Seen::ConnectionRelation => {
                self.relation(word);
                return Seen::Name;
            }
            Seen::LastValue => return self.last_value(before),
            // The commonest of all in long statements, and it leads to nothing below.
            Seen::As => {
                return match before {
                    Seen::Dot => Seen::Name,
                    Seen::As => Seen::Label,
                    _ => Seen::As,
                };
            }
            _ => {}
        }
        match (self.expect, before) {
            // A column is called anything behind a dot, and so is a label behind AS.
            (_, Seen::Dot) => Seen::Name,
            // But MySQL keeps these words to itself, and the AS may be the end of a name: `FROM t 1as FOR UPDATE`.
            (_, Seen::As) if !(G::MYSQL && matches!(word, Seen::For | Seen::Lock | Seen::Into)) => {
                Seen::Label
            }
            (Expect::MainVerb { depth }, _) if word == Seen::Query && depth == self.depth => {
                self.expect = Expect::Rest;
                word
            }
            // Where the main verb belongs it is not MySQL's function of that name.
            (Expect::MainVerb { depth }, _) if word == Seen::Insert && depth == self.depth => {
                self.raise(Write);
                word
            }
            _ => self.clause(word, before),
        }
    }

    /// A keyword that stands where a keyword may, together with what led to it.
    fn clause(&mut self, word: Seen, before: Seen) -> Seen {
        match (before, word) {
            // FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE, FOR KEY SHARE; LOCK IN SHARE MODE
            (Seen::For, Seen::Update | Seen::Share)
            | (Seen::ForNo, Seen::Key)
            | (Seen::ForKey, Seen::Share)
            | (Seen::Lock, Seen::In) => self.raise(Write),
            (Seen::For, Seen::No) => return Seen::ForNo,
            (Seen::For, Seen::Key) => return Seen::ForKey,
            (_, Seen::Into) => self.raise(Write),
            // INTO TEMP t, INTO LOCAL TEMPORARY TABLE t
            (Seen::Into | Seen::IntoLocal, Seen::Temp) if self.verb == Verb::Read => self.raise(Session),
            (Seen::Into, Seen::BeforeTemp) => return Seen::IntoLocal,
            // MySQL hides nothing behind WITH but UPDATE and DELETE, and has a function INSERT().
            (_, Seen::Update | Seen::Delete) if self.has_with => self.raise(Write),
            (_, Seen::Insert) if self.has_with && !G::MYSQL => self.raise(Write),
            (Seen::Open, Seen::With) => self.has_with = true,
            (_, Seen::CalcFoundRows) => self.raise(Session),
            // NEXT VALUE FOR s, PREVIOUS VALUE FOR s
            (Seen::Next, Seen::Value) => return Seen::NextValue,
            (Seen::Previous, Seen::Value) => return Seen::PreviousValue,
            (Seen::NextValue, Seen::For) => self.raise(Write),
            (Seen::PreviousValue, Seen::For) => self.raise(Session),
            _ => self.clause_of_verb(word, before),
        }
        word
    }

    /// A word that only matters behind one verb.
    fn clause_of_verb(&mut self, word: Seen, before: Seen) {
        match (self.verb, before, word) {
            (Verb::Start, _, Seen::Transaction) => self.raise(Session),
            (Verb::Create | Verb::Drop, Seen::Create | Seen::Drop | Seen::BeforeTemp, Seen::Temp) => {
                self.raise(Session);
            }
            (Verb::Drop, Seen::Drop, Seen::Prepare) => self.raise(Session),
            // FLUSH TABLES … WITH READ LOCK, … FOR EXPORT: locked until this connection lets go.
            (Verb::Flush, Seen::With, Seen::Read) | (Verb::Flush, Seen::For, Seen::Export) => {
                self.raise(Session)
            }
            (Verb::Create, Seen::Begin, Seen::Atomic) => self.in_body = true,
            (Verb::Create, _, Seen::Routine) if self.depth == 0 && before != Seen::Query => {
                self.in_body = true
            }
            _ => {}
        }
    }

    /// `last_value` in a select list is the column of a sequence, or the window function: what follows tells.
    /// Anywhere else (a sort key, an alias) it is the function's result.
    fn last_value(&mut self, before: Seen) -> Seen {
        if !matches!(before, Seen::Query | Seen::Symbol | Seen::Dot) {
            return Seen::Name;
        }
        self.behind_window = self.expect;
        self.expect = Expect::Window;
        Seen::LastValue
    }

    /// A `(`: what stands before it may be called. (A label may not: what it has in parentheses are columns.)
    #[inline]
    pub(super) fn open(&mut self, before: Seen, name: Name) {
        if before == Seen::Name {
            let class = G::FUNCTIONS.class(self.text, name.start, name.end);
            if class != StatementClass::Read {
                self.raise(class);
            }
        }
        if self.expect != Expect::Rest {
            self.open_before_verb(before);
        }
        self.depth += 1;
    }

    /// A `.`: what stands before it may be the schema of temporary relations.
    #[inline]
    pub(super) fn qualifier(&mut self, before: Seen, name: Name) {
        if !G::MYSQL && before == Seen::Name && name.end - name.start >= 7 {
            self.schema(name);
        }
    }

    fn schema(&mut self, name: Name) {
        // Or pg_temp_3, as catalogs spell it.
        let begin = self.word(name.start, name.end).first_chunk::<7>();
        if begin.is_some_and(|name| name.eq_ignore_ascii_case(b"pg_temp")) {
            self.raise(Session);
        }
    }

    /// A quoted name: no keyword, but it can be that of a system view.
    #[inline]
    pub(super) fn quoted(&mut self, name: Name) {
        if let Some(word) = G::KEYWORDS.get(self.text, name.start, name.end)
            && self.is_whole(name)
        {
            self.relation(word);
        }
    }

    /// Whether a quoted name is closed: with more text, one that is not is another one.
    pub(super) const fn is_whole(&self, name: Name) -> bool {
        name.end < self.text.len()
    }

    /// Raises what reading a system view means; any other word means nothing here.
    pub(super) fn relation(&mut self, word: Seen) {
        match word {
            Seen::NodeRelation => self.raise(Write),
            Seen::ConnectionRelation => self.raise(Session),
            _ => {}
        }
    }

    /// MySQL's variables, and what else is neither word nor punctuation.
    pub(super) fn variable(&mut self, token: Token) -> Seen {
        match token.kind {
            Kind::Literal => return Seen::Literal,
            Kind::At if !self.is_host(token.start) => self.raise(Session),
            Kind::SystemVariable => {
                let name = self.word(token.start, token.end);
                self.raise(if is_connection_variable(name) { Session } else { Write });
            }
            _ => {}
        }
        Seen::Symbol
    }

    /// Whether the `@` at `at` is that of an account, as in `root@localhost` and `'root'@'%'`, and no variable.
    fn is_host(&self, at: usize) -> bool {
        let touches = at
            .checked_sub(1)
            .and_then(|at| self.text.get(at))
            .is_some_and(|byte| super::bytes::in_word(*byte) || matches!(byte, b'\'' | b'"' | b'`'));
        touches && matches!(self.verb, Verb::Create | Verb::Drop | Verb::Account)
    }
}
