//! What must hold for every text that `rr-core` reads, whoever wrote it.
//!
//! Each property is a function that panics where it does not hold. `tests/properties.rs` runs them on mutations of what is
//! real (proptest, any toolchain), `fuzz/` on what libFuzzer comes up with (cargo-fuzz). [`mutate`] makes the former,
//! [`seeds`] and [`tokens::GENUINE`] are what both begin with.

pub mod mutate;
pub mod parser;
pub mod seeds;
pub mod server;
pub mod statements;
pub mod texts;
pub mod tokens;
