//! Which reads may turn out to be writes on a server that takes writes.
//!
//! A function of the user's that writes is taken for a read until a replica refuses it. Where the primary runs such a text
//! first (no replica may serve, or it stands in a transaction), nobody refuses anything. What calls only functions that are
//! known to have no effect is safe from that; for everything else, [`calls_unknown`] says so.

use super::bytes::find;

/// Whether the text calls a function that is not known to be without effect, as far as can be seen: calls inside of views
/// cannot.
///
/// It errs on one side. Words in strings and comments count as well, and so does every function that is merely not listed.
///
/// ```
/// use rr_core::sql::calls_unknown;
///
/// assert!(!calls_unknown("SELECT COUNT(*) FROM users WHERE id IN (1, 2) AND lower(name) = $1"));
/// assert!(calls_unknown("SELECT charge(card) FROM orders"));
/// ```
#[must_use]
pub fn calls_unknown(sql: &str) -> bool {
    let text = sql.as_bytes();
    let mut at = 0;
    loop {
        at = find(text, at, b'(');
        if at == text.len() {
            return false;
        }
        if !is_harmless(&text[..at]) {
            return true;
        }
        at += 1;
    }
}

/// Whether the text names a function that takes a lock by name, which a replica hands out as any server does, and which keeps out
/// nobody who asks the primary for it.
///
/// It errs on one side, as [`calls_unknown`].
pub(crate) fn asks_for_lock(sql: &str) -> bool {
    let text = sql.as_bytes();
    let begins = |at: usize, name: &[u8]| {
        text[at..].get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name))
    };
    (0..text.len()).any(|at| {
        let is_first = at.checked_sub(1).is_none_or(|before| !is_part_of_word(text[before]));
        is_first && LOCKS.iter().any(|name| begins(at, name.as_bytes()))
    })
}

/// What the names of such functions begin with, in both dialects.
const LOCKS: [&str; 3] = ["pg_advisory_", "pg_try_advisory_", "get_lock"];

/// Whether a parenthesis behind this text calls nothing, or something harmless.
fn is_harmless(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    match before.last() {
        None => true,
        // A quoted name, or a comment that may stand behind a name.
        Some(b'"' | b'`' | b'/') => false,
        Some(last) if !is_part_of_word(*last) => true,
        Some(_) => {
            let start = before.iter().rposition(|byte| !is_part_of_word(*byte)).map_or(0, |at| at + 1);
            let word = &before[start..];
            HARMLESS.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(word))
        }
    }
}

/// Letters beyond ASCII may be part of a name.
const fn is_part_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// Words that a parenthesis may follow without a call, and functions without effect that nearly everybody uses.
const HARMLESS: [&str; 85] = [
    "select",
    "distinct",
    "from",
    "join",
    "lateral",
    "where",
    "and",
    "or",
    "not",
    "in",
    "any",
    "some",
    "all",
    "exists",
    "on",
    "using",
    "values",
    "as",
    "with",
    "materialized",
    "union",
    "intersect",
    "except",
    "having",
    "by",
    "over",
    "filter",
    "group",
    "when",
    "then",
    "else",
    "case",
    "between",
    "like",
    "ilike",
    "is",
    "limit",
    "offset",
    "row",
    "array",
    "rollup",
    "cube",
    "sets",
    "only",
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "lower",
    "upper",
    "length",
    "trim",
    "substring",
    "substr",
    "concat",
    "replace",
    "abs",
    "round",
    "ceil",
    "floor",
    "cast",
    "extract",
    "date_trunc",
    "date_part",
    "to_char",
    "now",
    "pg_sleep",
    "row_number",
    "rank",
    "dense_rank",
    "lag",
    "lead",
    "first_value",
    "string_agg",
    "array_agg",
    "json_agg",
    "jsonb_agg",
    "unnest",
    "generate_series",
    "varchar",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_orms_build_calls_nothing_unknown() {
        for sql in [
            r#"SELECT "user"."id" FROM "user" WHERE "user"."id" = $1 LIMIT $2"#,
            r#"SELECT COUNT(*) AS num_items FROM (SELECT "a" FROM "t" WHERE ("t"."a" IN ($1, $2))) AS "sub_query""#,
            r#"SELECT MAX("a"), count(DISTINCT b), CAST("s" AS text) FROM t GROUP BY (c) HAVING (sum (d) > 1)"#,
            r#"SELECT 1 WHERE EXISTS(SELECT 1) AND (a = ANY($1)) AND NOT (b) OR x BETWEEN (1) AND (2) AND (/*rr:primary*/ 1=1)"#,
            "",
        ] {
            assert!(!calls_unknown(sql), "{sql}");
        }
    }

    #[test]
    fn locks_are_asked_for_by_their_names() {
        for (sql, asks) in [
            ("SELECT pg_advisory_lock(1)", true),
            ("SELECT pg_catalog.PG_Try_Advisory_Xact_Lock_Shared (1, 2)", true),
            ("SELECT \"pg_advisory_xact_lock\"(1)", true),
            ("SELECT GET_LOCK('a', 1)", true),
            ("pg_advisory_", true),
            ("DELETE FROM target_lock", false),
            ("DELETE FROM my_pg_advisory_lock", false),
            ("SET LOCAL work_mem = '64MB'", false),
            ("pg_advisory", false),
            ("", false),
        ] {
            assert_eq!(asks_for_lock(sql), asks, "{sql}");
        }
    }

    #[test]
    fn every_other_call_is_unknown() {
        for sql in [
            "SELECT touch()",
            "SELECT a.touch (1)",
            "SELECT \"touch\"()",
            "SELECT touch/* now */(1)",
            "SELECT mycount(1)",
            "SELECT count_(1)",
            "SELECT größe(1)",
            "SELECT * FROM touch(1) t",
        ] {
            assert!(calls_unknown(sql), "{sql}");
        }
    }
}
