//! The functions that are more than a read, and why.
//!
//! A function that is not here is taken for a read: user functions cannot be known from the text, and nearly
//! everything that writes is refused by a read-only server before anything has happened. What must be listed
//! is what such a server would *silently* do: locks, settings, other sessions, other servers, and answers that
//! are about this server or this connection instead of the data.

use super::StatementClass::{self, Read, Session, Write};
use super::names::Names;

/// One dialect's functions.
pub(super) struct Functions {
    names: Names<StatementClass, 512>,
    /// What the names in `families` begin with.
    prefix: &'static str,
    /// Beginnings, behind `prefix`, of families that grow with every version.
    families: &'static [(&'static str, StatementClass)],
}

impl Functions {
    /// What calling the function named from `start` to `end` does; names are matched in any case.
    #[inline]
    pub(super) fn class(&self, text: &[u8], start: usize, end: usize) -> StatementClass {
        if let Some(class) = self.names.get(text, start, end) {
            return class;
        }
        let name = text.get(start..end).unwrap_or_default();
        let may_be_family = name.len() >= self.prefix.len()
            && name.first().map(u8::to_ascii_lowercase) == self.prefix.as_bytes().first().copied();
        if may_be_family { self.family(name) } else { Read }
    }

    #[cfg(test)]
    pub(super) fn listed(&self) -> &'static [(&'static str, StatementClass)] {
        self.names.listed()
    }

    fn family(&self, name: &[u8]) -> StatementClass {
        strip_prefix(name, self.prefix).map_or(Read, |rest| {
            let mut found =
                self.families.iter().filter(|(beginning, _)| strip_prefix(rest, beginning).is_some());
            found.next().map_or(Read, |(_, class)| *class)
        })
    }
}

fn strip_prefix<'a>(name: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let (head, rest) = name.split_at_checked(prefix.len())?;
    let may = head.first().map(u8::to_ascii_lowercase) == prefix.as_bytes().first().copied();
    (may && head.eq_ignore_ascii_case(prefix.as_bytes())).then_some(rest)
}

