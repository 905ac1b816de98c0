//! What a real parser calls a write is never our read; the first byte chooses the dialect.
#![no_main]

use rr_core::sql::Dialect;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((dialect, text)) = data.split_first() else { return };
    let dialect = if *dialect == b'm' { Dialect::MySql } else { Dialect::Postgres };
    rr_properties::statements::no_write_is_a_read(&String::from_utf8_lossy(text), dialect);
});
