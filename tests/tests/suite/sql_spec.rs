//! `tests/spec/sql/*.toml`: what each kind of statement is, row by row.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rr_core::Consistency;
use rr_core::sql::{Dialect, Hint, StatementClass, scan};
use serde::Deserialize;

/// Fewer rows than this means that a table got lost.
const MINIMUM_ROWS: usize = 1100;

/// One file. `dialect` and `class` hold for every row that does not say otherwise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    dialect: Option<Server>,
    class: Option<Class>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    sql: String,
    dialect: Option<Server>,
    class: Option<Class>,
    hint: Option<Wish>,
    /// The level that a comment asks for.
    level: Option<Consistency>,
    /// The row is about upper and lower case.
    #[serde(default)]
    case_matters: bool,
    /// For the reader: why this is so, where it is not obvious.
    #[serde(rename = "why")]
    _why: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Server {
    Postgres,
    MySql,
    /// The row holds for all of them.
    Both,
}

impl Server {
    fn dialects(self) -> &'static [Dialect] {
        match self {
            Self::Postgres => &[Dialect::Postgres],
            Self::MySql => &[Dialect::MySql],
            Self::Both => &[Dialect::Postgres, Dialect::MySql],
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Class {
    Read,
    Write,
    Session,
}

impl From<Class> for StatementClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Read => Self::Read,
            Class::Write => Self::Write,
            Class::Session => Self::Session,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wish {
    Primary,
    Replica,
    Session,
}

impl From<Wish> for Hint {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Primary => Self::Primary,
            Wish::Replica => Self::Replica,
            Wish::Session => Self::Session,
        }
    }
}

fn tables() -> Vec<(PathBuf, Table)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/sql");
    let read = || -> std::io::Result<Vec<(PathBuf, String)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = fs::read_to_string(&path)?;
                files.push((path, text));
            }
        }
        files.sort();
        Ok(files)
    };
    let files = read().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let parse = |(path, text): (PathBuf, String)| {
        let table = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, table)
    };
    files.into_iter().map(parse).collect()
}

#[test]
fn every_row_is_classified_as_it_says() {
    let mut failures = Vec::new();
    let mut count = 0;
    for (path, table) in tables() {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        for (index, row) in table.rows.iter().enumerate() {
            let place = format!("{file} row {}", index + 1);
            let class = row.class.or(table.class).unwrap_or_else(|| panic!("{place}: no class"));
            let server = row.dialect.or(table.dialect).unwrap_or_else(|| panic!("{place}: no dialect"));
            let expected = (StatementClass::from(class), row.hint.map(Hint::from), row.level);
            count += 1;
            for dialect in server.dialects() {
                let found = scan(&row.sql, *dialect);
                if (found.class, found.hint, found.level) != expected {
                    failures.push(format!(
                        "{place} ({dialect:?}): expected {expected:?}, found {found:?}\n    {}",
                        row.sql
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} rows fail:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= MINIMUM_ROWS, "only {count} rows");
}

#[test]
fn no_row_is_listed_twice() {
    for (path, table) in tables() {
        let mut seen = HashSet::new();
        for row in table.rows {
            for dialect in row.dialect.or(table.dialect).unwrap().dialects() {
                assert!(seen.insert((row.sql.clone(), *dialect)), "{}: {}", path.display(), row.sql);
            }
        }
    }
}

#[test]
fn case_and_surroundings_do_not_matter() {
    for (path, table) in tables() {
        for row in table.rows {
            let mut variants = vec![
                format!("\n\t {}", row.sql),
                format!("/* a */ -- b\n{}", row.sql),
                format!("{}\n", row.sql),
            ];
            if !row.case_matters {
                variants.extend([row.sql.to_ascii_uppercase(), row.sql.to_ascii_lowercase()]);
            }
            for dialect in row.dialect.or(table.dialect).unwrap().dialects() {
                let expected = scan(&row.sql, *dialect);
                for variant in &variants {
                    assert_eq!(scan(variant, *dialect), expected, "{}: {variant}", path.display());
                }
            }
        }
    }
}