/// PostgreSQL's, its contributed modules', and SQLite's few.
pub(super) static POSTGRES: Functions = Functions {
    names: Names::new(&[
        // Locks: those of the transaction end with it, the others stay with the connection (see the families).
        ("pg_advisory_xact_lock", Write),
        ("pg_advisory_xact_lock_shared", Write),
        ("pg_try_advisory_xact_lock", Write),
        ("pg_try_advisory_xact_lock_shared", Write),
        // Settings and other state of the connection.
        ("set_config", Session),
        ("setseed", Session),
        ("set_limit", Session),
        ("show_limit", Session),
        ("pg_backend_pid", Session),
        ("pg_my_temp_schema", Session),
        ("pg_is_other_temp_schema", Session),
        ("pg_listening_channels", Session),
        ("pg_prepared_statement", Session),
        ("pg_cursor", Session),
        // A snapshot lives as long as the transaction that exported it.
        ("pg_export_snapshot", Session),
        // Sequences. The last two are about what this connection did.
        ("nextval", Write),
        ("setval", Write),
        ("pg_sequence_last_value", Write),
        ("pg_get_sequence_data", Write),
        ("currval", Session),
        ("lastval", Session),
        // Transaction ids: assigning one fails on a standby, and "if assigned" is about this transaction.
        ("txid_current", Write),
        ("txid_current_if_assigned", Write),
        ("txid_current_snapshot", Write),
        ("txid_status", Write),
        ("pg_xact_status", Write),
        ("pg_xact_commit_timestamp", Write),
        ("pg_xact_commit_timestamp_origin", Write),
        // Large objects; `lo_get` only reads and is left out.
        ("lo_open", Write),
        ("lo_close", Write),
        ("lo_creat", Write),
        ("lo_create", Write),
        ("lo_unlink", Write),
        ("lo_import", Write),
        ("lo_export", Write),
        ("lo_put", Write),
        ("lo_from_bytea", Write),
        ("lo_truncate", Write),
        ("lo_truncate64", Write),
        ("lo_lseek", Write),
        ("lo_lseek64", Write),
        ("lo_tell", Write),
        ("lo_tell64", Write),
        ("lo_manage", Write),
        ("loread", Write),
        ("lowrite", Write),
        // They run SQL that is hidden in a string.
        ("query_to_xml", Write),
        ("query_to_xmlschema", Write),
        ("query_to_xml_and_xmlschema", Write),
        ("cursor_to_xml", Session),
        ("cursor_to_xmlschema", Session),
        ("ts_stat", Write),
        ("ts_rewrite", Write),
        ("crosstab", Write),
        ("crosstab2", Write),
        ("crosstab3", Write),
        ("crosstab4", Write),
        ("crosstabn", Write),
        ("connectby", Write),
        ("xpath_table", Write),
        // Other servers. A connection opened by name belongs to this session.
        ("dblink", Write),
        ("dblink_exec", Write),
        ("dblink_build_sql_insert", Read),
        ("dblink_connect", Session),
        ("dblink_connect_u", Session),
        ("dblink_disconnect", Session),
        ("dblink_open", Session),
        ("dblink_fetch", Session),
        ("dblink_close", Session),
        ("dblink_get_connections", Session),
        ("dblink_error_message", Session),
        ("dblink_send_query", Session),
        ("dblink_is_busy", Session),
        ("dblink_get_notify", Session),
        ("dblink_get_result", Session),
        ("dblink_cancel_query", Session),
        ("postgres_fdw_disconnect", Write),
        ("postgres_fdw_disconnect_all", Write),
        ("postgres_fdw_get_connections", Write),
        ("query_export_to_s3", Write),
        ("table_import_from_s3", Write),
        // Maintenance.
        ("brin_summarize_new_values", Write),
        ("brin_summarize_range", Write),
        ("brin_desummarize_range", Write),
        ("gin_clean_pending_list", Write),
        ("pg_prewarm", Write),
        ("pg_truncate_visibility_map", Write),
        ("pg_extension_config_dump", Write),
        ("pg_nextoid", Write),
        // Signals and messages.
        ("pg_notify", Write),
        ("pg_notification_queue_usage", Write),
        ("pg_blocking_pids", Write),
        ("pg_safe_snapshot_blocking_pids", Write),
        ("pg_lock_status", Write),
        ("pg_prepared_xact", Write),
        // About this server. Code written for one database means the primary.
        ("pg_is_in_recovery", Write),
        ("pg_is_wal_replay_paused", Write),
        ("pg_get_wal_replay_pause_state", Write),
        ("pg_get_wal_resource_managers", Write),
        ("pg_get_wal_summarizer_state", Write),
        ("pg_available_wal_summaries", Write),
        ("pg_postmaster_start_time", Write),
        ("pg_conf_load_time", Write),
        ("pg_show_all_settings", Write),
        ("pg_show_all_file_settings", Write),
        ("pg_hba_file_rules", Write),
        ("inet_server_addr", Write),
        ("inet_server_port", Write),
        ("inet_client_addr", Write),
        ("inet_client_port", Write),
        // Pure arithmetic on positions, unlike the rest of its family.
        ("pg_wal_lsn_diff", Read),
        // SQLite: about this connection.
        ("last_insert_rowid", Session),
        ("total_changes", Session),
    ]),
    prefix: "pg_",
    families: &[
        ("advisory_", Session),
        ("try_advisory_", Session),
        ("stat_", Write), // pg_stat_reset*, pg_stat_get_*, pg_stat_file, pg_stat_statements*
        ("buffercache_", Write),
        ("backup_", Write),
        ("cancel_", Write),
        ("clear_", Write),
        ("control_", Write),
        ("copy_", Write),
        ("create_", Write),
        ("current_", Write), // pg_current_wal_*, pg_current_xact_id*, pg_current_logfile
        ("drop_", Write),
        ("file_", Write),
        ("get_replication_", Write),
        ("import_", Write),
        ("last_", Write), // pg_last_wal_*, pg_last_xact_*, pg_last_committed_xact
        ("log_", Write),
        ("logical_", Write),
        ("logdir_", Write),
        ("ls_", Write),
        ("promote", Write),
        ("read_", Write),
        ("reload_", Write),
        ("replication_", Write),
        ("restore_", Write),
        ("rotate_", Write),
        ("start_backup", Write),
        ("stop_backup", Write),
        ("switch_", Write),
        ("sync_", Write),
        ("terminate_", Write),
        ("wal_", Write),
        ("walfile_", Write),
        ("xlog", Write),
    ],
};

