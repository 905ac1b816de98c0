//! Configurations as TOML and JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rr_properties::texts::config(&String::from_utf8_lossy(data)));
