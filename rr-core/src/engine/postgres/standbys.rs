//! Who streams from a PostgreSQL server.

use std::net::IpAddr;

use serde::Deserialize;

use crate::engine::UnreadableProbe;

/// Asks a server for those who stream from it, in one row of text.
///
/// Backups, archivers and logical replication stream as well, and nobody can read from them. An ordinary role sees that there
/// are standbys, and neither who nor where: all columns but the process are null.
pub(crate) const STANDBYS: &str = "\
SELECT pg_is_in_recovery()::text, \
(SELECT system_identifier::text FROM pg_control_system()), \
(SELECT count(*)::text FROM pg_stat_replication WHERE state IS NULL), \
quote_ident(current_user::text), \
(SELECT coalesce(json_agg(json_build_object('name', coalesce(application_name, ''), 'address', host(client_addr)) \
ORDER BY application_name, client_addr, client_port), '[]')::text FROM pg_stat_replication r \
WHERE state IS NOT NULL AND state <> 'backup' AND application_name NOT IN ('pg_receivewal', 'pg_basebackup') \
AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical'))";

/// A server that is streamed from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    pub(crate) in_recovery: bool,
    pub(crate) system: Option<u64>,
    pub(crate) standbys: Vec<Standby>,
}

/// Who streams from it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Standby {
    /// What it calls itself.
    pub(crate) name: String,
    /// Where it connects from; `None` behind a Unix socket.
    pub(crate) address: Option<IpAddr>,
}

/// It cannot be told who streams from a server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StandbysError {
    #[error(
        "there are standbys, and {role} may not see which; `GRANT pg_read_all_stats TO {role}` on the primary allows it"
    )]
    Unprivileged { role: String },
    #[error(transparent)]
    Unreadable(#[from] UnreadableProbe),
}

pub(crate) fn read_standbys(row: &[Option<String>]) -> Result<Upstream, StandbysError> {
    let text = |index: usize| row.get(index).and_then(Option::as_deref);
    let bad = |column| UnreadableProbe { column };
    let in_recovery = match text(0) {
        Some("t" | "true") => true,
        Some("f" | "false") => false,
        _ => return Err(bad("in_recovery").into()),
    };
    let system = text(1).map(|text| text.parse().map_err(|_| bad("system"))).transpose()?;
    if text(2) != Some("0") {
        return Err(StandbysError::Unprivileged { role: text(3).unwrap_or("the role").to_owned() });
    }
    let standbys = text(4).and_then(|text| serde_json::from_str(text).ok()).ok_or_else(|| bad("standbys"))?;
    Ok(Upstream { in_recovery, system, standbys })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: [&str; 5]) -> Vec<Option<String>> {
        columns.map(|text| Some(text.to_owned())).into()
    }

    #[test]
    fn standbys_are_read() {
        let json = r#"[{"name" : "r1", "address" : "10.0.0.7"}, {"name" : "r2", "address" : null}]"#;
        let upstream = read_standbys(&row(["false", "77", "0", "app", json])).unwrap();
        let standby = |name: &str, address: Option<&str>| Standby {
            name: name.to_owned(),
            address: address.map(|text| text.parse().unwrap()),
        };
        let standbys = vec![standby("r1", Some("10.0.0.7")), standby("r2", None)];
        assert_eq!(upstream, Upstream { in_recovery: false, system: Some(77), standbys });
        assert_eq!(read_standbys(&row(["true", "77", "0", "app", "[]"])).unwrap().standbys, []);
    }

    #[test]
    fn who_may_not_see_is_told_what_to_grant_and_sees_no_empty_list() {
        let error = read_standbys(&row(["false", "77", "2", "\"App\"", "[]"])).unwrap_err();
        assert!(error.to_string().contains("GRANT pg_read_all_stats TO \"App\""), "{error}");
    }

    #[test]
    fn nonsense_is_an_error() {
        for (index, text) in [(0, "maybe"), (1, "x"), (4, ""), (4, "[{}]")] {
            let mut columns = ["false", "77", "0", "app", "[]"];
            columns[index] = text;
            assert!(matches!(read_standbys(&row(columns)), Err(StandbysError::Unreadable(_))), "{index}");
        }
        assert!(read_standbys(&[]).is_err());
    }
}
