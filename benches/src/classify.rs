//! What it costs to classify a statement: short ones as ORMs write them, long ones, and hostile ones.

use std::alloc::System;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use rr_core::sql::{Dialect, StatementClass, classify};
use rr_core::time::Clock;
use stats_alloc::{Region, StatsAlloc};

use crate::Error;
use crate::report::{Report, count};

/// One measured text.
struct Case {
    name: &'static str,
    dialect: Dialect,
    sql: String,
    /// Checked first: a scanner that gives up early would be fast.
    class: StatementClass,
}

impl Case {
    fn new(name: &'static str, dialect: Dialect, sql: impl Into<String>, class: StatementClass) -> Self {
        Self { name, dialect, sql: sql.into(), class }
    }
}

/// What one case has cost.
struct Cost {
    ns: f64,
    ns_per_byte: f64,
}

/// Measures every case, prints a table, and ends with one line for machines.
pub(crate) fn run(allocator: &'static StatsAlloc<System>) -> Result<Report, Error> {
    println!("{:<34} {:>10} {:>12} {:>9}", "statement", "bytes", "ns", "ns/byte");
    let mut allocations = 0;
    let mut measure_all = |title: &str, cases: &[Case]| -> Vec<Cost> {
        println!("{title}");
        let mut costs = Vec::with_capacity(cases.len());
        for case in cases {
            assert_eq!(classify(&case.sql, case.dialect), case.class, "{}", case.name);
            let region = Region::new(allocator);
            let cost = measure(case);
            allocations += region.change().allocations;
            println!(
                "  {:<32} {:>10} {:>12.1} {:>9.3}",
                case.name,
                case.sql.len(),
                cost.ns,
                cost.ns_per_byte
            );
            costs.push(cost);
        }
        costs
    };
    let short = measure_all("short", &short_cases());
    let long = measure_all("long", &long_cases());
    let hostile = measure_all("hostile", &hostile_cases());
    let worst = |costs: &[Cost]| costs.iter().map(|cost| cost.ns_per_byte).fold(0.0, f64::max);
    let mut report = Report::default();
    report.line(
        None,
        &[
            ("classify_short_ns", short.first().map_or(f64::NAN, |cost| cost.ns), 1),
            ("classify_long_ns_per_byte", worst(&long), 3),
            ("classify_hostile_ns_per_byte", worst(&hostile), 3),
            ("allocs", count(u64::try_from(allocations)?), 0),
        ],
    );
    if allocations > 0 { Err("a classification has allocated".into()) } else { Ok(report) }
}

/// The best of many short rounds: whatever else the machine does can only add.
fn measure(case: &Case) -> Cost {
    const ROUND: Duration = Duration::from_millis(2);
    const ROUNDS: u32 = 200;
    let clock = Clock::start();
    let time = |count: u32| {
        let before = clock.now();
        for _ in 0..count {
            black_box(classify(black_box(&case.sql), case.dialect));
        }
        clock.now().since(before)
    };
    let mut count = 1_u32;
    while time(count) < ROUND && count < 1 << 24 {
        count *= 2;
    }
    let best = (0..ROUNDS).map(|_| time(count)).min().unwrap_or_default();
    let ns = best.as_secs_f64() * 1e9 / f64::from(count);
    let bytes = u32::try_from(case.sql.len()).map_or(f64::INFINITY, f64::from);
    Cost { ns, ns_per_byte: ns / bytes }
}