/// MySQL's and MariaDB's.
pub(super) static MYSQL: Functions = Functions {
    names: Names::new(&[
        // Named locks belong to the connection; asking about them is asking this server.
        ("get_lock", Session),
        ("release_lock", Session),
        ("release_all_locks", Session),
        ("is_free_lock", Write),
        ("is_used_lock", Write),
        ("service_get_read_locks", Session),
        ("service_get_write_locks", Session),
        ("service_release_locks", Session),
        ("version_tokens_lock_shared", Session),
        ("version_tokens_lock_exclusive", Session),
        ("version_tokens_unlock", Session),
        // About what this connection did before.
        ("last_insert_id", Session),
        ("found_rows", Session),
        ("row_count", Session),
        ("connection_id", Session),
        // MariaDB's sequences.
        ("nextval", Write),
        ("setval", Write),
        ("lastval", Session),
        // About this server, or waiting for it.
        ("load_file", Write),
        ("master_pos_wait", Write),
        ("source_pos_wait", Write),
        ("master_gtid_wait", Write),
        ("wait_for_executed_gtid_set", Write),
        ("wait_until_sql_thread_after_gtids", Write),
        ("binlog_gtid_pos", Write),
        ("ps_current_thread_id", Session),
        ("ps_thread_id", Write),
        ("mysql_query_attribute_string", Session),
        // Administration by function.
        ("set_master_uuid", Write),
        ("asynchronous_connection_failover_add_managed", Write),
        ("asynchronous_connection_failover_add_source", Write),
        ("asynchronous_connection_failover_delete_managed", Write),
        ("asynchronous_connection_failover_delete_source", Write),
        ("asynchronous_connection_failover_reset", Write),
        ("version_tokens_set", Write),
        ("version_tokens_edit", Write),
        ("version_tokens_delete", Write),
        ("version_tokens_show", Write),
        ("keyring_key_fetch", Write),
        ("keyring_key_generate", Write),
        ("keyring_key_remove", Write),
        ("keyring_key_store", Write),
        ("set_firewall_mode", Write),
        ("set_firewall_group_mode", Write),
        ("read_firewall_users", Write),
        ("read_firewall_whitelist", Write),
        ("firewall_group_delist", Write),
        ("firewall_group_enlist", Write),
        ("load_rewrite_rules", Write),
        ("flush_rewrite_rules", Write),
        ("mask_dictionaries_flush", Write),
        ("mask_dictionary_remove", Write),
        ("mask_dictionary_term_add", Write),
        ("mask_dictionary_term_remove", Write),
        ("gen_dictionary_load", Write),
        ("gen_dictionary_drop", Write),
        ("audit_log_encryption_password_set", Write),
        ("audit_log_filter_flush", Write),
        ("audit_log_filter_remove_filter", Write),
        ("audit_log_filter_remove_user", Write),
        ("audit_log_filter_set_filter", Write),
        ("audit_log_filter_set_user", Write),
        ("audit_log_rotate", Write),
        ("audit_log_read", Session),
        ("audit_log_read_bookmark", Write),
        ("audit_api_message_emit_udf", Write),
        ("sys_exec", Write),
        ("sys_eval", Write),
        ("sys_set", Write),
    ]),
    prefix: "group_replication_",
    families: &[("", Write)],
};
