//! SQL text into [`StatementClass`]: may a replica answer it?
//!
//! An adapter knows most statements by their type (Diesel's query, SeaORM's statement). What is left is text:
//! raw queries, and selects whose locks and `WITH` clauses the types hide. [`classify`] reads such text once,
//! from left to right, without allocating.
//!
//! # The rule
//!
//! A statement is a [`Read`](StatementClass::Read) only when its first word is a read **and** nothing behind it
//! is known to be otherwise. Everything that is unknown, cut short or ambiguous is a
//! [`Write`](StatementClass::Write), which the primary answers correctly whatever it is.
//!
//! Seen from the text's end this means that evidence is never withdrawn: text appended behind white space can
//! move a whole statement up (`Read` < `Write` < `Session`) and never down. Only text that is not whole yet (no
//! verb has come, a quote or a parenthesis is open), and therefore counts as a `Write`, may become a read.
//!
//! | what | class |
//! |---|---|
//! | `SELECT`, `VALUES`, `TABLE`, `WITH … SELECT`, `SHOW`, `DESCRIBE`, `EXPLAIN` of those | `Read` |
//! | `FOR UPDATE/SHARE/…`, `LOCK IN SHARE MODE`, `INTO`, a data-modifying `WITH`, a second statement | `Write` |
//! | `EXPLAIN` of anything else, with or without `ANALYZE` | as the statement |
//! | `SET` (also `LOCAL`), `LISTEN`, transactions, cursors, prepared statements, temporary tables | `Session` |
//! | advisory locks, `set_config`, `currval`, `LAST_INSERT_ID()`, MySQL's `@variables` | `Session` |
//! | what describes a server (`pg_is_in_recovery()`, `pg_stat_activity`, `@@hostname`) | `Write`: code written for one database means the primary |
//!
//! # Where the line is drawn
//!
//! - **Locks and settings of a transaction** (`pg_advisory_xact_lock`, `SELECT … FOR UPDATE`) are writes: the
//!   transaction they need is pinned already. `SET LOCAL` is `Session` all the same, as outside of a transaction
//!   nobody can tell what its author meant.
//! - **What this connection did** (`LAST_INSERT_ID()`, `lastval()`, `SHOW WARNINGS`, `pg_backend_pid()`) is
//!   `Session`; **what a server is** (`SHOW transaction_read_only`, `pg_locks`, `SHOW PROCESSLIST`, `@@hostname`)
//!   is `Write`.
//! - **The body of a stored routine** runs later and elsewhere: what it does to its session is not held against
//!   `CREATE`.
//! - **MySQL's code comments** (`/*! … */`) are read as code *and* make a statement a `Write`, since servers
//!   differ in whether they run them; only modifiers such as `SQL_NO_CACHE` may stand there freely. Planner hints
//!   (`/*+ … */`) are comments.
//! - **Names are matched as whole words, in any case, quoted or not**, and where a keyword cannot stand (behind a
//!   dot, behind `AS`) every word is a name: `SELECT t.update, x AS into` is a read.
//!
//! # What the text cannot say
//!
//! - A **user function** may do anything. It is taken for a read, because a read-only server refuses nearly
//!   every write before anything happens; the listed functions are those it would silently run.
//! - `SELECT * FROM my_sequence` looks like a table. `SELECT last_value …` is caught.
//! - `DO` and `CALL` are writes; what they do to the session is not visible.
//! - `standard_conforming_strings = off` and `NO_BACKSLASH_ESCAPES` change where a string ends. A string whose
//!   end depends on them (a backslash before a quote) is a `Write`, with one exception: PostgreSQL's `'\'`, as in
//!   `ESCAPE '\'`. Who switches the former off must not write that literal. Values that are bound instead of
//!   written into the text never have this problem.
//! - `ANSI_QUOTES` is no problem: `"…"` is skipped either way, and counts as a name before `(`.
//!
//! # Hints
//!
//! A block comment outside of quotes that holds `rr:primary`, `rr:replica` or `rr:session` and nothing else is a
//! [`Hint`]: `/* rr:primary */`. Line comments are not read for hints, since ORMs and log tools like to
//! append or join lines. An unknown `rr:` word counts as `rr:primary`; of several hints the most
//! restrictive counts. A hint never changes the class: only the caller may decide that "replica" is a promise
//! it believes.

mod atomic;
mod bytes;
mod calls;
mod clauses;
mod comments;
mod ending;
mod functions;
mod grammar;
mod keywords;
mod lexer;
mod mysql;
mod names;
mod operation;
mod postgres;
#[cfg(test)]
mod properties;
mod statement;
mod verb;
mod why;

use std::fmt;

use crate::consistency::Consistency;
use crate::engine::Engine;

pub use atomic::is_atomic;
pub(crate) use calls::asks_for_lock;
pub use calls::calls_unknown;
pub use ending::may_end_transaction;
pub use operation::operation;
pub(crate) use operation::up_to_values;
pub use why::{Why, why};

/// Whose rules of quoting and whose statements a text follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// PostgreSQL. SQLite is read like it too: its quotes and verbs are close enough, and its own verbs
    /// (`PRAGMA`, `ATTACH`) and functions (`last_insert_rowid()`) are known; `[name]` and backticks are not.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
}

