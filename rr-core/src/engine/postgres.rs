//! PostgreSQL: what the monitor asks, and what the answers and error codes mean.

use super::{Fault, Log, Observation, UnreadableProbe};
use crate::outcome::TransactionId;
use crate::position::{Lsn, Timeline};
use crate::topology::Role;

mod standbys;

pub(crate) use standbys::{STANDBYS, StandbysError, Upstream, read_standbys};
pub mod conninfo;
pub mod promotion;

/// What the monitor asks. An ordinary role may run it.
///
/// The timeline of a replica cannot be asked for directly; the greatest of three witnesses is a timeline that it
/// has certainly reached (the first two lag behind, the third is only shown to members of `pg_read_all_stats`).
/// The control file's timeline of a *primary* is stale right after a promotion, the name of its WAL file is right.
///
/// On a promoted primary the end of replay is where its timeline began, until it restarts after a crash: then it is
/// where crash recovery ended, which is later. Crash recovery sets neither the time of the last replayed transaction nor
/// what was received, so where both are unset the switch point is unknown.
///
/// A standby makes a commit visible, and then moves the end of its replay behind it; in between it may be held up, and a
/// commit that drops tables keeps it busy. So what a read saw may be one record ahead of the end of replay that is asked for
/// after it. That record has been received: what has been received, asked for last, tells whether there is one.
pub const PROBE: &str = "\
SELECT pg_is_in_recovery()::text, \
(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)::text, \
CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END, \
CASE WHEN pg_is_in_recovery() THEN greatest(\
(SELECT timeline_id FROM pg_control_checkpoint()), \
(SELECT min_recovery_end_timeline FROM pg_control_recovery()), \
(SELECT max(received_tli) FROM pg_stat_wal_receiver))::text END, \
(CASE WHEN NOT pg_is_in_recovery() \
AND (pg_last_xact_replay_timestamp() IS NOT NULL OR pg_last_wal_receive_lsn() IS NOT NULL) \
THEN pg_last_wal_replay_lsn() END)::text, \
(SELECT system_identifier::text FROM pg_control_system()), \
(SELECT count(*)::text FROM pg_stat_wal_receiver), \
pg_size_bytes(current_setting('wal_segment_size'))::text, \
pg_has_role('pg_read_all_stats', 'USAGE')::text, \
current_database()::text, \
(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() END)::text, \
(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text";

/// What the columns of [`PROBE`] are called in errors.
const COLUMNS: [&str; 12] = [
    "in_recovery",
    "lsn",
    "wal_file",
    "timeline",
    "switch",
    "system",
    "receivers",
    "segment",
    "privileged",
    "database",
    "received",
    "started",
];

pub(super) fn read_probe(row: &[Option<String>]) -> Result<Observation, UnreadableProbe> {
    let text = |index: usize| row.get(index).and_then(Option::as_deref).filter(|text| !text.is_empty());
    let bad = |index: usize| UnreadableProbe { column: COLUMNS[index] };
    let lsn = |index: usize| match text(index) {
        None => Ok(None),
        Some(text) => text.parse::<Lsn>().map(Some).map_err(|_| bad(index)),
    };
    let role = match text(0) {
        Some("t" | "true" | "1") => Role::Replica,
        Some("f" | "false" | "0") => Role::Primary,
        _ => return Err(bad(0)),
    };
    let timeline = match (role, text(2), text(3)) {
        (Role::Primary, Some(file), _) => Some(Timeline::from_wal_file_name(file).map_err(|_| bad(2))?),
        (Role::Replica, _, Some(number)) => Some(number.parse().map_err(|_| bad(3))?),
        (Role::Primary, None, _) | (Role::Replica, _, None) => None,
    };
    let segment: u64 = text(7).and_then(|text| text.parse().ok()).ok_or_else(|| bad(7))?;
    let mut position = lsn(1)?;
    let received = lsn(10)?;
    let applying = match (role, position, received) {
        (Role::Primary, ..) => Some(false),
        (Role::Replica, Some(applied), Some(received)) if received >= applied => Some(received > applied),
        // It has its log from elsewhere, or receives again what it has applied long ago.
        (Role::Replica, ..) => None,
    };
    if role == Role::Primary {
        position = position.map(|lsn| lsn.normalised(segment));
    }
    let log = Log::Postgres { lsn: position, timeline, switch: lsn(4)? };
    Ok(Observation {
        role,
        system: text(5).map(|text| text.parse().map_err(|_| bad(5))).transpose()?,
        database: text(9).map(str::to_owned),
        started: text(11).map(|text| text.parse().map_err(|_| bad(11))).transpose()?,
        log,
        applying,
        // Behind what it has applied while it receives that again, or has had it from an archive.
        received: if role == Role::Replica { received.max(position) } else { None },
        unprivileged: matches!(text(8), Some("f" | "false" | "0")),
        receiving: text(6).and_then(|text| text.parse::<u32>().ok()).map(|receivers| receivers > 0),
    })
}

/// What an SQLSTATE says about the node; `None` when it says nothing about it.
///
/// `on_replica` because some codes mean something else there: a missing relation is lag, and a serialization
/// failure outside of `SERIALIZABLE` is a conflict with replay.
#[must_use]
pub fn fault_of_sqlstate(code: &str, on_replica: bool) -> Option<Fault> {
    match code {
        "25006" => Some(Fault::ReadOnly),
        // A feature that standbys lack: SERIALIZABLE, unlogged tables.
        "0A000" if on_replica => Some(Fault::ReadOnly),
        "57P01" | "57P02" | "57P03" | "57P05" => Some(Fault::ShuttingDown),
        "53300" => Some(Fault::Overloaded),
        "40001" | "40P01" if on_replica => Some(Fault::Conflict),
        // 55000: a materialized view that is not filled there yet, a function that only primaries run.
        "3D000" | "42P01" | "55000" if on_replica => Some(Fault::NotThereYet),
        "08001" | "08004" => Some(Fault::Refused),
        _ if code.starts_with("08") => Some(Fault::Lost),
        _ => None,
    }
}

