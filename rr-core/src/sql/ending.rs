//! Which texts may end the transaction that they run in.

use super::StatementClass;
use super::lexer::{Kind, Lexer};
use super::postgres::Postgres;

/// Whether `sql` may end the transaction that it runs in, by hand: whatever was written in it is committed then or gone, and what
/// comes behind it commits by itself.
///
/// It errs on one side: any such word counts, wherever it stands outside of quotes and comments, and text that leaves room for
/// doubt does as well. To be asked of [session statements](StatementClass::Session); `CASE … END` is for others.
///
/// ```
/// use rr_core::sql::may_end_transaction;
///
/// assert!(may_end_transaction("INSERT INTO notes (text) VALUES ('a'); COMMIT"));
/// assert!(!may_end_transaction("ROLLBACK TO SAVEPOINT a"));
/// assert!(!may_end_transaction("SET application_name = 'commit'"));
/// ```
#[must_use]
pub fn may_end_transaction(sql: &str) -> bool {
    let mut lexer = Lexer::<Postgres>::new(sql.as_bytes());
    // Behind `ROLLBACK` or `ROLLBACK WORK`: only `TO` makes it one to a savepoint.
    let (mut at, mut before, mut rolls_back) = (0, "", false);
    while let Some(token) = lexer.token(at) {
        at = token.next;
        let word = sql.get(token.start..token.end).filter(|_| token.kind == Kind::Word).unwrap_or_default();
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        let follows = |other: &str| before.eq_ignore_ascii_case(other);
        if rolls_back && (is("WORK") || is("TRANSACTION")) {
            continue;
        }
        let ends = (rolls_back && !is("TO"))
            || is("ABORT")
            || is("END")
            || (is("COMMIT") && !follows("ON"))
            || (is("TRANSACTION") && follows("PREPARE"));
        if ends {
            return true;
        }
        rolls_back = is("ROLLBACK");
        before = word;
    }
    rolls_back || lexer.evidence != StatementClass::Read || lexer.is_open()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_transaction_is_noticed() {
        for sql in [
            "COMMIT",
            "/* ours */ commit and chain",
            "END WORK",
            "abort",
            "ROLLBACK",
            "ROLLBACK WORK;",
            "rollback transaction and chain",
            "ROLLBACK; SELECT 1",
            "ROLLBACK TO a; ROLLBACK",
            "ROLLBACK TO a; COMMIT",
            "PREPARE TRANSACTION 'a'",
            "SET LOCAL search_path = a; COMMIT",
            "SET application_name = 'open; ",
            "SET application_name = '\\'; COMMIT; --'",
        ] {
            assert!(may_end_transaction(sql), "{sql}");
        }
    }

    #[test]
    fn what_it_leaves_open_is_not() {
        for sql in [
            "",
            "SAVEPOINT a",
            "RELEASE SAVEPOINT a",
            "ROLLBACK TO a",
            "ROLLBACK WORK TO SAVEPOINT a; INSERT INTO t VALUES (1)",
            "SET LOCAL search_path = 'commit'",
            "LISTEN \"end\" -- COMMIT",
            "CREATE TEMPORARY TABLE t (a text) ON COMMIT DROP",
            "PREPARE p AS SELECT 1",
        ] {
            assert!(!may_end_transaction(sql), "{sql}");
        }
    }
}
