//! Only what was signed is a token, and what was is read or refused: of texts, of what is signed, and of damage to real ones.
#![no_main]

use rr_properties::tokens;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tokens::only_what_was_signed(&String::from_utf8_lossy(data));
    drop(tokens::signed_body(data));
    // As many edits as proptest makes at most: of more there is nothing left.
    let numbers: Vec<u32> =
        data.as_chunks().0.iter().take(4).map(|bytes| u32::from_le_bytes(*bytes)).collect();
    tokens::only_what_was_signed(&tokens::damaged_genuine(&numbers));
    drop(tokens::damaged_and_signed(&numbers));
});
