//! Appended text makes no read of what is none; the two texts meet at the first `|`.
#![no_main]

use rr_core::sql::Dialect;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((dialect, text)) = data.split_first() else { return };
    let dialect = if *dialect == b'm' { Dialect::MySql } else { Dialect::Postgres };
    let text = String::from_utf8_lossy(text);
    let (start, rest) = text.split_once('|').unwrap_or((&text, "SELECT 1"));
    rr_properties::statements::appending_makes_no_read(start, rest, dialect);
});
