//! Nothing that we have not signed is a token, and what we have is read or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    rr_properties::texts::foreign_token(&String::from_utf8_lossy(data));
    rr_properties::texts::signed_body(data);
});
