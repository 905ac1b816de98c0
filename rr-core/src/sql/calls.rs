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
            let word = last_word(before);
            let start = before.len() - word.len();
            // A schema's own function may have any name.
            if let Some(schema) = before[..start].strip_suffix(b".")
                && !last_word(schema).eq_ignore_ascii_case(b"pg_catalog")
            {
                return false;
            }
            HARMLESS.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(word))
        }
    }
}

fn last_word(text: &[u8]) -> &[u8] {
    let start = text.iter().rposition(|byte| !is_part_of_word(*byte)).map_or(0, |at| at + 1);
    &text[start..]
}

/// Letters beyond ASCII may be part of a name.
const fn is_part_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// Words that a parenthesis may follow without a call, and functions without effect that nearly everybody uses.
const HARMLESS: [&str; 204] = [
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
    "md5",
    "left",
    "right",
    "lpad",
    "rpad",
    "btrim",
    "ltrim",
    "rtrim",
    "split_part",
    "position",
    "strpos",
    "overlay",
    "reverse",
    "initcap",
    "char_length",
    "octet_length",
    "format",
    "regexp_replace",
    "regexp_match",
    "regexp_matches",
    "regexp_split_to_array",
    "to_date",
    "to_timestamp",
    "to_number",
    "age",
    "make_date",
    "make_interval",
    "clock_timestamp",
    "statement_timestamp",
    "ceiling",
    "trunc",
    "mod",
    "sign",
    "sqrt",
    "power",
    "random",
    "gen_random_uuid",
    "bool_and",
    "bool_or",
    "every",
    "stddev",
    "variance",
    "percentile_cont",
    "percentile_disc",
    "mode",
    "ntile",
    "last_value",
    "nth_value",
    "percent_rank",
    "cume_dist",
    "array_length",
    "array_position",
    "array_to_string",
    "string_to_array",
    "array_append",
    "array_remove",
    "cardinality",
    "json_build_object",
    "jsonb_build_object",
    "json_build_array",
    "jsonb_build_array",
    "json_object_agg",
    "jsonb_object_agg",
    "row_to_json",
    "to_json",
    "to_jsonb",
    "jsonb_set",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_array_length",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "jsonb_extract_path",
    "jsonb_extract_path_text",
    "encode",
    "decode",
    "to_tsvector",
    "to_tsquery",
    "plainto_tsquery",
    "phraseto_tsquery",
    "websearch_to_tsquery",
    "ts_rank",
    "ts_rank_cd",
    "ts_headline",
    "similarity",
    "word_similarity",
    "unaccent",
    "st_distance",
    "st_dwithin",
    "st_intersects",
    "st_contains",
    "st_within",
    "st_setsrid",
    "st_makepoint",
    "st_point",
    "st_transform",
    "st_asgeojson",
    "st_astext",
    "st_geomfromtext",
    "st_makeenvelope",
    "current_database",
    "current_schema",
    "current_setting",
    "current_user",
    "version",
    "pg_typeof",
    "pg_is_in_recovery",
    "inet_server_port",
    "inet_server_addr",
    "to_regclass",
    "numeric",
    "decimal",
    "char",
    "timestamp",
    "timestamptz",
    "interval",
    "bit",
    "grouping",
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
            "SELECT pg_catalog.count(*), PG_CATALOG.lower(a) FROM t",
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
            "SELECT cart.sum(1)",
            "SELECT my_pg_catalog.sum(1)",
            "SELECT \"cart\".sum(1)",
        ] {
            assert!(calls_unknown(sql), "{sql}");
        }
    }
}
