//! PostgreSQL's words; SQLite is read with them too.

use super::StatementClass::{self, Read, Write};
use super::bytes::{self, Byte};
use super::functions::{self, Functions};
use super::grammar::Grammar;
use super::keywords::{Keyword, Keywords};

pub(super) struct Postgres;

impl Grammar for Postgres {
    const BYTES: &'static [Byte; 256] = &bytes::POSTGRES;
    const MYSQL: bool = false;
    const KEYWORDS: &'static Keywords = &KEYWORDS;
    const FUNCTIONS: &'static Functions = &functions::POSTGRES;

    fn show(word: &[u8]) -> Option<StatementClass> {
        let about_this_server =
            ABOUT_THIS_SERVER.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(word));
        Some(if about_this_server { Write } else { Read })
    }
}

/// Settings that a replica answers differently although nobody has `SET` them.
const ABOUT_THIS_SERVER: [&str; 22] = [
    "all",
    "archive_mode",
    "cluster_name",
    "config_file",
    "data_directory",
    "default_transaction_read_only",
    "external_pid_file",
    "hba_file",
    "hot_standby",
    "ident_file",
    "in_hot_standby",
    "listen_addresses",
    "port",
    "primary_conninfo",
    "primary_slot_name",
    "recovery_target_timeline",
    "synchronous_standby_names",
    "transaction_read_only",
    "unix_socket_directories",
    "wal_level",
    "wal_receiver_status_interval",
    "wal_receiver_timeout",
];

