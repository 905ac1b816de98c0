//! A small number and a moment in one word, so that both change together.

use crate::time::Moment;

const TIME_BITS: u32 = 50;

/// The bits that hold the moment: microseconds + 1.
pub(super) const TIME: u64 = (1 << TIME_BITS) - 1;

/// Times are rounded up: later is safe. 2^50 microseconds are 35 years. A number that has no room becomes 0.
#[inline]
pub(super) fn stamp(number: u64, at: Moment) -> u64 {
    let time = (at.as_nanos().div_ceil(1_000) + 1).min(TIME);
    let number = if number >> (64 - TIME_BITS) == 0 { number } else { 0 };
    number << TIME_BITS | time
}

/// The number of a stamp.
#[inline]
pub(super) const fn number(stamp: u64) -> u64 {
    stamp >> TIME_BITS
}

/// Its moment; `None` for a word that is none.
#[inline]
pub(super) fn moment(stamp: u64) -> Option<Moment> {
    let micros = (stamp & TIME).checked_sub(1)?;
    Some(Moment::from_nanos(micros.saturating_mul(1_000)))
}
