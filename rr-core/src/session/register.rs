//! A position that only grows, read without a lock.
//!
//! Nearly every position that is ever put here is an LSN on one timeline, and fits into a machine word whose order is
//! the order of positions. Such a register is one atomic. Anything else (two timelines after a failover, a GTID set)
//! moves the register to a shared pointer, for good.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::position::{PgPosition, Position};
use crate::requirement::Requirement;
use crate::sync::{AtomicU64, Ordering};

/// Nothing has been put in.
const EMPTY: u64 = 0;
/// The position is in `rest`.
const ELSEWHERE: u64 = u64::MAX;

#[derive(Debug, Default)]
pub(super) struct Register {
    word: AtomicU64,
    rest: ArcSwapOption<Position>,
}

impl Register {
    pub(super) fn raise(&self, to: &Position) {
        let Some(new) = pack(to) else { return self.raise_elsewhere(to) };
        let mut old = self.word.load(Ordering::Acquire);
        loop {
            if old == ELSEWHERE || (old != EMPTY && !PgPosition::on_one_timeline(old, new)) {
                return self.raise_elsewhere(to);
            }
            if old >= new {
                return;
            }
            match self.word.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    /// Moves the register to the pointer. A position that is packed meanwhile makes the exchange fail, and is taken
    /// along at the next attempt; whoever finds `ELSEWHERE` finds everything in the pointer.
    fn raise_elsewhere(&self, to: &Position) {
        self.join(to);
        let mut word = self.word.load(Ordering::Acquire);
        while word != ELSEWHERE {
            if let Some(packed) = unpack(word) {
                self.join(&packed);
            }
            match self.word.compare_exchange(word, ELSEWHERE, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Replaces what is in here by the part of it that is left. A position that is put in meanwhile stays.
    pub(super) fn keep(&self, part: impl Fn(&PgPosition) -> PgPosition) {
        let of = |position: &Position| match position {
            Position::Postgres(position) => Position::Postgres(part(position)),
            other => other.clone(),
        };
        let mut word = self.word.load(Ordering::Acquire);
        while word != ELSEWHERE {
            let Some(own) = unpack(word) else { return };
            let new = pack(&of(&own)).unwrap_or(EMPTY);
            if new == word {
                return;
            }
            match self.word.compare_exchange(word, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.rest.rcu(|own| own.as_deref().map(|own| Arc::new(of(own))));
    }

    fn join(&self, to: &Position) {
        self.rest.rcu(|own| {
            Some(Arc::new(match own {
                // A position of another engine cannot be joined; the newer knowledge replaces it.
                Some(own) => own.join(to).unwrap_or_else(|_| to.clone()),
                None => to.clone(),
            }))
        });
    }

    pub(super) fn absorb(&self, other: &Self) {
        if let Some(position) = other.get() {
            self.raise(&position);
        }
    }

    /// Adds to a requirement that this position be covered.
    #[inline]
    pub(super) fn demand(&self, requirement: &mut Requirement) {
        match self.word.load(Ordering::Acquire) {
            EMPTY => {}
            word if word != ELSEWHERE && requirement.covers.is_none() => requirement.covers = unpack(word),
            _ => self.demand_more(requirement),
        }
    }

    /// Beside another position, or by one that has no word.
    #[inline(never)]
    fn demand_more(&self, requirement: &mut Requirement) {
        if let Some(position) = self.get() {
            requirement.add_covers(&position);
        }
    }

    pub(super) fn get(&self) -> Option<Position> {
        match self.word.load(Ordering::Acquire) {
            ELSEWHERE => self.rest.load().as_deref().cloned(),
            word => unpack(word),
        }
    }
}

/// Positions of other engines and of several timelines have no word.
fn pack(position: &Position) -> Option<u64> {
    let Position::Postgres(position) = position else { return None };
    if position.is_single() { position.head_word() } else { None }
}

#[inline]
fn unpack(word: u64) -> Option<Position> {
    PgPosition::from_word(word).map(Position::Postgres)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Lsn, Timeline};
    use proptest::prelude::*;

    fn at(timeline: u32, lsn: u64) -> Position {
        Position::Postgres(PgPosition::new(Timeline::new(timeline).unwrap(), Lsn::from_u64(lsn)))
    }

    #[test]
    fn a_second_timeline_keeps_the_first() {
        let register = Register::default();
        register.raise(&at(1, 100));
        register.raise(&at(2, 50));
        register.raise(&at(1, 120));
        let both = at(1, 120).join(&at(2, 50)).unwrap();
        assert_eq!(register.get(), Some(both));
    }

    #[test]
    fn the_largest_values_do_not_collide_with_the_marks() {
        for (timeline, lsn) in [(4094, (1 << 52) - 1), (4095, 1), (u32::MAX, 1), (1, u64::MAX), (1, 1 << 52)]
        {
            let register = Register::default();
            register.raise(&at(timeline, lsn));
            assert_eq!(register.get(), Some(at(timeline, lsn)));
        }
    }

    #[test]
    fn threads_lose_nothing() {
        let register = Register::default();
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let register = &register;
                scope.spawn(move || {
                    for n in 0..5_000 {
                        let timeline = if thread == 3 && n > 2_500 { 2 } else { 1 };
                        let mine = at(timeline, 1 + n * 4 + thread);
                        register.raise(&mine);
                        assert!(register.get().is_some_and(|position| position.covers(&mine)));
                    }
                });
            }
        });
        let last = at(1, 1 + 4_999 * 4 + 2).join(&at(2, 1 + 4_999 * 4 + 3)).unwrap();
        assert_eq!(register.get(), Some(last));
    }

    proptest! {
        #[test]
        fn it_holds_the_join_of_all_that_was_put_in(puts in prop::collection::vec((1u32..4, 1u64..100), 1..20)) {
            let register = Register::default();
            let mut expected: Option<Position> = None;
            for (timeline, lsn) in puts {
                let position = at(timeline, lsn);
                register.raise(&position);
                expected = Some(expected.map_or_else(|| position.clone(), |old| old.join(&position).unwrap()));
                prop_assert_eq!(register.get(), expected.clone());
                let mut requirement = Requirement::NONE;
                register.demand(&mut requirement);
                prop_assert_eq!(requirement.covers, expected.clone());
            }
        }
    }
}
