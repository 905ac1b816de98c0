//! The primaries before the present one, as far as they matter to what was written there.

use std::sync::Arc;

use super::Topology;
use crate::lag::PrimaryTimeline;
use crate::position::{Lsn, PgPosition, Position, Timeline};
use crate::session::Written;
use crate::time::Moment;

/// How many are kept: a session that is not used for so many failovers is told of one that may not have concerned it.
const KEPT: usize = 16;

/// A primary before the present one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Former {
    /// Since this moment another one is the primary.
    pub(crate) until: Moment,
    /// Where its log ended, and when it was asked for that.
    pub(crate) samples: Arc<PrimaryTimeline>,
    /// Its timeline.
    pub(crate) timeline: Option<Timeline>,
}

/// The primaries before the present one, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Formers(Arc<[Former]>);

impl Formers {
    /// These, and this one after them.
    pub(crate) fn and(&self, former: Former) -> Self {
        let over = (self.0.len() + 1).saturating_sub(KEPT);
        Self(self.0.iter().skip(over).cloned().chain([former]).collect())
    }

    /// The one that was the primary at this moment, where only the clock can say.
    fn at(&self, moment: Moment) -> Option<&Former> {
        self.0.iter().find(|former| moment < former.until)
    }

    /// The last one that was on this timeline.
    fn on(&self, timeline: Timeline) -> Option<&Former> {
        self.0.iter().rev().find(|former| former.timeline == Some(timeline))
    }
}

impl Topology {
    /// Where a write may have ended that was answered and has no position; `None` when it was made on the timeline of the
    /// present primary. What was answered after the last answer of its own primary to us may have ended anywhere on that
    /// timeline.
    pub(crate) fn left(&self, write: Written) -> Option<Position> {
        let (former, on) = match (write.on, self.timeline) {
            (Some(on), Some(now)) if on >= now => return None,
            (Some(on), Some(_)) => (self.formers.on(on), Some(on)),
            (None, _) | (_, None) => {
                let former = self.formers.at(write.by)?;
                (Some(former), former.timeline)
            }
        };
        match former.and_then(|former| former.samples.first_since(write.by)) {
            Some(position) => Some(position.clone()),
            None => on.map(|timeline| anywhere(timeline).into()),
        }
    }

    /// How far the primary has come, as far as is known; at least its timeline, or that of the last one.
    pub(crate) fn reached(&self) -> Option<Position> {
        match self.primary() {
            Ok(primary) => primary.applied.clone(),
            Err(_) => self.timeline.map(|timeline| PgPosition::new(timeline, Lsn::ZERO).into()),
        }
    }

    /// What the primary has, for whoever asks what of `own` it has not: of a timeline whose fork nobody saw it has no more
    /// than there was when its own began.
    pub(crate) fn history<'own>(&self, own: impl IntoIterator<Item = &'own Position>) -> Option<Position> {
        let Position::Postgres(known) = self.primary().ok()?.applied.as_ref()? else { return None };
        let at_most = |known: PgPosition, own: &Position| match (own, self.began) {
            (Position::Postgres(own), Some(began)) => known.at_most(own, began),
            _ => known,
        };
        Some(own.into_iter().fold(known.clone(), at_most).into())
    }

    /// The timeline of the present primary, or of the last one.
    pub(crate) const fn timeline(&self) -> Option<Timeline> {
        self.timeline
    }
}

/// Greater than every position on this timeline: no history that has left it covers it.
fn anywhere(timeline: Timeline) -> PgPosition {
    PgPosition::new(timeline, Lsn::from_u64(u64::MAX))
}

/// Whether nobody knows where on its timeline this is.
pub(crate) fn is_anywhere(position: &Position) -> bool {
    matches!(position, Position::Postgres(own) if own.head().1.as_u64() == u64::MAX)
}