fn short_cases() -> Vec<Case> {
    use Dialect::{MySql, Postgres};
    use StatementClass::{Read, Session, Write};
    vec![
        Case::new("select, 48 bytes", Postgres, r#"SELECT "id", "name" FROM "users" WHERE "id" = $1"#, Read),
        Case::new("select 1", Postgres, "SELECT 1", Read),
        Case::new(
            "select as Diesel writes it",
            Postgres,
            r#"SELECT "users"."id", "users"."name", "users"."email" FROM "users" WHERE ("users"."id" = $1) LIMIT $2"#,
            Read,
        ),
        Case::new(
            "select as SeaORM writes it",
            MySql,
            "SELECT `cake`.`id`, `cake`.`name` FROM `cake` WHERE `cake`.`name` LIKE ? ORDER BY `cake`.`id` ASC LIMIT ?",
            Read,
        ),
        Case::new(
            "hand-written select",
            Postgres,
            "select u.id, u.name, count(*) from users u join orders o on o.user_id = u.id where o.paid group by 1, 2",
            Read,
        ),
        Case::new(
            "select for update",
            MySql,
            "SELECT id FROM jobs WHERE state = 1 FOR UPDATE SKIP LOCKED",
            Write,
        ),
        Case::new(
            "insert returning",
            Postgres,
            r#"INSERT INTO "users" ("name", "email") VALUES ($1, $2) RETURNING "users"."id""#,
            Write,
        ),
        Case::new("select nextval", Postgres, "SELECT nextval('users_id_seq')", Write),
        Case::new("set", Postgres, "SET search_path TO audit", Session),
    ]
}

fn long_cases() -> Vec<Case> {
    use Dialect::{MySql, Postgres};
    use StatementClass::{Read, Write};
    vec![
        Case::new("12 kB select, quoted columns", Postgres, report('"'), Read),
        Case::new("12 kB select, backticks", MySql, report('`'), Read),
        Case::new("12 kB select, bare words", Postgres, report(' '), Read),
        Case::new(
            "1 MB list of numbers",
            Postgres,
            list(1_000_000, |n| (7_919 * n % 10_000_019).to_string()),
            Read,
        ),
        Case::new("1 MB list of parameters", Postgres, list(1_000_000, |n| format!("${n}")), Read),
        Case::new(
            "1 MB list of uuids",
            Postgres,
            list(1_000_000, |n| format!("'{:032x}'", 0x9E37_79B9 * n)),
            Read,
        ),
        Case::new(
            "1 MB insert of one string",
            MySql,
            format!("INSERT INTO t VALUES ('{}')", "x".repeat(1_000_000)),
            Write,
        ),
    ]
}

/// A report as a query builder writes it: columns, joins, literals, conditions.
fn report(quote: char) -> String {
    let mut sql = String::from("SELECT ");
    let name = |name: String| if quote == ' ' { name } else { format!("{quote}{name}{quote}") };
    for n in 0..170 {
        let (table, column) = (name(format!("orders_{}", n % 7)), name(format!("column_number_{n}")));
        let _infallible = write!(sql, "{table}.{column} AS {}, ", name(format!("c{n}")));
    }
    let _infallible = write!(sql, "count(*) FROM {}", name("orders_0".to_owned()));
    for n in 1..7 {
        let table = name(format!("orders_{n}"));
        let _infallible =
            write!(sql, " LEFT JOIN {table} ON {table}.id = {}.id", name("orders_0".to_owned()));
    }
    sql.push_str(" WHERE 1 = 1");
    for n in 0..60 {
        let column = name(format!("column_number_{n}"));
        let _infallible =
            write!(sql, " AND ({column} >= {n}.5 OR lower({column}) LIKE 'some text %' OR {column} IS NULL)");
    }
    sql
}

fn list(bytes: usize, item: impl Fn(u64) -> String) -> String {
    let mut sql = String::from("SELECT * FROM t WHERE id IN (0");
    for n in 1.. {
        if sql.len() >= bytes {
            break;
        }
        sql.push_str(", ");
        sql.push_str(&item(n));
    }
    sql.push(')');
    sql
}

fn hostile_cases() -> Vec<Case> {
    use Dialect::{MySql, Postgres};
    use StatementClass::{Read, Write};
    const MB: usize = 1_000_000;
    let select = |text: String| format!("SELECT {text}");
    vec![
        Case::new(
            "1 MB nested comments",
            Postgres,
            select("/*".repeat(MB / 4) + &"*/".repeat(MB / 4) + "1"),
            Read,
        ),
        Case::new("1 MB comments never closed", Postgres, select("/*".repeat(MB / 2)), Write),
        Case::new("1 MB empty comments", MySql, select("/**/".repeat(MB / 4) + "1"), Read),
        Case::new(
            "1 MB tags never closed",
            Postgres,
            select((0..MB / 8).map(|n| format!("$t{n}$ ")).collect()),
            Write,
        ),
        Case::new("1 MB empty dollar quotes", Postgres, select("$$$$ ".repeat(MB / 5)), Read),
        Case::new("1 MB lone dollars", Postgres, select("$a ".repeat(MB / 3)), Read),
        Case::new("1 MB single quotes", Postgres, select("'' ".repeat(MB / 3)), Read),
        Case::new("1 MB backslashes and quotes", MySql, select("'\\\\' ".repeat(MB / 5)), Read),
        Case::new("1 MB open parentheses", Postgres, select("(".repeat(MB)), Write),
        Case::new("1 MB calls", Postgres, select("pg_x(1),".repeat(MB / 8) + "1"), Read),
        Case::new("1 MB keywords", MySql, select("into ".repeat(MB / 5)), Write),
        Case::new("10 MB string", Postgres, select(format!("'{}'", "a".repeat(10 * MB))), Read),
        Case::new("10 MB quotes in a string", Postgres, select(format!("'{}'", "''".repeat(5 * MB))), Read),
        Case::new("10 MB of one word", Postgres, select("a".repeat(10 * MB)), Read),
    ]
}
