//! A head position in one machine word.
//!
//! The low bits hold the LSN, the high ones the timeline, so that words on one timeline compare as their positions do.
//! That makes a register one atomic and an eligibility check two integer comparisons. A position that does not fit
//! (beyond 4 PiB of log or 4094 timelines) has no word, and takes the long way.

use super::postgres::PgPosition;
use super::{Lsn, Timeline};

const LSN_BITS: u32 = 52;
/// One less than fits: the word of all ones stays free for a mark.
const LARGEST_TIMELINE: u32 = (1 << (64 - LSN_BITS)) - 2;

impl PgPosition {
    /// The head in one word; never 0 and never `u64::MAX`.
    #[inline]
    pub(crate) fn head_word(&self) -> Option<u64> {
        let (timeline, lsn) = self.head();
        let fits = timeline.get() <= LARGEST_TIMELINE && lsn.as_u64() < 1 << LSN_BITS;
        fits.then(|| u64::from(timeline.get()) << LSN_BITS | lsn.as_u64())
    }

    /// The position whose head this is, and nothing else; `None` for 0.
    #[inline]
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        let timeline = Timeline::new(u32::try_from(word >> LSN_BITS).ok()?)?;
        Some(Self::new(timeline, Lsn::from_u64(word & ((1 << LSN_BITS) - 1))))
    }

    /// The first word of the next timeline: words from this one on up to that one cover `word`.
    pub(crate) const fn end_of_timeline(word: u64) -> u64 {
        ((word >> LSN_BITS) + 1) << LSN_BITS
    }

    /// Whether two words belong to the same timeline.
    pub(crate) const fn on_one_timeline(one: u64, other: u64) -> bool {
        one >> LSN_BITS == other >> LSN_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_say_what_positions_say(a in any::<(u16, u64)>(), b in any::<(u16, u64)>(), shift in 0u32..64) {
            let at = |(timeline, lsn): (u16, u64)| {
                let timeline = Timeline::new(u32::from(timeline % 5000) + 1).unwrap();
                PgPosition::new(timeline, Lsn::from_u64(lsn >> shift))
            };
            let (a, b) = (at(a), at((b.0 % 3, b.1)));
            let (Some(x), Some(y)) = (a.head_word(), b.head_word()) else { return Ok(()) };
            prop_assert_eq!(PgPosition::from_word(x), Some(a.clone()));
            prop_assert!(x != 0 && x != u64::MAX);
            prop_assert_eq!(PgPosition::on_one_timeline(x, y), a.head().0 == b.head().0);
            let covers = y >= x && y < PgPosition::end_of_timeline(x);
            // The bottom (LSN 0) is covered by everything, and its word only by those of the first timeline.
            let bottom = a.head().1 == Lsn::ZERO;
            prop_assert!(covers == b.covers(&a) || bottom && !covers, "{} {}", a, b);
        }
    }
}
