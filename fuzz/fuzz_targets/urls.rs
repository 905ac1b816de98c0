//! URLs of databases.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rr_properties::texts::url(&String::from_utf8_lossy(data)));
