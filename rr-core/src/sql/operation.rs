//! The first word of a statement, as one of few.

/// Words that statements begin with. Whatever is not among them is [`OTHER`].
const KNOWN: [&str; 55] = [
    "ABORT",
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DESCRIBE",
    "DETACH",
    "DISCARD",
    "DO",
    "DROP",
    "END",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "FLUSH",
    "GRANT",
    "IMPORT",
    "INSERT",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "PRAGMA",
    "PREPARE",
    "REASSIGN",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UPDATE",
    "VALUES",
    "WITH",
];

/// The operation of a text that begins with no word that is known.
const OTHER: &str = "OTHER";

/// What a text does, by its first word: for labels, where texts must not be. One of few values, in capitals.
///
/// ```
/// use rr_core::sql::operation;
///
/// assert_eq!(operation("/* of ours */ (select 1)"), "SELECT");
/// assert_eq!(operation("frobnicate 'a secret'"), "OTHER");
/// ```
#[must_use]
pub fn operation(sql: &str) -> &'static str {
    let text = behind_blanks(sql);
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let word = &text[..end];
    KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(word)).unwrap_or(OTHER)
}

/// A text up to the first value that is written into it: that may be a secret.
pub(crate) fn up_to_values(sql: &str) -> &str {
    let mut before = ' ';
    let end = sql.find(|c: char| {
        let in_name = before.is_alphanumeric() || before == '_';
        before = c;
        matches!(c, '\'' | '"' | '$') || c.is_ascii_digit() && !in_name
    });
    &sql[..end.unwrap_or(sql.len())]
}

/// The text behind white space, comments and opening parentheses.
fn behind_blanks(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(' || c == ';');
        let rest = if let Some(comment) = text.strip_prefix("--") {
            comment.split_once('\n').map(|(_, rest)| rest)
        } else if let Some(comment) = text.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, rest)| rest)
        } else {
            return text;
        };
        text = rest.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_left_out() {
        assert_eq!(up_to_values("SELECT f2(t1.a) WHERE x = 'secret'"), "SELECT f2(t1.a) WHERE x = ");
        assert_eq!(up_to_values("SELECT f(4111)"), "SELECT f(");
        assert_eq!(up_to_values("SELECT f($1, $$x$$)"), "SELECT f(");
        assert_eq!(up_to_values("SELECT f()"), "SELECT f()");
    }

    #[test]
    fn the_first_word_counts_and_nothing_else_gets_out() {
        for (sql, expected) in [
            ("SELECT 1", "SELECT"),
            ("  \n-- hello\n(( with x as (select 1) select 2", "WITH"),
            ("/* rr:primary */ Insert into t values ('x')", "INSERT"),
            ("selection", OTHER),
            ("", OTHER),
            ("/* open", OTHER),
            ("'SELECT'", OTHER),
            ("é", OTHER),
        ] {
            assert_eq!(operation(sql), expected, "{sql}");
        }
    }
}
