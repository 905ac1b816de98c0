//! The properties on mutations of what is real. `make fuzz` asks for many more cases than a test run has time for.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};
use rr_core::TokenError;
use rr_core::engine::Engine;
use rr_core::position::Position;
use rr_core::sql::{Dialect, StatementClass, classify};
use rr_properties::mutate::{mutated, relisted};
use rr_properties::seeds::{self, CONFIGS, POSITIONS, Statement, URLS};
use rr_properties::{parser, statements, texts, tokens};

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

fn positions_nearly() -> impl Strategy<Value = Text> {
    prop_oneof![
        1 => of_seeds(POSITIONS),
        2 => numbers().prop_map(|numbers| Text(relisted(POSITIONS, &numbers))),
    ]
}

/// What is printed again is only what was read.
#[test]
fn changed_positions_are_positions() {
    let mut runner =
        TestRunner::new(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() });
    let mut draw = || positions_nearly().new_tree(&mut runner).expect("a tree of numbers").current().0;
    let texts: Vec<String> = (0..CASES).map(|_| draw()).collect();
    for (engine, least) in [(Engine::Postgres, 5), (Engine::MySql, 5), (Engine::MariaDb, 5)] {
        let read = texts.iter().filter(|text| Position::parse(engine, text).is_ok()).count();
        let read = 100 * read / texts.len();
        assert!(read >= least, "{read} % are positions of {engine}");
    }
}

/// A token and what is done to it.
fn damage() -> impl Strategy<Value = Vec<u32>> {
    vec(any::<u32>(), 2..5)
}

#[test]
fn genuine_tokens_say_what_was_signed() {
    for genuine in &*tokens::GENUINE {
        assert_eq!(tokens::open(genuine.token.as_str()), genuine.says);
        tokens::only_what_was_signed(genuine.token.as_str());
    }
}

/// Another version of this program may say more in a token, and what it said is not to be overlooked.
#[test]
fn a_token_is_read_as_a_whole_or_refused() {
    for genuine in &*tokens::GENUINE {
        let body = tokens::body(genuine);
        assert!(tokens::signed_body(&body).is_some(), "{genuine:?}");
        for end in 0..body.len() {
            assert_eq!(tokens::signed_body(&body[..end]), None, "{end} bytes of {genuine:?}");
        }
        assert_eq!(tokens::signed_body(&[&body[..], &[0]].concat()), None, "a byte more than {genuine:?}");
        for flag in [64, 128] {
            let unknown = [&[body[0] | flag], &body[1..]].concat();
            assert_eq!(tokens::signed_body(&unknown), None, "flag {flag} of {genuine:?}");
        }
        // A lifetime of 2^64 + 1 and of 2^63 + 1 seconds, behind flags, cluster and time of issue.
        for (top, fits) in [(2, false), (1, true)] {
            let lifetime = [&[0x81][..], &[0x80; 8], &[top]].concat();
            let body = [&[body[0] & !(4 | 8)], &body[1..14], &lifetime].concat();
            assert_eq!(tokens::signed_body(&body).is_some(), fits, "{genuine:?}");
        }
    }
}

/// A property of damaged tokens holds of whatever is refused before the check that it is about.
#[test]
fn damage_reaches_every_check() {
    let mut runner =
        TestRunner::new(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() });
    let mut draw = || damage().new_tree(&mut runner).expect("a tree of numbers").current();
    let drawn: Vec<Vec<u32>> = (0..CASES).map(|_| draw()).collect();
    let texts: Vec<String> = drawn.iter().map(|numbers| tokens::damaged_genuine(numbers)).collect();
    let share = |of: &dyn Fn(&TokenError) -> bool| {
        let refused = texts.iter().filter(|text| tokens::open(text).is_err_and(|error| of(&error)));
        100 * refused.count() / texts.len()
    };
    let first = share(&|error| matches!(error, TokenError::Malformed | TokenError::TooLong { .. }));
    let forged = share(&|error| *error == TokenError::Forged);
    let key = share(&|error| *error == TokenError::UnknownKey);
    let version = share(&|error| matches!(error, TokenError::Version(_)));
    let signed = drawn.iter().filter(|numbers| tokens::damaged_and_signed(numbers).is_some()).count();
    let signed = 100 * signed / drawn.len();
    assert!(first <= 50, "{first} % are no tokens at first sight");
    assert!(forged >= 30, "the signature of {forged} % is compared");
    assert!(key >= 3, "the key of {key} % is another one");
    assert!(version >= 5, "the version of {version} % is another one");
    assert!((20..=80).contains(&signed), "once it is signed {signed} % of the damage is read");
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
    fn positions(text in positions_nearly()) {
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
        tokens::only_what_was_signed(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn damaged_tokens(numbers in damage()) {
        tokens::only_what_was_signed(&tokens::damaged_genuine(&numbers));
    }

    #[test]
    fn damaged_tokens_that_are_signed(numbers in damage()) {
        tokens::damaged_and_signed(&numbers);
    }

    #[test]
    fn signed_bodies(bytes in vec(any::<u8>(), 0..90)) {
        tokens::signed_body(&bytes);
    }

    /// All that comes before the positions as it should be, and numbers that are mostly small: many of these are read.
    #[test]
    fn signed_bodies_that_are_nearly_right(
        flags in 0..64_u8,
        cluster_and_time in any::<[u8; 13]>(),
        rest in vec(prop_oneof![4 => 0..3_u8, 1 => any::<u8>()], 0..16),
    ) {
        tokens::signed_body(&[&[flags], &cluster_and_time[..], &rest].concat());
    }

    #[test]
    fn signed_tokens(
        points in vec((1..6_u32, any::<u64>()), 0..5),
        seconds in any::<u32>(),
        flags in any::<u8>(),
        edits in vec(any::<u32>(), 1..4),
    ) {
        tokens::signed_token(&points, seconds, flags, &edits);
    }
}