static KEYWORDS: Keywords = Keywords::new(&[
    ("select", Keyword::Query),
    ("values", Keyword::Query),
    ("table", Keyword::Query),
    ("with", Keyword::With),
    ("show", Keyword::Show),
    ("explain", Keyword::Explain),
    ("analyze", Keyword::Analyze),
    ("analyse", Keyword::Analyze),
    ("verbose", Keyword::ExplainOption),
    ("insert", Keyword::Insert),
    ("update", Keyword::Update),
    ("delete", Keyword::Delete),
    ("merge", Keyword::Insert),
    ("begin", Keyword::Begin),
    ("prepare", Keyword::Prepare),
    ("create", Keyword::Create),
    // Transactions, cursors, prepared statements, settings, channels: all of them live on one connection.
    ("start", Keyword::SessionVerb),
    ("commit", Keyword::SessionVerb),
    ("end", Keyword::SessionVerb),
    ("rollback", Keyword::SessionVerb),
    ("abort", Keyword::SessionVerb),
    ("savepoint", Keyword::SessionVerb),
    ("release", Keyword::SessionVerb),
    ("set", Keyword::SessionVerb),
    ("reset", Keyword::SessionVerb),
    ("discard", Keyword::SessionVerb),
    ("listen", Keyword::SessionVerb),
    ("unlisten", Keyword::SessionVerb),
    ("execute", Keyword::SessionVerb),
    ("deallocate", Keyword::SessionVerb),
    ("declare", Keyword::SessionVerb),
    ("fetch", Keyword::SessionVerb),
    ("move", Keyword::SessionVerb),
    ("close", Keyword::SessionVerb),
    ("load", Keyword::SessionVerb),
    // SQLite.
    ("pragma", Keyword::SessionVerb),
    ("attach", Keyword::SessionVerb),
    ("detach", Keyword::SessionVerb),
    // Inside a statement.
    ("as", Keyword::As),
    ("into", Keyword::Into),
    ("for", Keyword::For),
    ("no", Keyword::No),
    ("key", Keyword::Key),
    ("share", Keyword::Share),
    ("temp", Keyword::Temp),
    ("temporary", Keyword::Temp),
    ("local", Keyword::BeforeTemp),
    ("global", Keyword::BeforeTemp),
    ("replace", Keyword::BeforeTemp),
    ("atomic", Keyword::Atomic),
    ("last_value", Keyword::LastValue),
    // Views over this server's memory: nothing of it is replicated.
    ("pg_aios", Keyword::NodeRelation),
    ("pg_available_extensions", Keyword::NodeRelation),
    ("pg_backend_memory_contexts", Keyword::ConnectionRelation),
    ("pg_buffercache", Keyword::NodeRelation),
    ("pg_config", Keyword::NodeRelation),
    ("pg_cursors", Keyword::ConnectionRelation),
    ("pg_file_settings", Keyword::NodeRelation),
    ("pg_hba_file_rules", Keyword::NodeRelation),
    ("pg_ident_file_mappings", Keyword::NodeRelation),
    ("pg_locks", Keyword::NodeRelation),
    ("pg_prepared_statements", Keyword::ConnectionRelation),
    ("pg_prepared_xacts", Keyword::NodeRelation),
    ("pg_replication_origin_status", Keyword::NodeRelation),
    ("pg_replication_slots", Keyword::NodeRelation),
    ("pg_settings", Keyword::NodeRelation),
    ("pg_shmem_allocations", Keyword::NodeRelation),
    ("pg_shmem_allocations_numa", Keyword::NodeRelation),
    ("pg_stat_activity", Keyword::NodeRelation),
    ("pg_stat_all_indexes", Keyword::NodeRelation),
    ("pg_stat_all_tables", Keyword::NodeRelation),
    ("pg_stat_archiver", Keyword::NodeRelation),
    ("pg_stat_bgwriter", Keyword::NodeRelation),
    ("pg_stat_checkpointer", Keyword::NodeRelation),
    ("pg_stat_database", Keyword::NodeRelation),
    ("pg_stat_database_conflicts", Keyword::NodeRelation),
    ("pg_stat_gssapi", Keyword::NodeRelation),
    ("pg_stat_io", Keyword::NodeRelation),
    ("pg_stat_kcache", Keyword::NodeRelation),
    ("pg_stat_progress_analyze", Keyword::NodeRelation),
    ("pg_stat_progress_basebackup", Keyword::NodeRelation),
    ("pg_stat_progress_cluster", Keyword::NodeRelation),
    ("pg_stat_progress_copy", Keyword::NodeRelation),
    ("pg_stat_progress_create_index", Keyword::NodeRelation),
    ("pg_stat_progress_vacuum", Keyword::NodeRelation),
    ("pg_stat_recovery_prefetch", Keyword::NodeRelation),
    ("pg_stat_replication", Keyword::NodeRelation),
    ("pg_stat_replication_slots", Keyword::NodeRelation),
    ("pg_stat_slru", Keyword::NodeRelation),
    ("pg_stat_ssl", Keyword::NodeRelation),
    ("pg_stat_statements", Keyword::NodeRelation),
    ("pg_stat_statements_info", Keyword::NodeRelation),
    ("pg_stat_subscription", Keyword::NodeRelation),
    ("pg_stat_subscription_stats", Keyword::NodeRelation),
    ("pg_stat_sys_indexes", Keyword::NodeRelation),
    ("pg_stat_sys_tables", Keyword::NodeRelation),
    ("pg_stat_user_functions", Keyword::NodeRelation),
    ("pg_stat_user_indexes", Keyword::NodeRelation),
    ("pg_stat_user_tables", Keyword::NodeRelation),
    ("pg_stat_wal", Keyword::NodeRelation),
    ("pg_stat_wal_receiver", Keyword::NodeRelation),
    ("pg_stat_xact_all_tables", Keyword::ConnectionRelation),
    ("pg_stat_xact_sys_tables", Keyword::ConnectionRelation),
    ("pg_stat_xact_user_functions", Keyword::ConnectionRelation),
    ("pg_stat_xact_user_tables", Keyword::ConnectionRelation),
    ("pg_statio_all_indexes", Keyword::NodeRelation),
    ("pg_statio_all_sequences", Keyword::NodeRelation),
    ("pg_statio_all_tables", Keyword::NodeRelation),
    ("pg_statio_sys_indexes", Keyword::NodeRelation),
    ("pg_statio_sys_sequences", Keyword::NodeRelation),
    ("pg_statio_sys_tables", Keyword::NodeRelation),
    ("pg_statio_user_indexes", Keyword::NodeRelation),
    ("pg_statio_user_sequences", Keyword::NodeRelation),
    ("pg_statio_user_tables", Keyword::NodeRelation),
    ("pg_wait_events", Keyword::NodeRelation),
    // Its `last_value` runs up to 32 ahead in the replicated copy.
    ("pg_sequences", Keyword::NodeRelation),
    // Cloud extensions that reach out of the database, which a read-only server does not prevent.
    ("aws_lambda", Keyword::NodeRelation),
    ("aws_s3", Keyword::NodeRelation),
]);
