//! Which texts do all or nothing: what an error leaves behind.

use super::grammar::Grammar;
use super::lexer::{Kind, Lexer, Token};
use super::mysql::MySql;
use super::postgres::Postgres;
use super::{Dialect, StatementClass};

/// Statements of which a server that answers with an error has kept nothing.
const ATOMIC: [&str; 9] =
    ["DELETE", "INSERT", "MERGE", "REPLACE", "SELECT", "TABLE", "UPDATE", "VALUES", "WITH"];

/// Whether `sql` has certainly written nothing where a server answers it with an error: it is a single statement that reads rows
/// or changes them.
///
/// All else may have committed on its way: several statements (`BEGIN; …; COMMIT; …`), procedures and blocks (`CALL`, `DO`), and
/// what commits by itself (`VACUUM`, `CREATE INDEX CONCURRENTLY`). Text that leaves room for doubt counts as such. MySQL's tables are
/// taken to be transactional.
///
/// ```
/// use rr_core::sql::{Dialect, is_atomic};
///
/// let atomic = |sql| is_atomic(sql, Dialect::Postgres);
/// assert!(atomic("INSERT INTO notes (text) VALUES ('a; b')"));
/// assert!(!atomic("INSERT INTO notes (text) VALUES ('a'); COMMIT; SELECT 1 / 0"));
/// assert!(!atomic("CALL archive()"));
/// ```
#[must_use]
pub fn is_atomic(sql: &str, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Postgres => is_one(sql, Lexer::<Postgres>::new(sql.as_bytes())),
        Dialect::MySql => is_one(sql, Lexer::<MySql>::new(sql.as_bytes())),
    }
}

fn is_one<G: Grammar>(sql: &str, mut lexer: Lexer<'_, G>) -> bool {
    let word = |token: Token| sql.get(token.start..token.end).filter(|_| token.kind == Kind::Word);
    let Some(first) = std::iter::successors(lexer.token(0), |token| lexer.token(token.next))
        .find(|token| token.kind != Kind::Open)
    else {
        return false;
    };
    if !word(first).is_some_and(|first| ATOMIC.iter().any(|atomic| atomic.eq_ignore_ascii_case(first))) {
        return false;
    }
    let (mut at, mut has_ended, mut is_second) = (first.next, false, true);
    while let Some(token) = lexer.token(at) {
        // SQLite's INSERT OR FAIL keeps the rows before the one that failed.
        let keeps = is_second && word(token).is_some_and(|word| word.eq_ignore_ascii_case("OR"));
        if keeps || (has_ended && token.kind != Kind::Semicolon) {
            return false;
        }
        has_ended |= token.kind == Kind::Semicolon;
        (at, is_second) = (token.next, false);
    }
    // A quote that servers read differently may hide a statement.
    lexer.evidence == StatementClass::Read && !lexer.is_open()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_statement_on_rows_is_atomic() {
        for sql in [
            "INSERT INTO t VALUES (1)",
            " /* rr:primary */ -- ours\n((select 1));; ",
            "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
            "update \"t;\" SET a = 'x; COMMIT', b = $$;$$ -- ; COMMIT",
            "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        ] {
            assert!(is_atomic(sql, Dialect::Postgres), "{sql}");
        }
        assert!(is_atomic("REPLACE INTO t VALUES ('it''s; one')", Dialect::MySql));
    }

    #[test]
    fn what_may_commit_on_its_way_is_not() {
        for sql in [
            "",
            ";",
            "-- INSERT",
            "BEGIN; INSERT INTO t VALUES (1); COMMIT; SELECT 1 / 0",
            "INSERT INTO t VALUES (1); COMMIT; SELECT 1 / 0",
            "INSERT INTO t VALUES (1); SELECT 1 / 0",
            "CALL p()",
            "DO $$BEGIN COMMIT; RAISE 'x'; END$$",
            "/* /* */ INSERT */ CALL p()",
            "VACUUM t",
            "CREATE INDEX CONCURRENTLY i ON t (a)",
            "COMMIT",
            "INSERT OR FAIL INTO t VALUES (1), (1)",
            "INSERT INTO t VALUES ('\\'; COMMIT; --')",
            "INSERT INTO t VALUES ('open",
            "\"INSERT\" INTO t",
        ] {
            assert!(!is_atomic(sql, Dialect::Postgres), "{sql}");
        }
        assert!(!is_atomic("INSERT INTO t VALUES (1) /*! ; COMMIT */", Dialect::MySql));
    }
}
