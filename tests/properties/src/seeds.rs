//! What is real: the statements of `tests/spec/sql`, and texts of everything else that is parsed.

use std::fs;
use std::path::Path;

use rr_core::sql::Dialect;
use serde::Deserialize;

/// A statement and whose it is.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its text.
    pub sql: String,
    /// Whose rules it follows; rows for both are there twice.
    pub dialect: Dialect,
}

/// What is needed of a table; `tests/tests/suite/sql_spec.rs` reads all of it.
#[derive(Deserialize)]
struct Table {
    dialect: Option<String>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    sql: String,
    dialect: Option<String>,
}

/// Every row of the tables.
///
/// # Errors
/// When the tables cannot be read.
pub fn statements() -> Result<Vec<Statement>, Box<dyn std::error::Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/sql"))? {
        let table: Table = toml::from_str(&fs::read_to_string(entry?.path())?)?;
        for row in table.rows {
            let dialects: &[Dialect] =
                match row.dialect.as_ref().or(table.dialect.as_ref()).map(String::as_str) {
                    Some("postgres") => &[Dialect::Postgres],
                    Some("mysql") => &[Dialect::MySql],
                    _ => &[Dialect::Postgres, Dialect::MySql],
                };
            found
                .extend(dialects.iter().map(|dialect| Statement { sql: row.sql.clone(), dialect: *dialect }));
        }
    }
    Ok(found)
}

/// Positions of all engines, and their parts.
pub const POSITIONS: &[&str] = &[
    "0/0",
    "16/B374D848",
    "FFFFFFFF/FFFFFFFF",
    "1:0/2000",
    "1:0/1A2B,2:0/30",
    "4294967295:FFFFFFFF/1",
    "000000010000000000000001",
    "0000000A00000001000000FF",
    "3E11FA47-71CA-11E1-9E33-C80AA9429562:23",
    "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:11:47-49",
    "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3,\n24da1677-0000-0000-0000-000000000001:tag:1-9:other:7",
    "0-1-100",
    "0-1-100,4294967295-2-18446744073709551615",
    "eventual",
    "bounded(2s)",
    "read-after-write",
];

/// URLs of databases.
pub const URLS: &[&str] = &[
    "postgres://app@db-1/shop",
    "postgresql://app:p%40ss@[::1]:5433/shop?sslmode=verify-full&application_name=a",
    "postgres://app:pw@db-1,db-2:5432/shop?target_session_attrs=any",
    "postgres:///shop?host=/run/postgresql&port=5433&user=app&password=x",
    "mysql://root:a:b@db/x?ssl-mode=REQUIRED",
    "mariadb://db",
    "sqlite::memory:",
    "sqlite:///var/lib/x.db?mode=ro",
    "postgres://%2Frun%2Fpostgresql/shop",
];

/// Configurations as TOML and as JSON.
pub const CONFIGS: &[&str] = &[
    "[primary]\nurl = \"postgres://app@db-1/shop\"\n[[replicas]]\nurl = \"postgres://app@db-2/shop\"\nname = \"r\"\nweight = 2\nregion = \"eu\"\n",
    "[primary]\nurl = \"postgres://a@b/c\"\n[policy]\nconsistency = \"bounded(2s)\"\nstrategy = \"least-lag\"\ncausal_wait = \"50ms\"\nmax_lag = \"5s\"\n[pool.primary]\nmax = 10\n[pool.replica]\nmax = 4\nmin = 1\n",
    "[primary]\nurl = \"mysql://a:b@c/d\"\n[failover]\nmode = \"automatic\"\n[health]\ninterval = \"250ms\"\ntimeout = \"1s\"\n[tokens]\nkeys = [\"of-at-least-thirty-two-characters\"]\n",
    "{\"primary\":{\"url\":\"postgres://a@b/c\"},\"replicas\":[{\"url\":\"postgres://a@d/c\",\"weight\":0}],\"discovery\":{\"kind\":\"dns\"}}",
];
