//! MySQL's words, and MariaDB's.

use super::StatementClass::{self, Read, Session, Write};
use super::bytes::{self, Byte};
use super::functions::{self, Functions};
use super::grammar::Grammar;
use super::keywords::{Keywords, Seen};

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
    ("select", Seen::Query),
    ("values", Seen::Query),
    ("table", Seen::Query),
    ("help", Seen::ReadVerb),
    ("with", Seen::With),
    ("show", Seen::Show),
    ("explain", Seen::Explain),
    ("describe", Seen::Explain),
    ("desc", Seen::Explain),
    ("analyze", Seen::Analyze),
    ("extended", Seen::ExplainOption),
    ("partitions", Seen::ExplainOption),
    ("format", Seen::ExplainOption),
    ("traditional", Seen::ExplainOption),
    ("json", Seen::ExplainOption),
    ("tree", Seen::ExplainOption),
    ("insert", Seen::Insert),
    ("update", Seen::Update),
    ("delete", Seen::Delete),
    ("begin", Seen::Begin),
    ("prepare", Seen::Prepare),
    ("create", Seen::Create),
    ("drop", Seen::Drop),
    ("alter", Seen::AccountVerb),
    ("grant", Seen::AccountVerb),
    ("revoke", Seen::AccountVerb),
    ("rename", Seen::AccountVerb),
    ("start", Seen::Start),
    ("flush", Seen::Flush),
    ("lock", Seen::Lock),
    // Other statements that, without a query, are known not to run one: EXPLAIN must not take them for tables.
    ("replace", Seen::BeforeTemp),
    // Transactions, locks, prepared statements, settings: all of them live on one connection.
    ("commit", Seen::SessionVerb),
    ("rollback", Seen::SessionVerb),
    ("savepoint", Seen::SessionVerb),
    ("release", Seen::SessionVerb),
    ("set", Seen::SessionVerb),
    ("execute", Seen::SessionVerb),
    ("deallocate", Seen::SessionVerb),
    ("unlock", Seen::SessionVerb),
    ("use", Seen::SessionVerb),
    ("xa", Seen::SessionVerb),
    ("handler", Seen::SessionVerb),
    ("get", Seen::SessionVerb),
    ("backup", Seen::SessionVerb),
    // Inside a statement.
    ("as", Seen::As),
    ("into", Seen::Into),
    ("for", Seen::For),
    ("share", Seen::Share),
    ("in", Seen::In),
    ("temporary", Seen::Temp),
    ("transaction", Seen::Transaction),
    ("read", Seen::Read),
    ("export", Seen::Export),
    ("next", Seen::Next),
    ("previous", Seen::Previous),
    ("value", Seen::Value),
    ("function", Seen::Routine),
    ("procedure", Seen::Routine),
    ("trigger", Seen::Routine),
    ("event", Seen::Routine),
    ("package", Seen::Routine),
    ("sql_calc_found_rows", Seen::CalcFoundRows),
    // This server's memory: nothing of it is replicated.
    ("performance_schema", Seen::NodeRelation),
    ("processlist", Seen::NodeRelation),
    ("innodb_trx", Seen::NodeRelation),
    ("innodb_metrics", Seen::NodeRelation),
    ("innodb_locks", Seen::NodeRelation),
    ("innodb_lock_waits", Seen::NodeRelation),
    ("innodb_buffer_page", Seen::NodeRelation),
    ("innodb_buffer_pool_stats", Seen::NodeRelation),
    ("innodb_temp_table_info", Seen::ConnectionRelation),
    ("global_status", Seen::NodeRelation),
    ("global_variables", Seen::NodeRelation),
    ("session_status", Seen::ConnectionRelation),
    ("session_variables", Seen::ConnectionRelation),
]);
