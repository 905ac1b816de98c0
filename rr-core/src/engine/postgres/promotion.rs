//! PostgreSQL: what is asked and told when a standby takes over.
//!
//! Each text is one statement that returns one row of text, except for those of `ALTER SYSTEM`, which returns none and
//! runs in no transaction.

use super::{COLUMNS, PROBE, read_probe};
use crate::engine::{Log, Observation, UnreadableProbe};
use crate::position::{Lsn, Timeline};

/// What a closer look at a server shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Look {
    /// What a probe shows, to a role that may see more.
    pub seen: Observation,
    /// Somebody has paused its replay.
    pub paused: bool,
    /// It applies what it has received only after a while, on purpose (`recovery_min_apply_delay`).
    pub delayed: bool,
    /// Its replay waits for more of the log than there is. The end of what was received is not always the end of a record,
    /// so that it may never come as far as that.
    pub idle: bool,
    /// When the server was started.
    pub started: String,
    /// Its settings have `default_transaction_read_only`: a primary refuses writes then.
    pub frozen: bool,
}

/// A closer look than the probe's.
///
/// When a standby has lost its primary, nobody is shown any more which timeline it was on. The names of the files of its log tell:
/// it has those of a timeline only when it has received it.
#[must_use]
pub fn look_sql() -> String {
    format!(
        "{PROBE}, (CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END)::text, \
         (current_setting('recovery_min_apply_delay')::interval > interval '0')::text, \
         (SELECT (wait_event IN ('RecoveryWalStream', 'RecoveryWalAll', 'RecoveryRetrieveRetryInterval'))::text \
         FROM pg_stat_activity WHERE backend_type = 'startup'), \
         pg_postmaster_start_time()::text, \
         CASE WHEN pg_is_in_recovery() THEN \
         (SELECT max(name) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{{24}}$') END, \
         (SELECT (reset_val = 'on' AND source IN ('configuration file', 'command line'))::text \
         FROM pg_settings WHERE name = 'default_transaction_read_only')"
    )
}

/// What the answer to [`look_sql`] says.
///
/// # Errors
/// When the row is not what the statement returns.
pub fn read_look(row: &[Option<String>]) -> Result<Look, UnreadableProbe> {
    let mut seen = read_probe(row)?;
    // What is asked besides comes behind the probe's own columns.
    let [paused, delayed, idle, frozen] = [0, 1, 2, 5].map(|column| is_true(row, COLUMNS.len() + column));
    let text = |column: usize| row.get(COLUMNS.len() + column).cloned().flatten();
    if let (Log::Postgres { timeline, .. }, Some(file)) = (&mut seen.log, text(4)) {
        let shown =
            Timeline::from_wal_file_name(&file).map_err(|_| UnreadableProbe { column: "newest_file" })?;
        *timeline = (*timeline).max(Some(shown));
    }
    let started = text(3).ok_or(UnreadableProbe { column: "started" })?;
    Ok(Look { seen, paused, delayed, idle, started, frozen })
}

/// What the answer to a [probe](PROBE) says, as far as that goes.
///
/// # Errors
/// As [`read_look`].
pub fn read_glance(row: &[Option<String>]) -> Result<Look, UnreadableProbe> {
    let seen = read_probe(row)?;
    Ok(Look { seen, paused: false, delayed: false, idle: false, started: String::new(), frozen: false })
}

/// Whether a column says yes.
#[must_use]
pub fn is_true(row: &[Option<String>], column: usize) -> bool {
    matches!(row.get(column).and_then(Option::as_deref), Some("t" | "true"))
}

/// The role, and what it may do: version, superuser, and EXECUTE on the functions that a promotion calls.
pub const PRIVILEGES: &str = "\
SELECT current_setting('server_version_num'), \
(SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user), \
has_function_privilege('pg_promote(boolean, integer)', 'EXECUTE')::text, \
has_function_privilege('pg_reload_conf()', 'EXECUTE')::text, \
has_function_privilege('pg_wal_replay_resume()', 'EXECUTE')::text, \
pg_has_role('pg_monitor', 'USAGE')::text, \
(SELECT (rolsuper OR rolreplication)::text FROM pg_roles WHERE rolname = current_user)";

/// `ALTER SYSTEM` on these settings; PostgreSQL 15 and newer have it as a privilege.
pub const SETTING_PRIVILEGES: &str = "\
SELECT has_parameter_privilege('primary_conninfo', 'ALTER SYSTEM')::text, \
has_parameter_privilege('default_transaction_read_only', 'ALTER SYSTEM')::text";

/// The first server version with [`SETTING_PRIVILEGES`].
pub const SETTING_PRIVILEGES_SINCE: u32 = 150_000;

/// What a role lacks to carry out a promotion, in words that say what to grant. `settings` is the answer to
/// [`SETTING_PRIVILEGES`], where that can be asked.
#[must_use]
pub fn lacking(privileges: &[Option<String>], settings: Option<&[Option<String>]>) -> Vec<&'static str> {
    if is_true(privileges, 1) {
        return Vec::new();
    }
    let setting = |column| settings.is_some_and(|row| is_true(row, column));
    let needs = [
        (is_true(privileges, 2), "EXECUTE on pg_promote(boolean, integer)"),
        (is_true(privileges, 3), "EXECUTE on pg_reload_conf()"),
        (is_true(privileges, 4), "EXECUTE on pg_wal_replay_resume()"),
        (is_true(privileges, 5), "membership in pg_monitor"),
        (is_true(privileges, 6), "the attribute REPLICATION"),
        (setting(0), "ALTER SYSTEM on primary_conninfo (before PostgreSQL 15: superuser)"),
        (setting(1), "ALTER SYSTEM on default_transaction_read_only (before PostgreSQL 15: superuser)"),
    ];
    needs.into_iter().filter(|(has, _)| !has).map(|(_, what)| what).collect()
}

