//! Positions of all engines and levels are what they print.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rr_properties::texts::positions(&String::from_utf8_lossy(data)));
