//! A second opinion: what a real SQL parser says that a statement does.

use std::ops::ControlFlow;

use rr_core::sql::Dialect;
use sqlparser::ast::{
    Expr, Function, ObjectName, Query, Select, SelectItem, SetExpr, Statement, TableFactor, Visit, Visitor,
};
use sqlparser::dialect::{MySqlDialect, PostgreSqlDialect};
use sqlparser::parser::Parser;

/// The statements of a text; `None` when the parser does not understand it.
#[must_use]
pub fn parse(sql: &str, dialect: Dialect) -> Option<Vec<Statement>> {
    if dialect == Dialect::Postgres && tag_of_digits(sql) {
        return None;
    }
    match dialect {
        Dialect::MySql => Parser::parse_sql(&MySqlDialect {}, sql),
        _ => Parser::parse_sql(&PostgreSqlDialect {}, sql),
    }
    .ok()
}

/// The parser takes `$1$` for the beginning of a string. The server refuses that.
fn tag_of_digits(sql: &str) -> bool {
    let mut pieces = sql.split('$').skip(1).peekable();
    while let Some(piece) = pieces.next() {
        if piece.starts_with(|c: char| c.is_ascii_digit()) && pieces.peek().is_some() {
            return true;
        }
    }
    false
}

/// Whether a text is statements to their end. The parser also takes `SHOW` before anything or nothing for one, `EXPLAIN` before
/// any word, even one that is reserved, and an `ANALYZE` of nothing: these prove nothing.
#[must_use]
pub fn is_whole(sql: &str, dialect: Dialect) -> bool {
    fn none(statement: &Statement) -> bool {
        match statement {
            Statement::Explain { statement, .. } => none(statement),
            Statement::ShowVariable { .. } | Statement::ExplainTable { .. } | Statement::Analyze(_) => true,
            _ => false,
        }
    }
    parse(sql, dialect).is_some_and(|statements| statements.last().is_some_and(|last| !none(last)))
}

/// Why these statements are no read, if they are none.
#[must_use]
pub fn more_than_a_read(statements: &[Statement], dialect: Dialect) -> Option<String> {
    statements.iter().find_map(|statement| more(statement, dialect))
}

fn more(statement: &Statement, dialect: Dialect) -> Option<String> {
    if let Statement::Explain { analyze, options, statement, .. } = statement {
        let named = |name: &str| name.eq_ignore_ascii_case("analyze");
        let runs = *analyze || options.iter().flatten().any(|option| named(&option.name.value));
        // No server explains ANALYZE.
        let runs = runs && !matches!(**statement, Statement::Analyze(_));
        return if runs { more(statement, dialect) } else { None };
    }
    if let Statement::Query(query) = statement
        && let Some(main) = writes(query)
    {
        return Some(verb(main));
    }
    if !is_read(statement) {
        return Some(verb(statement));
    }
    match statement.visit(&mut Finder { dialect }) {
        ControlFlow::Break(why) => Some(why),
        ControlFlow::Continue(()) => None,
    }
}

/// Statements that change nothing by themselves.
fn is_read(statement: &Statement) -> bool {
    use Statement as S;
    matches!(
        statement,
        S::Query(_)
            | S::Explain { .. }
            | S::ExplainTable { .. }
            | S::ShowFunctions { .. }
            | S::ShowVariable { .. }
            | S::ShowStatus { .. }
            | S::ShowVariables { .. }
            | S::ShowCreate { .. }
            | S::ShowColumns { .. }
            | S::ShowDatabases { .. }
            | S::ShowProcessList { .. }
            | S::ShowSchemas { .. }
            | S::ShowCharset(_)
            | S::ShowTables { .. }
            | S::ShowViews { .. }
            | S::ShowCollation { .. }
    )
}

fn writes(query: &Query) -> Option<&Statement> {
    match &*query.body {
        SetExpr::Insert(write) | SetExpr::Update(write) | SetExpr::Delete(write) | SetExpr::Merge(write) => {
            Some(write)
        }
        _ => None,
    }
}

fn verb(statement: &Statement) -> String {
    statement.to_string().split_whitespace().next().unwrap_or_default().to_owned()
}

/// Some functions of which nobody doubts that a replica must not run them.
const POSTGRES: &[&str] = &[
    "nextval",
    "setval",
    "currval",
    "lastval",
    "set_config",
    "pg_advisory_lock",
    "pg_try_advisory_lock",
    "pg_advisory_xact_lock",
    "pg_terminate_backend",
    "pg_notify",
    "lo_create",
    "txid_current",
    "dblink_exec",
];
const MYSQL: &[&str] =
    &["get_lock", "release_lock", "release_all_locks", "last_insert_id", "found_rows", "row_count"];

struct Finder {
    dialect: Dialect,
}

