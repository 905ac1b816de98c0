//! What must hold for every text, not only for those in the tables.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Dialect, StatementClass, classify, outcome, scan};

/// For the promise of the module.
const MANY: u32 = 20_000;
/// For everything else.
const SOME: u32 = 4_000;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Whole tokens that both dialects read alike. Joined by anything blank they stay the same tokens.
#[rustfmt::skip]
const TOKENS: &[&str] = &[
    "SELECT", "VALUES", "TABLE", "WITH", "WITH RECURSIVE", "EXPLAIN", "ANALYZE", "VERBOSE", "SHOW", "DESC",
    "INSERT", "UPDATE", "DELETE", "MERGE", "INTO", "FROM", "SET", "BEGIN", "COMMIT", "CREATE", "TEMP",
    "TEMPORARY", "LOCAL", "DROP", "PREPARE", "START", "TRANSACTION", "FLUSH", "LOCK", "IN", "SHARE",
    "MODE", "FOR", "NO", "KEY", "AS", "MATERIALIZED", "READ", "EXPORT", "NEXT", "PREVIOUS", "VALUE",
    "FUNCTION", "ATOMIC", "SEARCH", "CYCLE", "UNION", "LISTEN", "USE", "XA", "HELP", "FORMAT", "JSON",
    "last_value", "SQL_CALC_FOUND_ROWS", "OR", "REPLACE", "nextval", "currval", "pg_advisory_lock",
    "get_lock", "last_insert_id", "set_config", "pg_temp", "pg_locks", "performance_schema",
    "information_schema", "users", "id", "x", "ünïcode", "日本語", "_a1", "(", ")", "(", ")", "(", ")", ",",
    ".", ";", "=", "*", "+", "<=", "::", "?", "1", "2.5", "1e5", "'text'", "''", "'it''s'", "\"name\"",
    "\"nextval\"", "\"a\"\"b\"", "'FOR UPDATE'",
];

/// What only one of them knows, and pieces that are no token at all.
#[rustfmt::skip]
const FRAGMENTS: &[&str] = &[
    "'", "\"", "`", "\\", "\\'", "''", "$", "$$", "$a$", "$1", "E'", "e'\\''", "U&'", "U&\"", "N'", "x'",
    "/*", "*/", "/*!", "/*!50000", "/*M!", "/*+", "/*rr:primary*/", "/* rr:replica */", "/* sql_cache */",
    "/*! sql_cache */", "sql_no_cache", "--", "-- ", "-", "#", "\n", "\r", "\t", " ", "\0", "@", "@@",
    "@x", "@@identity", "@@session.", "root@localhost", "1.", ".5", "0x1F", "1INTO", "e", "E", "\u{feff}",
    "\u{a0}", "é", "😀", "{", "}", "[", "]", ":=", "FOR UPDATE", "/**/",
];

const BLANKS: &[&str] = &[" ", "\n", "\t ", "/**/", " /* ' */ ", " -- x'\n", "\r\n", "/* FOR UPDATE */"];

fn dialects() -> impl Strategy<Value = Dialect> {
    select(vec![Dialect::Postgres, Dialect::MySql])
}

/// Anything: whole tokens, broken ones, and characters out of the blue, glued together or not.
///
/// One number per piece, because that is what makes tens of thousands of cases cheap.
fn texts() -> impl Strategy<Value = String> {
    vec(any::<u32>(), 0..24).prop_map(|pieces| {
        let mut text = String::new();
        for number in pieces {
            let [kind, glue, low, high] = number.to_le_bytes();
            let index = usize::from(u16::from_le_bytes([low, high]));
            match kind % 12 {
                0..=5 => text.push_str(TOKENS[index % TOKENS.len()]),
                6..=10 => text.push_str(FRAGMENTS[index % FRAGMENTS.len()]),
                _ => text.extend(char::from_u32(number >> 12)),
            }
            text.push_str(["", " ", " ", "\n"][usize::from(glue % 4)]);
        }
        text
    })
}

