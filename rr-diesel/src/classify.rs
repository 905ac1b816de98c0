//! What kind of statement a text is, by the little that is needed until the scanner of `rr_core::sql` is here.

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatementClass {
    Read,
    Write,
    Session,
}

/// Where a comment in the text asks it to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    Primary,
    Replica,
    Session,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Classified {
    pub(crate) class: StatementClass,
    pub(crate) hint: Option<Hint>,
}

const WRITES: [&str; 26] = [
    "insert", "update", "delete", "merge", "for update", "for share", "for no key", "for key share", " into ", ";",
    "nextval", "setval", "currval", "lastval", "advisory", "set_config", "dblink", "pg_stat_reset",
    "pg_export_snapshot", "pg_terminate", "pg_cancel", "analyze", "pg_notify", "lo_", "last_value", "volatile",
];

/// Classifies one text.
pub(crate) fn scan(sql: &str) -> Classified {
    let lower = sql.to_ascii_lowercase();
    let hint = [("rr:primary", Hint::Primary), ("rr:replica", Hint::Replica), ("rr:session", Hint::Session)];
    let hint = hint.into_iter().find_map(|(text, hint)| lower.contains(&format!("/*{text}*/")).then_some(hint));
    let mut text = lower.trim_start();
    while let Some(rest) = text.strip_prefix("/*") {
        text = rest.split_once("*/").map_or("", |(_, rest)| rest).trim_start();
    }
    let first = text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let class = match first {
        "select" | "table" | "values" | "show" | "with" | "explain" => {
            if text.contains("advisory_lock") || text.contains("set_config") {
                StatementClass::Session
            } else if WRITES.iter().any(|word| text.contains(word)) {
                StatementClass::Write
            } else {
                StatementClass::Read
            }
        }
        "set" | "reset" | "listen" | "unlisten" | "prepare" | "execute" | "deallocate" | "declare" | "fetch" | "discard"
        | "begin" | "start" | "commit" | "rollback" | "end" | "savepoint" | "release" | "load" => StatementClass::Session,
        "create" if text.contains("temp") => StatementClass::Session,
        _ => StatementClass::Write,
    };
    Classified { class, hint }
}
