//! MySQL's words, and MariaDB's.

use super::StatementClass::{self, Read, Session, Write};
use super::bytes::{self, Byte};
use super::functions::{self, Functions};
use super::grammar::Grammar;
use super::keywords::{Keyword, Keywords};

pub(super) struct MySql;

impl Grammar for MySql {
    const BYTES: &'static [Byte; 256] = &bytes::MYSQL;
    const MYSQL: bool = true;
    const KEYWORDS: &'static Keywords = &KEYWORDS;
    const FUNCTIONS: &'static Functions = &functions::MYSQL;

    fn show(word: &[u8]) -> Option<StatementClass> {
        let is = |names: &[&str]| names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(word));
        if is(&SHOW_MODIFIERS) {
            None
        } else if is(&SHOW_SCHEMA) {
            Some(Read)
        } else if is(&SHOW_CONNECTION) {
            Some(Session)
        } else {
            // Processes, status counters, variables, logs, replication: about this server.
            Some(Write)
        }
    }
}

const SHOW_MODIFIERS: [&str; 2] = ["extended", "full"];

/// `SHOW` that reads the schema, which is replicated.
const SHOW_SCHEMA: [&str; 21] = [
    "character",
    "charset",
    "collation",
    "columns",
    "create",
    "databases",
    "engines",
    "events",
    "fields",
    "function",
    "grants",
    "index",
    "indexes",
    "keys",
    "privileges",
    "procedure",
    "schemas",
    "storage",
    "table",
    "tables",
    "triggers",
];

/// `SHOW` about what this connection did: `SHOW COUNT(*) WARNINGS` is one of them.
const SHOW_CONNECTION: [&str; 5] = ["count", "errors", "profile", "profiles", "warnings"];

/// Whether a `@@` variable says what this connection did, though nobody has `SET` it.
pub(super) fn is_connection_variable(variable: &[u8]) -> bool {
    let name = variable.rsplit(|byte| matches!(byte, b'@' | b'.')).next().unwrap_or(variable);
    let name = name.strip_prefix(b"`").and_then(|name| name.strip_suffix(b"`")).unwrap_or(name);
    CONNECTION_VARIABLES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

const CONNECTION_VARIABLES: [&str; 14] = [
    "error_count",
    "gtid_next",
    "identity",
    "in_transaction",
    "insert_id",
    "last_gtid",
    "last_insert_id",
    "profiling",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "statement_id",
    "transaction_allow_batching",
    "warning_count",
];

static KEYWORDS: Keywords = Keywords::new(&[
    ("select", Keyword::Query),
    ("values", Keyword::Query),
    ("table", Keyword::Query),
    ("help", Keyword::ReadVerb),
    ("with", Keyword::With),
    ("show", Keyword::Show),
    ("explain", Keyword::Explain),
    ("describe", Keyword::Explain),
    ("desc", Keyword::Explain),
    ("analyze", Keyword::Analyze),
    ("extended", Keyword::ExplainOption),
    ("partitions", Keyword::ExplainOption),
    ("format", Keyword::ExplainOption),
    ("traditional", Keyword::ExplainOption),
    ("json", Keyword::ExplainOption),
    ("tree", Keyword::ExplainOption),
    ("insert", Keyword::Insert),
    ("update", Keyword::Update),
    ("delete", Keyword::Delete),
    ("begin", Keyword::Begin),
    ("prepare", Keyword::Prepare),
    ("create", Keyword::Create),
    ("drop", Keyword::Drop),
    ("alter", Keyword::AccountVerb),
    ("grant", Keyword::AccountVerb),
    ("revoke", Keyword::AccountVerb),
    ("rename", Keyword::AccountVerb),
    ("start", Keyword::Start),
    ("flush", Keyword::Flush),
    ("lock", Keyword::Lock),
    // Other statements that, without a query, are known not to run one: EXPLAIN must not take them for tables.
    ("replace", Keyword::BeforeTemp),
    // Transactions, locks, prepared statements, settings: all of them live on one connection.
    ("commit", Keyword::SessionVerb),
    ("rollback", Keyword::SessionVerb),
    ("savepoint", Keyword::SessionVerb),
    ("release", Keyword::SessionVerb),
    ("set", Keyword::SessionVerb),
    ("execute", Keyword::SessionVerb),
    ("deallocate", Keyword::SessionVerb),
    ("unlock", Keyword::SessionVerb),
    ("use", Keyword::SessionVerb),
    ("xa", Keyword::SessionVerb),
    ("handler", Keyword::SessionVerb),
    ("get", Keyword::SessionVerb),
    ("backup", Keyword::SessionVerb),
    // Inside a statement.
    ("as", Keyword::As),
    ("into", Keyword::Into),
    ("for", Keyword::For),
    ("share", Keyword::Share),
    ("in", Keyword::In),
    ("temporary", Keyword::Temp),
    ("transaction", Keyword::Transaction),
    ("read", Keyword::Read),
    ("export", Keyword::Export),
    ("next", Keyword::Next),
    ("previous", Keyword::Previous),
    ("value", Keyword::Value),
    ("function", Keyword::Routine),
    ("procedure", Keyword::Routine),
    ("trigger", Keyword::Routine),
    ("event", Keyword::Routine),
    ("package", Keyword::Routine),
    ("sql_calc_found_rows", Keyword::CalcFoundRows),
    // This server's memory: nothing of it is replicated.
    ("performance_schema", Keyword::NodeRelation),
    ("processlist", Keyword::NodeRelation),
    ("innodb_trx", Keyword::NodeRelation),
    ("innodb_metrics", Keyword::NodeRelation),
    ("innodb_locks", Keyword::NodeRelation),
    ("innodb_lock_waits", Keyword::NodeRelation),
    ("innodb_buffer_page", Keyword::NodeRelation),
    ("innodb_buffer_pool_stats", Keyword::NodeRelation),
    ("innodb_temp_table_info", Keyword::ConnectionRelation),
    ("global_status", Keyword::NodeRelation),
    ("global_variables", Keyword::NodeRelation),
    ("session_status", Keyword::ConnectionRelation),
    ("session_variables", Keyword::ConnectionRelation),
]);