/// The same, behind a verb that reads, so that more of them get past the first word.
fn queries() -> impl Strategy<Value = String> {
    let start = select(vec![
        "",
        "SELECT ",
        "WITH x AS (SELECT 1) SELECT ",
        "EXPLAIN SELECT ",
        "(SELECT 1) ",
        "TABLE t ",
    ]);
    (start, texts()).prop_map(|(start, text)| start.to_owned() + &text)
}

fn blank_joined(tokens: &[(&str, &str)]) -> String {
    tokens.iter().fold(String::new(), |text, (token, blank)| text + token + blank)
}

proptest! {
    #![proptest_config(cases(MANY))]

    /// The promise of the module: whatever was found stays found, and a whole statement that is no read does
    /// not become one.
    #[test]
    fn more_text_never_withdraws_evidence(start in queries(), rest in texts(), dialect in dialects()) {
        let longer = format!("{start}\n{rest}");
        let (before, after) = (outcome(&start, dialect), outcome(&longer, dialect));
        prop_assert!(before.found <= after.found, "{before:?} {after:?}");
        prop_assert!(before.hint <= after.hint, "{before:?} {after:?}");
        let class = classify(&start, dialect);
        if before.settled {
            prop_assert!(class <= classify(&longer, dialect));
        } else {
            prop_assert_ne!(class, StatementClass::Read);
        }
    }

}

#[test]
fn a_quoted_name_tells_nothing_before_its_end() {
    for (start, whole) in
        [("SELECT \"pg_locks", "SELECT \"pg_locks of mine\""), ("SHOW \"time", "SHOW \"timezone\"")]
    {
        assert_eq!(outcome(start, Dialect::Postgres).found, StatementClass::Read, "{start}");
        assert_eq!(classify(start, Dialect::Postgres), StatementClass::Write, "{start}");
        assert_eq!(classify(whole, Dialect::Postgres), StatementClass::Read, "{whole}");
    }
}

