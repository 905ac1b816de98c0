//! Nothing that we have not signed is a token.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rr_properties::texts::foreign_token(&String::from_utf8_lossy(data)));