/// Lets a replay go on that somebody has paused.
pub const RESUME: &str = "SELECT pg_wal_replay_resume()::text";

/// When the server was started, as [`Look::started`].
pub const STARTED: &str = "SELECT pg_postmaster_start_time()::text";

/// Ends recovery. It returns before that is done, which can be looked at more often than the function itself does.
pub const PROMOTE: &str = "SELECT pg_promote(false)::text";

/// How a standby follows its primary: connection string, slot, and to which timeline.
pub const FOLLOWS: &str = "\
SELECT current_setting('primary_conninfo'), current_setting('primary_slot_name'), \
current_setting('recovery_target_timeline')";

/// Whom a standby receives from: whether it streams, the host and the port, and which timeline.
pub const STREAMS: &str = "\
SELECT (count(*) FILTER (WHERE status = 'streaming'))::text, max(sender_host), max(sender_port)::text, \
max(received_tli)::text FROM pg_stat_wal_receiver";

/// Makes a replication slot that keeps the log from now on, if there is none of that name.
#[must_use]
pub fn create_slot(name: &str) -> String {
    let name = literal(name);
    format!(
        "SELECT count(pg_create_physical_replication_slot({name}, true))::text \
         FROM (SELECT WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {name})) AS missing"
    )
}

/// Points a standby to another server.
#[must_use]
pub fn follow(conninfo: &str) -> String {
    format!("ALTER SYSTEM SET primary_conninfo = {}", literal(conninfo))
}

/// Has the server read its settings again.
pub const RELOAD: &str = "SELECT pg_reload_conf()::text";

/// The same, and when that was asked for, on the server's clock.
pub const RELOAD_SINCE: &str = "SELECT extract(epoch FROM clock_timestamp())::text, pg_reload_conf()::text";

/// Whether the server has read its settings since then. To be asked on a new connection, which has them from the postmaster: a
/// session may have read them before the postmaster did, and the next one would begin with the old ones.
#[must_use]
pub fn reloaded(since: f64) -> String {
    format!("SELECT (extract(epoch FROM pg_conf_load_time()) >= {since:.6})::text")
}

/// Makes the server refuse writes of sessions that do not insist.
pub const FREEZE: &str = "ALTER SYSTEM SET default_transaction_read_only = on";

/// Ends that.
pub const UNFREEZE: &str = "ALTER SYSTEM RESET default_transaction_read_only";

/// Ends the sessions of clients whose transaction may still write, as far as the role may; how many there were.
pub const END_WRITERS: &str = "\
SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity \
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() \
AND (backend_xid IS NOT NULL OR xact_start <= pg_conf_load_time() + interval '100 ms')";

/// How many transactions are open that have written, or began before all sessions had read the settings and so may; and where
/// the log ends. (The count comes first: what they have written is in the log when they are gone.)
pub const WRITERS: &str = "\
SELECT writers.count::text, pg_current_wal_insert_lsn()::text, \
pg_size_bytes(current_setting('wal_segment_size'))::text \
FROM (SELECT count(*) AS count FROM pg_stat_activity WHERE backend_type = 'client backend' \
AND pid <> pg_backend_pid() AND (backend_xid IS NOT NULL OR xact_start <= pg_conf_load_time() + interval '100 ms')) AS writers";

/// What the answer to [`WRITERS`] says: open transactions, and the end of the log.
///
/// # Errors
/// When the row is not what the statement returns.
pub fn read_writers(row: &[Option<String>]) -> Result<(u32, Lsn), UnreadableProbe> {
    let text = |column: usize| row.get(column).and_then(Option::as_deref);
    let bad = |column| UnreadableProbe { column };
    let open = text(0).and_then(|text| text.parse().ok()).ok_or_else(|| bad("writers"))?;
    let end: Lsn = text(1).and_then(|text| text.parse().ok()).ok_or_else(|| bad("lsn"))?;
    let segment: u64 = text(2).and_then(|text| text.parse().ok()).ok_or_else(|| bad("segment"))?;
    Ok((open, end.normalised(segment)))
}

fn literal(value: &str) -> String {
    // With a backslash in it, an ordinary literal depends on a setting of the session.
    let escape = if value.contains('\\') { " E" } else { "" };
    format!("{escape}'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[&str]) -> Vec<Option<String>> {
        columns.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn what_a_role_lacks_is_named() {
        assert!(lacking(&row(&["130000", "true"]), None).is_empty());
        let ordinary = row(&["150000", "false", "true", "true", "true", "true", "true"]);
        assert_eq!(lacking(&ordinary, None).len(), 2, "before 15 there is no privilege to alter a setting");
        assert!(lacking(&ordinary, Some(&row(&["true", "true"]))).is_empty());
        let nothing = row(&["150000", "false", "false", "false", "false", "false", "false"]);
        let lacks = lacking(&nothing, Some(&row(&["false", "false"])));
        assert_eq!((lacks.len(), lacks[0]), (7, "EXECUTE on pg_promote(boolean, integer)"));
    }

    #[test]
    fn values_are_quoted() {
        assert_eq!(follow("host=a"), "ALTER SYSTEM SET primary_conninfo = 'host=a'");
        assert_eq!(
            follow(r"password='a\'b'"),
            r"ALTER SYSTEM SET primary_conninfo =  E'password=''a\\''b'''"
        );
    }

    #[test]
    fn the_end_of_the_log_is_normalised() {
        assert_eq!(read_writers(&row(&["2", "0/3000028", "16777216"])), Ok((2, Lsn::from_u64(0x300_0000))));
        assert!(read_writers(&row(&["2", "x", "16777216"])).is_err());
    }
}