/// What a server says about a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Committed,
    Aborted,
    InProgress,
    /// It may have crashed since the transaction began.
    Crashed,
    /// It does not remember.
    Forgotten,
}

/// Asks a primary what became of a transaction, and on which timeline it writes. `was_there`: the transaction was begun on
/// that very server and timeline, so that it matters whether the server has crashed since.
///
/// A server that recovers from a crash forgets its statistics, and notes when; a restart in good order keeps them. That is
/// the only trace that every role may see, also where the server's main process has survived the crash.
pub(crate) fn outcome_sql(transaction: &TransactionId, was_there: bool) -> String {
    let TransactionId { number, began, .. } = transaction;
    // A number that was not given away yet is an error to ask for.
    format!(
        "SELECT CASE WHEN {was_there} AND (SELECT coalesce(extract(epoch FROM stats_reset) * 1000000 >= {began}, true) \
         FROM pg_stat_bgwriter) THEN 'crashed' ELSE pg_xact_status('{number}'::xid8)::text END, \
         pg_walfile_name(pg_current_wal_lsn())"
    )
}

pub(crate) fn read_outcome(row: &[Option<String>]) -> Result<(Status, Timeline), UnreadableProbe> {
    let text = |index: usize| row.get(index).and_then(Option::as_deref);
    let status = match text(0) {
        None => Status::Forgotten,
        Some("committed") => Status::Committed,
        Some("aborted") => Status::Aborted,
        Some("in progress") => Status::InProgress,
        Some("crashed") => Status::Crashed,
        Some(_) => return Err(UnreadableProbe { column: "status" }),
    };
    let timeline = text(1).and_then(|file| Timeline::from_wal_file_name(file).ok());
    Ok((status, timeline.ok_or(UnreadableProbe { column: "wal_file" })?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: [&str; 9]) -> Vec<Option<String>> {
        columns.into_iter().map(|text| (!text.is_empty()).then(|| text.to_owned())).collect()
    }

    #[test]
    fn a_primary_is_normalised_and_knows_its_timeline_and_switch() {
        let row = row([
            "false",
            "0/3000028",
            "000000020000000000000003",
            "",
            "0/3000000",
            "77",
            "0",
            "16777216",
            "true",
        ]);
        let seen = read_probe(&row).unwrap();
        assert_eq!((seen.role, seen.system, seen.receiving), (Role::Primary, Some(77), Some(false)));
        assert!(!seen.unprivileged);
        let lsn = Some(Lsn::from_u64(0x300_0000));
        assert_eq!(seen.log, Log::Postgres { lsn, timeline: Timeline::new(2), switch: lsn });
    }

    #[test]
    fn a_replica_reports_what_it_replayed_as_it_is() {
        let row = row(["t", "0/3000028", "", "1", "", "77", "1", "16777216", "false"]);
        let seen = read_probe(&row).unwrap();
        let log = Log::Postgres {
            lsn: Some(Lsn::from_u64(0x300_0028)),
            timeline: Some(Timeline::FIRST),
            switch: None,
        };
        assert_eq!((seen.role, seen.receiving, seen.log), (Role::Replica, Some(true), log));
        assert!(seen.unprivileged);
    }

    #[test]
    fn a_replica_that_has_received_more_may_be_applying_it() {
        for (received, applying) in
            [("0/3000028", Some(false)), ("0/3000029", Some(true)), ("0/3000000", None), ("", None)]
        {
            let mut row = row(["t", "0/3000028", "", "1", "", "77", "1", "16777216", "false"]);
            row.extend([Some("shop".to_owned()), (!received.is_empty()).then(|| received.to_owned())]);
            assert_eq!(read_probe(&row).unwrap().applying, applying, "{received}");
        }
    }

    #[test]
    fn an_answer_that_makes_no_sense_names_its_column() {
        let good = ["t", "0/1", "", "1", "", "77", "1", "16777216", "true"];
        for (index, text, column) in [
            (0, "maybe", "in_recovery"),
            (1, "12", "lsn"),
            (3, "-1", "timeline"),
            (5, "x", "system"),
            (7, "", "segment"),
        ] {
            let mut bad = good;
            bad[index] = text;
            assert_eq!(read_probe(&row(bad)), Err(UnreadableProbe { column }));
        }
        assert_eq!(read_probe(&[]), Err(UnreadableProbe { column: "in_recovery" }));
    }

    #[test]
    fn codes_say_something_about_the_node_or_nothing() {
        assert_eq!(fault_of_sqlstate("25006", false), Some(Fault::ReadOnly));
        assert_eq!(fault_of_sqlstate("57P01", true), Some(Fault::ShuttingDown));
        assert_eq!(fault_of_sqlstate("08006", false), Some(Fault::Lost));
        for code in ["42P01", "3D000", "55000"] {
            assert_eq!(fault_of_sqlstate(code, true), Some(Fault::NotThereYet));
        }
        assert_eq!((fault_of_sqlstate("42P01", false), fault_of_sqlstate("40001", false)), (None, None));
        assert_eq!((fault_of_sqlstate("23505", true), fault_of_sqlstate("", true)), (None, None));
    }
}