/// Whether nobody knows where on the timeline of `switch` this was, whatever came after it.
pub(crate) fn was_anywhere(position: &Position, switch: &Position) -> bool {
    let (Position::Postgres(own), Position::Postgres(switch)) = (position, switch) else { return false };
    own.point(switch.head().0).is_some_and(|lsn| lsn.as_u64() == u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Epoch, NoPrimary, Rules};

    fn at(text: &str) -> Position {
        Position::Postgres(text.parse().unwrap())
    }

    fn former<'a>(until: u64, samples: impl IntoIterator<Item = (u64, &'a str)>, timeline: u32) -> Former {
        let mut known = PrimaryTimeline::new();
        for (millis, position) in samples {
            known.record(Moment::from_millis(millis), at(position));
        }
        Former {
            until: Moment::from_millis(until),
            samples: Arc::new(known),
            timeline: Timeline::new(timeline),
        }
    }

    fn after(formers: impl IntoIterator<Item = Former>, timeline: u32) -> Topology {
        let formers = formers.into_iter().fold(Formers::default(), |formers, former| formers.and(former));
        Topology::assemble(Epoch::default(), Vec::new(), Err(NoPrimary::NotFound), Rules::default())
            .after(formers, Timeline::new(timeline))
    }

    fn written(millis: u64, on: u32) -> Written {
        Written { by: Moment::from_millis(millis), on: Timeline::new(on) }
    }

    fn is_in_doubt(topology: &Topology, write: Written) -> bool {
        topology.left(write).is_some_and(|bound| {
            assert!(
                !at("1:0/FFFF,2:0/FFFFF,3:0/FFFFFF").covers(&bound),
                "no history that has left it covers it"
            );
            is_anywhere(&bound)
        })
    }

    #[test]
    fn a_write_is_bounded_by_the_first_sample_after_it() {
        let samples = [(200, "1:0/100"), (400, "1:0/300"), (600, "1:0/500")];
        let topology = after([former(700, samples, 1)], 2);
        for (millis, bound) in [(100, "1:0/100"), (200, "1:0/100"), (201, "1:0/300"), (600, "1:0/500")] {
            // Whoever has not been used since is not told of what was lost later.
            assert_eq!(topology.left(written(millis, 1)), Some(at(bound)), "{millis}");
        }
        assert!(is_in_doubt(&topology, written(601, 1)));
    }

    #[test]
    fn a_write_after_the_last_sample_may_have_ended_anywhere() {
        let topology = after([former(100, Some((50, "1:0/500")), 1)], 2);
        assert_eq!(topology.left(written(50, 1)), Some(at("1:0/500")));
        assert!(is_in_doubt(&topology, written(51, 1)));
        assert!(is_in_doubt(&after([former(100, None, 1)], 2), written(51, 1)));
    }

    #[test]
    fn what_counts_is_who_was_chosen_and_not_when_it_answered() {
        let topology = after([former(100, Some((50, "1:0/500")), 1)], 2);
        assert!(is_in_doubt(&topology, written(150, 1)), "it answered after it was replaced");
        assert_eq!(topology.left(written(90, 2)), None, "another router knew of the new one before");
        assert_eq!(topology.left(written(150, 2)), None);
    }

    #[test]
    fn a_write_that_was_left_several_failovers_ago_is_not_forgotten() {
        let two = [former(100, Some((60, "1:0/500")), 1), former(200, Some((190, "1:0/400,2:0/900")), 2)];
        let topology = after(two, 3);
        assert_eq!(topology.left(written(50, 1)), Some(at("1:0/500")));
        assert!(is_in_doubt(&topology, written(70, 1)));
        assert_eq!(topology.left(written(180, 2)), Some(at("1:0/400,2:0/900")));
        let many = (1..40).map(|n| former(u64::from(n) * 100, None, n));
        assert!(is_in_doubt(&after(many, 40), written(50, 1)), "nothing is known of that one any more");
    }

    #[test]
    fn where_no_timeline_is_known_the_clock_has_to_say() {
        let unknown = |millis| written(millis, 0);
        let topology = after([former(100, Some((50, "1:0/500")), 1), former(200, None, 2)], 3);
        assert_eq!(topology.left(unknown(40)), Some(at("1:0/500")));
        assert!(is_in_doubt(&topology, unknown(60)) && is_in_doubt(&topology, unknown(150)));
        assert_eq!(topology.left(unknown(200)), None);
        assert_eq!(after([former(100, None, 0)], 0).left(unknown(60)), None);
    }
}
