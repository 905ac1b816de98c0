//! PostgreSQL's words; SQLite is read with them too.

use super::StatementClass::{self, Read, Write};
use super::bytes::{self, Byte};
use super::functions::{self, Functions};
use super::grammar::Grammar;
use super::keywords::{Keywords, Seen};

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
    ("select", Seen::Query),
    ("values", Seen::Query),
    ("table", Seen::Query),
    ("with", Seen::With),
    ("show", Seen::Show),
    ("explain", Seen::Explain),
    ("analyze", Seen::Analyze),
    ("analyse", Seen::Analyze),
    ("verbose", Seen::ExplainOption),
    ("insert", Seen::Insert),
    ("update", Seen::Update),
    ("delete", Seen::Delete),
    ("merge", Seen::Insert),
    ("begin", Seen::Begin),
    ("prepare", Seen::Prepare),
    ("create", Seen::Create),
    // Transactions, cursors, prepared statements, settings, channels: all of them live on one connection.
    ("start", Seen::SessionVerb),
    ("commit", Seen::SessionVerb),
    ("end", Seen::SessionVerb),
    ("rollback", Seen::SessionVerb),
    ("abort", Seen::SessionVerb),
    ("savepoint", Seen::SessionVerb),
    ("release", Seen::SessionVerb),
    ("set", Seen::SessionVerb),
    ("reset", Seen::SessionVerb),
    ("discard", Seen::SessionVerb),
    ("listen", Seen::SessionVerb),
    ("unlisten", Seen::SessionVerb),
    ("execute", Seen::SessionVerb),
    ("deallocate", Seen::SessionVerb),
    ("declare", Seen::SessionVerb),
    ("fetch", Seen::SessionVerb),
    ("move", Seen::SessionVerb),
    ("close", Seen::SessionVerb),
    ("load", Seen::SessionVerb),
    // SQLite.
    ("pragma", Seen::SessionVerb),
    ("attach", Seen::SessionVerb),
    ("detach", Seen::SessionVerb),
    // Inside a statement.
    ("as", Seen::As),
    ("into", Seen::Into),
    ("for", Seen::For),
    ("no", Seen::No),
    ("key", Seen::Key),
    ("share", Seen::Share),
    ("temp", Seen::Temp),
    ("temporary", Seen::Temp),
    ("local", Seen::BeforeTemp),
    ("global", Seen::BeforeTemp),
    ("replace", Seen::BeforeTemp),
    ("atomic", Seen::Atomic),
    ("last_value", Seen::LastValue),
    // Views over this server's memory: nothing of it is replicated.
    ("pg_aios", Seen::NodeRelation),
    ("pg_available_extensions", Seen::NodeRelation),
    ("pg_backend_memory_contexts", Seen::ConnectionRelation),
    ("pg_buffercache", Seen::NodeRelation),
    ("pg_config", Seen::NodeRelation),
    ("pg_cursors", Seen::ConnectionRelation),
    ("pg_file_settings", Seen::NodeRelation),
    ("pg_hba_file_rules", Seen::NodeRelation),
    ("pg_ident_file_mappings", Seen::NodeRelation),
    ("pg_locks", Seen::NodeRelation),
    ("pg_prepared_statements", Seen::ConnectionRelation),
    ("pg_prepared_xacts", Seen::NodeRelation),
    ("pg_replication_origin_status", Seen::NodeRelation),
    ("pg_replication_slots", Seen::NodeRelation),
    ("pg_settings", Seen::NodeRelation),
    ("pg_shmem_allocations", Seen::NodeRelation),
    ("pg_shmem_allocations_numa", Seen::NodeRelation),
    ("pg_stat_activity", Seen::NodeRelation),
    ("pg_stat_all_indexes", Seen::NodeRelation),
    ("pg_stat_all_tables", Seen::NodeRelation),
    ("pg_stat_archiver", Seen::NodeRelation),
    ("pg_stat_bgwriter", Seen::NodeRelation),
    ("pg_stat_checkpointer", Seen::NodeRelation),
    ("pg_stat_database", Seen::NodeRelation),
    ("pg_stat_database_conflicts", Seen::NodeRelation),
    ("pg_stat_gssapi", Seen::NodeRelation),
    ("pg_stat_io", Seen::NodeRelation),
    ("pg_stat_kcache", Seen::NodeRelation),
    ("pg_stat_progress_analyze", Seen::NodeRelation),
    ("pg_stat_progress_basebackup", Seen::NodeRelation),
    ("pg_stat_progress_cluster", Seen::NodeRelation),
    ("pg_stat_progress_copy", Seen::NodeRelation),
    ("pg_stat_progress_create_index", Seen::NodeRelation),
    ("pg_stat_progress_vacuum", Seen::NodeRelation),
    ("pg_stat_recovery_prefetch", Seen::NodeRelation),
    ("pg_stat_replication", Seen::NodeRelation),
    ("pg_stat_replication_slots", Seen::NodeRelation),
    ("pg_stat_slru", Seen::NodeRelation),
    ("pg_stat_ssl", Seen::NodeRelation),
    ("pg_stat_statements", Seen::NodeRelation),
    ("pg_stat_statements_info", Seen::NodeRelation),
    ("pg_stat_subscription", Seen::NodeRelation),
    ("pg_stat_subscription_stats", Seen::NodeRelation),
    ("pg_stat_sys_indexes", Seen::NodeRelation),
    ("pg_stat_sys_tables", Seen::NodeRelation),
    ("pg_stat_user_functions", Seen::NodeRelation),
    ("pg_stat_user_indexes", Seen::NodeRelation),
    ("pg_stat_user_tables", Seen::NodeRelation),
    ("pg_stat_wal", Seen::NodeRelation),
    ("pg_stat_wal_receiver", Seen::NodeRelation),
    ("pg_stat_xact_all_tables", Seen::ConnectionRelation),
    ("pg_stat_xact_sys_tables", Seen::ConnectionRelation),
    ("pg_stat_xact_user_functions", Seen::ConnectionRelation),
    ("pg_stat_xact_user_tables", Seen::ConnectionRelation),
    ("pg_statio_all_indexes", Seen::NodeRelation),
    ("pg_statio_all_sequences", Seen::NodeRelation),
    ("pg_statio_all_tables", Seen::NodeRelation),
    ("pg_statio_sys_indexes", Seen::NodeRelation),
    ("pg_statio_sys_sequences", Seen::NodeRelation),
    ("pg_statio_sys_tables", Seen::NodeRelation),
    ("pg_statio_user_indexes", Seen::NodeRelation),
    ("pg_statio_user_sequences", Seen::NodeRelation),
    ("pg_statio_user_tables", Seen::NodeRelation),
    ("pg_wait_events", Seen::NodeRelation),
    // Its `last_value` runs up to 32 ahead in the replicated copy.
    ("pg_sequences", Seen::NodeRelation),
    // Cloud extensions that reach out of the database, which a read-only server does not prevent.
    ("aws_lambda", Seen::NodeRelation),
    ("aws_s3", Seen::NodeRelation),
]);
