//! Why a text is what it is taken for: the word that decided.

use std::fmt;

use super::{Dialect, Hint, StatementClass, outcome};

/// Why a statement is taken for what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Its first word reads, and nothing behind it is known to do anything else.
    Reads,
    /// This word (a verb, a clause, a function, a relation) is what decides.
    Word {
        /// As it is written.
        word: String,
        /// Where it begins, in bytes.
        at: usize,
    },
    /// It is cut short: a quote or a parenthesis is open, or no verb has come.
    Incomplete,
    /// Its text looks like a read, and a replica has refused it once.
    Refused,
    /// A comment in it asks for that.
    Hint(Hint),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reads => f.write_str("nothing in it is known to write"),
            Self::Word { word, at } => write!(f, "`{word}` at byte {at} decides"),
            Self::Incomplete => f.write_str("its text is not whole"),
            Self::Refused => f.write_str("it looks like a read, and a replica has refused it before"),
            Self::Hint(hint) => write!(f, "its hint `rr:{hint}` decides"),
        }
    }
}

/// Why [`classify`](super::classify) says of `sql` what it says. For people: it reads the text several times.
///
/// ```
/// use rr_core::sql::{Dialect, why};
///
/// let said = |sql| why(sql, Dialect::Postgres).to_string();
/// assert_eq!(said("SELECT nextval('orders')"), "`nextval` at byte 7 decides");
/// assert_eq!(said("SELECT * FROM orders FOR UPDATE"), "`UPDATE` at byte 25 decides");
/// assert_eq!(said("SELECT * FROM orders"), "nothing in it is known to write");
/// ```
#[must_use]
pub fn why(sql: &str, dialect: Dialect) -> Why {
    let whole = outcome(sql, dialect);
    if whole.hint == Some(Hint::Session) && whole.found < StatementClass::Session {
        return Why::Hint(Hint::Session);
    }
    if whole.found == StatementClass::Read {
        return if whole.settled { Why::Reads } else { Why::Incomplete };
    }
    // Evidence is never withdrawn, so that the shortest beginning that proves as much ends with what decides.
    let ends = ends_of_words(sql);
    let first = ends.partition_point(|&end| outcome(&sql[..end], dialect).found < whole.found);
    let beginning = &sql[..ends.get(first).copied().unwrap_or(sql.len())];
    let trimmed = beginning.trim_end_matches(|c: char| !is_of_word(c));
    let at = trimmed
        .rfind(|c: char| !is_of_word(c))
        .map_or(0, |before| before + trimmed[before..].chars().next().map_or(1, char::len_utf8));
    match &trimmed[at..] {
        "" => Why::Incomplete,
        word => Why::Word { word: word.to_owned(), at },
    }
}

const fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// Where the text may be cut without cutting a word.
fn ends_of_words(sql: &str) -> Vec<usize> {
    let mut before = ' ';
    let mut ends = Vec::new();
    for (at, c) in sql.char_indices() {
        if !(is_of_word(before) && is_of_word(c)) {
            ends.push(at);
        }
        before = c;
    }
    ends.push(sql.len());
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(sql: &str, dialect: Dialect) -> String {
        match why(sql, dialect) {
            Why::Word { word, .. } => word,
            other => format!("({other})"),
        }
    }

    #[test]
    fn the_word_that_decides_is_named() {
        let pg = |sql| word(sql, Dialect::Postgres);
        for (sql, expected) in [
            ("INSERT INTO t VALUES (1)", "INSERT"),
            ("insert into t values ('select nextval(1)')", "insert"),
            ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", "DELETE"),
            ("SELECT * INTO u FROM t", "INTO"),
            ("SELECT a FROM t WHERE x = 'for update' FOR NO KEY UPDATE", "KEY"),
            ("SELECT pg_catalog.pg_advisory_lock(1)", "pg_advisory_lock"),
            ("SELECT * FROM pg_stat_activity", "pg_stat_activity"),
            ("SET search_path = audit", "SET"),
            ("EXPLAIN ANALYZE DELETE FROM t", "DELETE"),
            ("SELECT 1; SELECT 2", "SELECT"),
            ("FROBNICATE", "FROBNICATE"),
            ("SELECT \"nextval\"('s')", "nextval"),
        ] {
            assert_eq!(pg(sql), expected, "{sql}");
        }
        assert_eq!(word("SELECT LAST_INSERT_ID()", Dialect::MySql), "LAST_INSERT_ID");
        assert_eq!(why("SELECT (1", Dialect::Postgres), Why::Incomplete);
        assert_eq!(why("", Dialect::Postgres), Why::Incomplete);
        assert_eq!(why("SELECT 1 /* rr:session */", Dialect::Postgres), Why::Hint(Hint::Session));
    }
}