proptest! {
    #![proptest_config(cases(SOME))]

    /// Every cut between two tokens, of statements whose verb has come.
    #[test]
    fn classes_only_rise_from_token_to_token(
        verb in select(vec!["SELECT 1", "INSERT INTO t VALUES", "WITH x AS (SELECT 1) SELECT", "SET x =", "SHOW TABLES"]),
        tokens in vec((select(TOKENS), select(BLANKS)), 0..30),
        dialect in dialects(),
    ) {
        let mut text = format!("{verb} ");
        let mut found = classify(&text, dialect);
        let mut depth = 0_usize;
        for (token, blank) in tokens {
            text = text + token + blank;
            match token {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
            // Inside of parentheses, or behind a `;` and EXPLAIN, the statement is not whole.
            if depth == 0 && outcome(&text, dialect).settled {
                let class = classify(&text, dialect);
                prop_assert!(found <= class, "{found} became {class}: {text}");
                found = class;
            }
        }
    }

    #[test]
    fn any_text_has_a_class(text in any::<String>(), dialect in dialects()) {
        let found = scan(&text, dialect);
        prop_assert_eq!(found.class, classify(&text, dialect));
    }

    /// Comments and white space between tokens say nothing.
    #[test]
    fn blanks_do_not_matter(tokens in vec((select(TOKENS), select(BLANKS)), 0..30), dialect in dialects()) {
        let plain: Vec<_> = tokens.iter().map(|(token, _)| (*token, " ")).collect();
        prop_assert_eq!(classify(&blank_joined(&plain), dialect), classify(&blank_joined(&tokens), dialect));
    }

    #[test]
    fn case_does_not_matter(tokens in vec((select(TOKENS), select(BLANKS)), 0..30), dialect in dialects()) {
        let text = blank_joined(&tokens);
        prop_assert_eq!(classify(&text.to_ascii_lowercase(), dialect), classify(&text.to_ascii_uppercase(), dialect));
    }

    /// No text gets out of quotes, nor hides what follows.
    #[test]
    fn quotes_and_comments_hold(text in texts(), dialect in dialects()) {
        let line = text.replace(['\n', '\r', '\0'], "");
        let comment = text.replace("*/", "").replace("/*", "").replace(['!', 'M', '\0'], "");
        let mut hidden = vec![
            format!("'{}'", text.replace('\\', "").replace('\'', "''")),
            format!("\"{}\"", text.replace('\\', "").replace('"', "\"\"")),
            format!("/* {comment} */ 1"),
            format!("-- {line}\n 1"),
        ];
        match dialect {
            Dialect::Postgres => hidden.extend([
                format!("$q${}$q$", text.replace("$q", "")),
                format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
                format!("/* /* {comment} */ {comment} */ 1"),
            ]),
            Dialect::MySql => hidden.extend([
                format!("`{}`", text.replace('`', "``")),
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
                format!("# {line}\n 1"),
            ]),
        }
        for quoted in hidden {
            // A quoted name may be that of a system view.
            let is_view = quoted.starts_with(['"', '`']) && classify(&format!("SELECT {quoted}"), dialect) != StatementClass::Read;
            let statement = format!("SELECT {quoted} FROM t");
            let expected = if is_view { StatementClass::Write } else { StatementClass::Read };
            prop_assert_eq!(classify(&statement, dialect).min(StatementClass::Write), expected, "{}", statement);
            let locking = format!("SELECT {quoted} FROM t FOR UPDATE");
            prop_assert_ne!(classify(&locking, dialect), StatementClass::Read, "{}", locking);
        }
    }
}

/// What an ordinary query is made of.
#[rustfmt::skip]
const HARMLESS: &[&str] = &[
    "a", "t.b", "\"c\"", "1", "2.5e-3", "'x'", "lower(d)", "count(*)", "(SELECT 1)", "e + f",
    "g IS NOT NULL", "CASE WHEN h THEN 1 ELSE 2 END", "replace(i, 'x', 'y')", "coalesce(j, 0) AS k",
    "substring(l FROM 1 FOR 2)", "update_count", "t.update", "1 AS total", "m IN (1, 2)",
    "CAST(n AS char)", "EXISTS (SELECT o FROM p)",
];

/// What makes a query more than a read, with its class.
fn triggers(dialect: Dialect) -> Vec<(String, StatementClass)> {
    use StatementClass::{Session, Write};
    let (functions, own): (_, &[(&str, StatementClass)]) = match dialect {
        Dialect::Postgres => (
            super::functions::POSTGRES.listed(),
            &[
                ("(SELECT 1 FOR NO KEY UPDATE)", Write),
                ("(WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x)", Write),
                ("(SELECT last_value FROM s)", Write),
                ("(SELECT 1 FROM pg_temp.x)", Session),
                ("(SELECT 1 FROM pg_stat_activity)", Write),
            ],
        ),
        Dialect::MySql => (
            super::functions::MYSQL.listed(),
            &[
                ("(SELECT 1 LOCK IN SHARE MODE)", Write),
                ("@x", Session),
                ("@@hostname", Write),
                ("@@last_insert_id", Session),
                ("/*! x */ 1", Write),
            ],
        ),
    };
    functions
        .iter()
        .filter(|(_, class)| *class != StatementClass::Read)
        .flat_map(|(name, class)| {
            [
                (format!("{name}(1)"), *class),
                (format!("\"{name}\" ( 1)"), *class),
                (format!("s . {name}/**/()"), *class),
            ]
        })
        .chain([("(SELECT 1 FOR SHARE)".to_owned(), Write), ("(SELECT 1 INTO x)".to_owned(), Write)])
        .chain(own.iter().map(|(text, class)| ((*text).to_owned(), *class)))
        .collect()
}

fn with_harmless(frames: &[&str], test: impl Fn(&str, &str, &str)) {
    for frame in frames {
        let (before, after) = frame.split_once('…').unwrap_or((frame, ""));
        for left in HARMLESS {
            for right in HARMLESS {
                test(before, &format!("{left}, …, {right}"), after);
            }
        }
    }
}

const FRAMES: &[&str] = &[
    "SELECT … FROM t",
    "SELECT DISTINCT … FROM t WHERE a > 1 ORDER BY b LIMIT 3",
    "WITH x AS (SELECT …) SELECT * FROM x",
    "WITH RECURSIVE x(a) AS (SELECT 1) SELECT …",
    "SELECT 1 UNION ALL SELECT …",
    "(SELECT …)",
    "EXPLAIN SELECT …;",
    "SELECT a FROM t WHERE (b, c) IN (SELECT …)",
];

#[test]
fn ordinary_queries_are_reads() {
    for dialect in [Dialect::Postgres, Dialect::MySql] {
        with_harmless(FRAMES, |before, list, after| {
            let sql = format!("{before}{}{after}", list.replace('…', "1"));
            assert_eq!(classify(&sql, dialect), StatementClass::Read, "{dialect:?}: {sql}");
        });
    }
}

#[test]
fn every_listed_function_and_clause_is_seen_wherever_it_stands() {
    for dialect in [Dialect::Postgres, Dialect::MySql] {
        for (trigger, class) in triggers(dialect) {
            for frame in FRAMES {
                for neighbour in HARMLESS {
                    let sql = frame.replace('…', &format!("{neighbour}, {trigger}, {neighbour}"));
                    assert_eq!(classify(&sql, dialect), class, "{dialect:?}: {sql}");
                }
            }
        }
    }
}

/// Quadratic time would show as a test that does not end.
#[test]
fn ten_megabytes_are_classified_as_ten_bytes_are() {
    let long = |unit: &str| unit.repeat(10_000_000 / unit.len());
    for dialect in [Dialect::Postgres, Dialect::MySql] {
        for (sql, class) in [
            (format!("SELECT id FROM t WHERE name = '{}'", long("x''")), StatementClass::Read),
            (format!("SELECT id FROM t WHERE id IN (0{})", long(", 1234")), StatementClass::Read),
            (format!("/*{}*/ SELECT 1", long("/**/")), StatementClass::Read),
            (format!("SELECT {} 1 FROM t FOR UPDATE", long("-- one more\n")), StatementClass::Write),
            (format!("INSERT INTO t VALUES ('{}')", long("x")), StatementClass::Write),
        ] {
            // Comments of MySQL do not nest.
            if dialect == Dialect::Postgres || !sql.starts_with("/*") {
                assert_eq!(classify(&sql, dialect), class, "{dialect:?}: {}…", &sql[..40]);
            }
        }
        for unit in ["(", "$", "$a$", "'", "/*", "as(", "é"] {
            let _class = classify(&format!("SELECT {}", long(unit)), dialect);
        }
    }
}

#[test]
fn hostile_text_is_only_long() {
    for unit in [
        "(",
        ")",
        "/*",
        "/*/",
        "*/",
        "/**/",
        "'",
        "''",
        "\\",
        "'\\",
        "\"",
        "`",
        "$",
        "$a",
        "$a$",
        "$$",
        "$a$b",
        "$$a",
        "--",
        "-- ",
        "#\n",
        "/*!",
        "/*! ",
        "/*!1 sql_cache ",
        "/*! sql_cache */",
        ";",
        "; ",
        "@",
        "@@",
        ".",
        "1.",
        "1e",
        "E'\\'",
        "E'' ",
        "U&\"",
        "a",
        "pg_",
        "pg_x(",
        "as(",
        "with(",
        "for update ",
        "last_value",
        "é",
        "\0",
        "/*rr:x*/",
    ] {
        let count = 200_000 / unit.len();
        let text = unit.repeat(count);
        let numbered: String = (0..count / 8).map(|n| format!("{unit}{n} ")).collect();
        for dialect in [Dialect::Postgres, Dialect::MySql] {
            for sql in [&text, &numbered] {
                assert_ne!(classify(sql, dialect), StatementClass::Read, "{unit}");
                let _class = classify(&format!("SELECT {sql}"), dialect);
            }
        }
    }
}