impl Finder {
    fn call(&self, name: &ObjectName) -> ControlFlow<String> {
        let listed = if self.dialect == Dialect::MySql { MYSQL } else { POSTGRES };
        let name = name.0.last().and_then(|part| part.as_ident()).map(|name| name.value.to_ascii_lowercase());
        match name {
            Some(name) if listed.contains(&name.as_str()) => ControlFlow::Break(format!("call of {name}")),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Finder {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        if !query.locks.is_empty() {
            return ControlFlow::Break("lock".to_owned());
        }
        // The parser takes writes for other parts of queries too, and in MySQL's dialect for these. No server does.
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        match parts.filter_map(|part| writes(&part.query)).next() {
            Some(write) if self.dialect == Dialect::Postgres => ControlFlow::Break(verb(write)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        // The parser takes `SELECT AS INTO t` for a column of that name. The server refuses that.
        let reserved = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(Expr::Identifier(name)) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("as"));
        if select.projection.iter().any(reserved) {
            return ControlFlow::Continue(());
        }
        if select.into.is_some() { ControlFlow::Break("INTO".to_owned()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                self.call(name)
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        match expr {
            Expr::Function(Function { name, .. }) => self.call(name),
            Expr::Identifier(name)
                if self.dialect == Dialect::MySql
                    && name.quote_style.is_none()
                    && name.value.starts_with('@')
                    && !name.value.starts_with("@@") =>
            {
                ControlFlow::Break("user variable".to_owned())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use Dialect::{MySql, Postgres};

    use super::*;

    /// What it says of a text that it must understand.
    fn of(sql: &str, dialect: Dialect) -> Option<String> {
        let statements = parse(sql, dialect);
        more_than_a_read(&statements.unwrap_or_else(|| panic!("not understood: {sql}")), dialect)
    }

    #[test]
    fn the_second_opinion_calls_writes_by_their_names() {
        for (sql, name) in [
            ("INSERT INTO t VALUES (1)", "INSERT"),
            ("WITH a AS (INSERT INTO t VALUES (1) RETURNING b) SELECT * FROM a", "INSERT"),
            ("SELECT * FROM (WITH a AS (UPDATE t SET b = 1 RETURNING b) SELECT * FROM a) q", "UPDATE"),
            ("WITH a AS (SELECT 1) DELETE FROM t", "DELETE"),
            ("SELECT * FROM t FOR UPDATE", "lock"),
            ("SELECT * FROM t WHERE a IN (SELECT b FROM u FOR SHARE)", "lock"),
            ("SELECT * INTO u FROM t", "INTO"),
            ("SELECT nextval('s')", "call of nextval"),
            ("SELECT a FROM t ORDER BY pg_catalog.NEXTVAL('s')", "call of nextval"),
            ("SELECT * FROM nextval('s')", "call of nextval"),
            ("SELECT set_config('a.b', 'c', false)", "call of set_config"),
            ("SELECT pg_advisory_lock(1)", "call of pg_advisory_lock"),
            ("EXPLAIN ANALYZE DELETE FROM t", "DELETE"),
            ("EXPLAIN (BUFFERS, ANALYZE) UPDATE t SET a = 1", "UPDATE"),
            ("SELECT 1; TRUNCATE t", "TRUNCATE"),
            ("CREATE TABLE t (a int)", "CREATE"),
            ("SET a = 1", "SET"),
            ("BEGIN", "BEGIN"),
        ] {
            assert_eq!(of(sql, Postgres).as_deref(), Some(name), "{sql}");
        }
        for (sql, name) in [
            ("REPLACE INTO t VALUES (1)", "REPLACE"),
            ("INSERT INTO t SELECT * FROM u", "INSERT"),
            ("WITH a AS (SELECT 1) UPDATE t SET b = 1", "UPDATE"),
            ("SELECT * FROM t FOR UPDATE", "lock"),
            ("SELECT get_lock('a', 1)", "call of get_lock"),
            ("SELECT LAST_INSERT_ID()", "call of last_insert_id"),
            ("SELECT @a", "user variable"),
            ("SELECT a FROM t WHERE b = @c", "user variable"),
            ("EXPLAIN ANALYZE DELETE FROM t", "DELETE"),
        ] {
            assert_eq!(of(sql, MySql).as_deref(), Some(name), "{sql}");
        }
    }

    #[test]
    fn the_second_opinion_finds_nothing_in_reads() {
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT * FROM t) SELECT * FROM a",
            "SELECT * FROM t WHERE a IN (SELECT b FROM u) ORDER BY c LIMIT 1",
            "SELECT 'INSERT INTO t', nextval, \"for update\" FROM t",
            "SELECT 1 /* nextval('s') */ -- FOR UPDATE",
            "SELECT nextval_of(1), last_value FROM s",
            "EXPLAIN DELETE FROM t",
            "EXPLAIN ANALYZE SELECT 1",
            "VALUES (1), (2)",
            "SHOW search_path",
            "SELECT 1; SELECT 2",
            "SELECT 1 UNION ALL (SELECT 2)",
            "SELECT lower(a), count(*) FROM t GROUP BY 1",
        ] {
            assert_eq!(of(sql, Postgres), None, "{sql}");
        }
        for sql in [
            "SELECT `insert` FROM t",
            "SELECT @@version",
            "SHOW TABLES",
            "SHOW PROCESSLIST",
            "EXPLAIN UPDATE t SET a = 1",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "SELECT nextval('s')",
        ] {
            assert_eq!(of(sql, MySql), None, "{sql}");
        }
    }

    #[test]
    fn what_is_not_understood_has_no_second_opinion() {
        for sql in ["SELECT FROM WHERE", "WITH x AS (", "SELECT 'a", "SELECT $1$ a $1$"] {
            assert_eq!(parse(sql, Postgres), None, "{sql}");
            assert!(!is_whole(sql, Postgres), "{sql}");
        }
        for sql in ["SHOW", "EXPLAIN x", "ANALYZE", "SELECT 1; SHOW x"] {
            assert!(!is_whole(sql, Postgres), "{sql}");
        }
        for sql in ["SELECT 1", "INSERT INTO t VALUES (1)", "EXPLAIN SELECT 1"] {
            assert!(is_whole(sql, Postgres), "{sql}");
        }
    }
}