impl From<Engine> for Dialect {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Postgres | Engine::Sqlite => Self::Postgres,
            Engine::MySql | Engine::MariaDb => Self::MySql,
        }
    }
}

/// What a statement needs, ordered by how much it restricts where it may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StatementClass {
    /// A replica that is fresh enough may answer.
    Read,
    /// The primary must run it.
    Write,
    /// It leaves or uses state of its connection: the primary must run it, and the handle must stay on that
    /// connection from now on.
    Session,
}

impl StatementClass {
    /// The name used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for StatementClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a comment in the statement asks for, ordered like [`StatementClass`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// `/* rr:replica */`: the author knows that a replica will do.
    Replica,
    /// `/* rr:primary */`: run it on the primary, whatever it is.
    Primary,
    /// `/* rr:session */`: keep the handle on one primary connection.
    Session,
}

impl Hint {
    /// The name used in the comment, in metrics and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replica => "replica",
            Self::Primary => "primary",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All that one pass over a text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Classified {
    /// What the statement is, hints left aside.
    pub class: StatementClass,
    /// The most restrictive hint in it.
    pub hint: Option<Hint>,
    /// The level that `/* rr:consistency=bounded(2s) */` asks for. Where comments ask for different ones, the hint is
    /// [`Hint::Primary`].
    pub level: Option<Consistency>,
    /// It is known to [call functions that may write](calls_unknown). Not looked for by [`scan`].
    pub calls_unknown: bool,
    /// It is known to [ask for a lock](Self::asks_for_lock). Not looked for by [`scan`].
    locks: bool,
    /// What [`scan`] does not look for has been looked for.
    looked: bool,
}

impl Classified {
    /// A statement known without its text, for adapters that have the ORM's typed operation.
    #[must_use]
    pub const fn new(class: StatementClass, hint: Option<Hint>) -> Self {
        Self { class, hint, level: None, calls_unknown: false, locks: false, looked: false }
    }

    /// Whether this statement may be a write where nobody refuses to write, on the primary: because it is no read by its
    /// text `sql`, or is one that calls functions which may write.
    #[must_use]
    pub fn may_write(&self, sql: &str) -> bool {
        self.class != StatementClass::Read || self.calls_unknown || (!self.looked && calls_unknown(sql))
    }

    /// Whether this statement, whose text is `sql`, asks for an advisory lock. A replica hands it out as any server does, and it keeps
    /// out nobody who asks the primary for it.
    ///
    /// ```
    /// use rr_core::sql::{Dialect, scan};
    ///
    /// let asks = |sql| scan(sql, Dialect::Postgres).asks_for_lock(sql);
    /// assert!(asks("SELECT pg_try_advisory_xact_lock(7)"));
    /// assert!(!asks("SELECT 'pg_advisory_lock'"));
    /// ```
    #[must_use]
    pub fn asks_for_lock(&self, sql: &str) -> bool {
        self.class != StatementClass::Read && (self.locks || (!self.looked && asks_for_lock(sql)))
    }

    /// With what [`scan`] does not look for, so that nobody looks for it again.
    pub(crate) fn looked_at(self, sql: &str) -> Self {
        let calls_unknown = self.class == StatementClass::Read && calls_unknown(sql);
        Self { calls_unknown, locks: self.asks_for_lock(sql), looked: true, ..self }
    }

    /// What the statement does to the session that it runs in: the hint `rr:session` knows more than the text shows.
    #[must_use]
    pub fn effect(&self) -> StatementClass {
        if self.hint == Some(Hint::Session) { StatementClass::Session } else { self.class }
    }
}

/// Says what `sql` is. Never panics, takes linear time, allocates nothing.
///
/// ```
/// use rr_core::sql::{Dialect, StatementClass, classify};
///
/// let class = |sql| classify(sql, Dialect::Postgres);
/// assert_eq!(class("SELECT * FROM users"), StatementClass::Read);
/// assert_eq!(class("SELECT * FROM users FOR UPDATE"), StatementClass::Write);
/// assert_eq!(class("WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone"), StatementClass::Write);
/// assert_eq!(class("SET search_path = audit"), StatementClass::Session);
/// ```
#[must_use]
pub fn classify(sql: &str, dialect: Dialect) -> StatementClass {
    scan(sql, dialect).class
}

/// Says what `sql` is and which hint it carries; otherwise like [`classify`].
///
/// ```
/// use rr_core::sql::{Dialect, Hint, StatementClass, scan};
///
/// let found = scan("SELECT balance FROM accounts /* rr:primary */", Dialect::Postgres);
/// assert_eq!(found.class, StatementClass::Read);
/// assert_eq!(found.hint, Some(Hint::Primary));
/// ```
#[must_use]
pub fn scan(sql: &str, dialect: Dialect) -> Classified {
    outcome(sql, dialect).classified()
}

fn outcome(sql: &str, dialect: Dialect) -> statement::Outcome {
    match dialect {
        Dialect::Postgres => statement::Scan::<postgres::Postgres>::new(sql.as_bytes()).run(),
        Dialect::MySql => statement::Scan::<mysql::MySql>::new(sql.as_bytes()).run(),
    }
}
