//! The properties on mutations of what is real. `make fuzz` asks for many more cases than a test run has time for.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};
use rr_core::sql::{Dialect, StatementClass, classify};
use rr_properties::mutate::mutated;
use rr_properties::seeds::{self, CONFIGS, POSITIONS, Statement, URLS};
use rr_properties::{parser, statements, texts};

/// How many cases each property is tried on, always the same ones, unless `RR_TEST_FUZZ_CASES` says how many new ones.
const CASES: u32 = 4_000;

fn cases() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var("RR_TEST_FUZZ_CASES") {
        Ok(asked) => {
            ProptestConfig { cases: asked.parse().expect("RR_TEST_FUZZ_CASES is a number"), ..config }
        }
        Err(_) => ProptestConfig { cases: CASES, rng_seed: RngSeed::Fixed(1), ..config },
    }
}

static STATEMENTS: LazyLock<Vec<Statement>> = LazyLock::new(|| seeds::statements().expect("the tables"));
static POSTGRES: LazyLock<Vec<&str>> = LazyLock::new(|| of(Dialect::Postgres));
static MYSQL: LazyLock<Vec<&str>> = LazyLock::new(|| of(Dialect::MySql));

fn of(dialect: Dialect) -> Vec<&'static str> {
    STATEMENTS.iter().filter(|statement| statement.dialect == dialect).map(|s| s.sql.as_str()).collect()
}

fn numbers() -> impl Strategy<Value = Vec<u32>> {
    vec(any::<u32>(), 1..7)
}

fn seeds_of(mysql: bool) -> (&'static [&'static str], Dialect) {
    if mysql { (&MYSQL, Dialect::MySql) } else { (&POSTGRES, Dialect::Postgres) }
}

/// A text of which the shrunk numbers would tell nobody anything.
#[derive(Clone)]
struct Text(String);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn of_seeds(pool: &'static [&'static str]) -> impl Strategy<Value = Text> {
    numbers().prop_map(|numbers| Text(mutated(pool, &numbers)))
}

#[test]
fn the_tables_themselves() {
    assert!(STATEMENTS.len() > 1_100, "a table got lost");
    for statement in &*STATEMENTS {
        statements::no_write_is_a_read(&statement.sql, statement.dialect);
    }
}

/// A property that asks for the parser's opinion holds of whatever the parser does not understand.
#[test]
fn mutations_are_judged() {
    /// Percent. It is about every ninth text; when it is none, nothing is compared any more.
    const LEAST: usize = 8;
    for mysql in [false, true] {
        let (pool, dialect) = seeds_of(mysql);
        let config = ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() };
        let mut runner = TestRunner::new(config);
        let mut draw = || {
            let numbers = numbers().new_tree(&mut runner).expect("a tree of numbers").current();
            mutated(pool, &numbers)
        };
        let texts: Vec<String> = (0..CASES).map(|_| draw()).collect();
        let share =
            |of: &dyn Fn(&str) -> bool| 100 * texts.iter().filter(|text| of(text)).count() / texts.len();
        let judged = share(&|text| statements::second_opinion(text, dialect).is_some());
        assert!(judged >= LEAST, "{dialect:?}: of {judged} % the parser says what they are");
        // What is appended to is whole, or whatever came out would be in order.
        let starts =
            share(&|text| classify(text, dialect) != StatementClass::Read && parser::is_whole(text, dialect));
        assert!(starts >= LEAST, "{dialect:?}: {starts} % are whole statements that are no reads");
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_write_is_a_read(numbers in numbers(), mysql in any::<bool>()) {
        let (pool, dialect) = seeds_of(mysql);
        statements::no_write_is_a_read(&mutated(pool, &numbers), dialect);
    }

    #[test]
    fn appending_makes_no_read(start in numbers(), rest in numbers(), mysql in any::<bool>()) {
        let (pool, dialect) = seeds_of(mysql);
        statements::appending_makes_no_read(&mutated(pool, &start), &mutated(pool, &rest), dialect);
    }

    #[test]
    fn positions(text in of_seeds(POSITIONS)) {
        texts::positions(&text.0);
    }

    #[test]
    fn urls(text in of_seeds(URLS)) {
        texts::url(&text.0);
    }

    #[test]
    fn configs(text in of_seeds(CONFIGS)) {
        texts::config(&text.0);
    }

    #[test]
    fn foreign_tokens(bytes in vec(any::<u8>(), 0..512)) {
        texts::foreign_token(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn signed_bodies(bytes in vec(any::<u8>(), 0..90)) {
        texts::signed_body(&bytes);
    }

    /// All that comes before the positions as it should be, and numbers that are mostly small: many of these are read.
    #[test]
    fn signed_bodies_that_are_nearly_right(
        flags in 0..64_u8,
        cluster_and_time in any::<[u8; 13]>(),
        rest in vec(prop_oneof![4 => 0..3_u8, 1 => any::<u8>()], 0..16),
    ) {
        texts::signed_body(&[&[flags], &cluster_and_time[..], &rest].concat());
    }

    #[test]
    fn signed_tokens(
        points in vec((1..6_u32, any::<u64>()), 0..5),
        seconds in any::<u32>(),
        flags in any::<u8>(),
        damage in any::<(u8, u8)>(),
    ) {
        texts::signed_token(&points, seconds, flags, damage);
    }
}
