//! Behind the verb: the words, calls and names that make a statement more than its verb says.

use super::StatementClass::{self, Session, Write};
use super::grammar::Grammar;
use super::keywords::Keyword;
use super::lexer::{Kind, Token};
use super::mysql::is_connection_variable;
use super::statement::{Before, Expect, Name, Scan, Verb};

impl<G: Grammar> Scan<'_, G> {
    /// A bare word that is a keyword, unless it stands where any name may. Says what it means there.
    pub(super) fn listed(&mut self, keyword: Keyword, before: Before) -> Keyword {
        self.relation(keyword);
        if keyword == Keyword::LastValue {
            return self.last_value(before);
        }
        // A column is called anything behind a dot, and so is a label behind AS.
        if before.kind == Kind::Dot || before.keyword == Keyword::As {
            return Keyword::None;
        }
        match self.expect {
            Expect::MainVerb { depth } if keyword == Keyword::Query && depth == self.depth => {
                self.expect = Expect::Rest;
            }
            _ => self.clause(keyword, before),
        }
        keyword
    }

    fn clause(&mut self, keyword: Keyword, before: Before) {
        let (previous, earlier) = (before.keyword, before.earlier);
        match keyword {
            Keyword::Into => self.raise(Write),
            Keyword::Temp => {
                let created = matches!(self.verb, Verb::Create | Verb::Drop)
                    && matches!(previous, Keyword::Create | Keyword::Drop | Keyword::BeforeTemp);
                let selected = self.verb == Verb::Read
                    && (previous == Keyword::Into
                        || previous == Keyword::BeforeTemp && earlier == Keyword::Into);
                if created || selected {
                    self.raise(Session);
                }
            }
            // FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE, FOR KEY SHARE; LOCK IN SHARE MODE
            Keyword::Update | Keyword::Share if previous == Keyword::For => self.raise(Write),
            Keyword::Key if previous == Keyword::No && earlier == Keyword::For => self.raise(Write),
            Keyword::Share if previous == Keyword::Key && earlier == Keyword::For => self.raise(Write),
            Keyword::In if previous == Keyword::Lock => self.raise(Write),
            // MySQL hides nothing behind WITH but UPDATE and DELETE, and has a function INSERT().
            Keyword::Update | Keyword::Delete if self.has_with => self.raise(Write),
            Keyword::Insert if self.has_with && !G::MYSQL => self.raise(Write),
            Keyword::With if before.kind == Kind::Open => self.has_with = true,
            Keyword::CalcFoundRows => self.raise(Session),
            // NEXT VALUE FOR s, PREVIOUS VALUE FOR s
            Keyword::For if previous == Keyword::Value && earlier == Keyword::Next => self.raise(Write),
            Keyword::For if previous == Keyword::Value && earlier == Keyword::Previous => self.raise(Session),
            _ => self.clause_of_verb(keyword, previous),
        }
    }

    /// A word that only matters behind one verb.
    fn clause_of_verb(&mut self, keyword: Keyword, previous: Keyword) {
        match (self.verb, keyword) {
            (Verb::Start, Keyword::Transaction) => self.raise(Session),
            // FLUSH TABLES … WITH READ LOCK, … FOR EXPORT: locked until this connection lets go.
            (Verb::Flush, Keyword::Read) if previous == Keyword::With => self.raise(Session),
            (Verb::Flush, Keyword::Export) if previous == Keyword::For => self.raise(Session),
            (Verb::Drop, Keyword::Prepare) if previous == Keyword::Drop => self.raise(Session),
            (Verb::Create, Keyword::Routine) if self.depth == 0 && previous != Keyword::Query => {
                self.in_body = true;
            }
            (Verb::Create, Keyword::Atomic) if previous == Keyword::Begin => self.in_body = true,
            _ => {}
        }
    }

    /// `last_value` in a select list is the column of a sequence, or the window function: what follows tells.
    /// Anywhere else (a sort key, an alias) it is the function's result.
    fn last_value(&mut self, before: Before) -> Keyword {
        if before.keyword != Keyword::Query && !matches!(before.kind, Kind::Symbol | Kind::Dot) {
            return Keyword::None;
        }
        self.behind_window = self.expect;
        self.expect = Expect::Window;
        Keyword::LastValue
    }

    /// A `(`: what stands before it may be called.
    #[inline]
    pub(super) fn open(&mut self, before: Before, name: Name) {
        // An alias behind AS has columns in parentheses, not arguments.
        if before.is_name() && before.earlier != Keyword::As {
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
    pub(super) fn qualifier(&mut self, before: Before, name: Name) {
        if !G::MYSQL && before.is_name() && name.end - name.start >= 7 {
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
        if let Some(keyword) = G::KEYWORDS.get(self.text, name.start, name.end) {
            self.relation(keyword);
        }
    }

    /// Raises what reading a system view means.
    pub(super) fn relation(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::NodeRelation => self.raise(Write),
            Keyword::ConnectionRelation => self.raise(Session),
            _ => {}
        }
    }

    /// MySQL's variables; any other token says nothing.
    pub(super) fn variable(&mut self, token: Token) {
        match token.kind {
            Kind::At if !self.is_host(token.start) => self.raise(Session),
            Kind::SystemVariable => {
                let name = self.word(token.start, token.end);
                self.raise(if is_connection_variable(name) { Session } else { Write });
            }
            _ => {}
        }
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
