//! What a failover leaves of a position.

use super::{Lsn, PgPosition, Timeline};

impl PgPosition {
    /// The first point of this position that `history` (the position of a primary) left behind, with the LSN up to which
    /// that timeline was kept. A timeline that `history` does not name is unknown, which is not the same as lost.
    pub(crate) fn beyond(&self, history: &Self) -> Option<(Timeline, Lsn)> {
        let (now, _) = history.head();
        self.points().find_map(|(timeline, lsn)| {
            let kept = history.point(timeline).filter(|kept| timeline < now && lsn > *kept)?;
            Some((timeline, kept))
        })
    }

    /// This position of a primary whose timeline began at `began`, with the most that it can have of what `own` names and it
    /// does not.
    pub(crate) fn at_most(&self, own: &Self, began: Lsn) -> Self {
        let (now, _) = self.head();
        let unknown = own.points().filter(|(timeline, _)| *timeline < now && self.point(*timeline).is_none());
        unknown.fold(self.clone(), |all, (timeline, _)| all.with_ancestor(timeline, began))
    }

    /// This position without what `history` left behind.
    pub(crate) fn kept_by(&self, history: &Self) -> Self {
        let (now, _) = history.head();
        let kept = self.points().map(|(timeline, lsn)| match history.point(timeline) {
            Some(kept) if timeline < now => Self::new(timeline, lsn.min(kept)),
            _ => Self::new(timeline, lsn),
        });
        kept.fold(Self::new(Timeline::FIRST, Lsn::ZERO), |all, point| all.join(&point))
    }

    /// This position with at most so much of one timeline.
    pub(crate) fn capped(&self, timeline: Timeline, at: Lsn) -> Self {
        let points =
            self.points().map(|(own, lsn)| Self::new(own, if own == timeline { lsn.min(at) } else { lsn }));
        points.fold(Self::new(Timeline::FIRST, Lsn::ZERO), |all, point| all.join(&point))
    }

    /// This position without the points that follow from its head, given `history`: whoever is on that timeline has them.
    pub(crate) fn without_implied(&self, history: &Self) -> Self {
        let (head, reached) = self.head();
        if history.point(head).is_none_or(|known| reached > known) {
            return self.clone();
        }
        let needed = self.points().filter(|(timeline, lsn)| {
            *timeline == head || *lsn > reached || history.point(*timeline).is_none_or(|kept| *lsn > kept)
        });
        needed
            .map(|(timeline, lsn)| Self::new(timeline, lsn))
            .fold(Self::new(Timeline::FIRST, Lsn::ZERO), |all, point| all.join(&point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(text: &str) -> PgPosition {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_beyond_the_switch_is_lost_and_the_rest_is_kept() {
        let history = position("1:0/64,2:0/1F4");
        assert_eq!(position("1:0/64").beyond(&history), None);
        let switch = Some((Timeline::FIRST, Lsn::from_u64(0x64)));
        assert_eq!(position("1:0/65").beyond(&history), switch);
        assert_eq!(position("1:0/65,2:0/70").beyond(&history), switch);
        assert_eq!(position("1:0/65,2:0/70").kept_by(&history), position("1:0/64,2:0/70"));
        // Ahead of what is known, on an unknown timeline, or on the present one, nothing is lost.
        for unknown in ["2:0/FFFF", "3:0/1", "1:0/0"] {
            assert_eq!(position(unknown).beyond(&history), None, "{unknown}");
            assert_eq!(position(unknown).kept_by(&history), position(unknown));
        }
        assert_eq!(position("1:0/64,2:0/FFFF").beyond(&position("2:0/1")), None, "an unknown past");
    }

    #[test]
    fn of_an_unknown_past_no_more_is_kept_than_there_was_when_the_timeline_began() {
        let (history, began) = (position("2:0/32,4:0/1F4"), Lsn::from_u64(0x64));
        for (own, most) in [
            ("1:0/65", "1:0/64,2:0/32,4:0/1F4"),
            ("1:0/65,3:0/70", "1:0/64,2:0/32,3:0/64,4:0/1F4"),
            ("2:0/65", "2:0/32,4:0/1F4"),
            ("4:0/FFFF,5:0/1", "2:0/32,4:0/1F4"),
        ] {
            assert_eq!(history.at_most(&position(own), began), position(most), "{own}");
        }
    }

    #[test]
    fn points_that_follow_from_the_head_are_left_out() {
        let history = position("1:0/64,2:0/C8,3:0/12C");
        for (full, short) in [
            ("1:0/64,2:0/C8,3:0/12C", "3:0/12C"),
            ("1:0/10,2:0/80", "2:0/80"),
            ("1:0/65,3:0/100", "1:0/65,3:0/100"),
            ("1:0/64,3:0/FFFF", "1:0/64,3:0/FFFF"),
            ("1:0/64,4:0/100", "1:0/64,4:0/100"),
            ("1:0/50,2:0/40", "1:0/50,2:0/40"),
            ("1:0/5", "1:0/5"),
        ] {
            assert_eq!(position(full).without_implied(&history), position(short), "{full}");
        }
    }

    proptest! {
        /// Timelines 1 → 2 → 3 with forks at 100 and 200: a server's state is a timeline and a place on it.
        #[test]
        fn whoever_covers_the_short_form_covers_the_long_one(
            points in prop::collection::vec((1u32..4, 1u64..300), 1..4),
            on in 1u32..4, at in 1u64..400,
        ) {
            let tl = |number| Timeline::new(number).unwrap();
            let lsn = Lsn::from_u64;
            let forks = [(1u32, 100u64), (2, 200)];
            let server = |on: u32, at: u64| forks.iter().filter(|(t, _)| *t < on).fold(
                PgPosition::new(tl(on), lsn(at)),
                |position, (t, fork)| position.with_ancestor(tl(*t), lsn(at.min(*fork))),
            );
            let history = server(3, 400);
            let needed = points.iter().fold(PgPosition::new(Timeline::FIRST, Lsn::ZERO), |all, (t, l)| {
                all.join(&PgPosition::new(tl(*t), lsn(*l)))
            });
            let short = needed.without_implied(&history);
            prop_assert!(needed.covers(&short));
            // A server that exists: it is on the timeline at a place that this timeline has.
            prop_assume!(forks.iter().all(|(t, fork)| *t >= on || at >= *fork));
            if server(on, at).covers(&short) {
                prop_assert!(server(on, at).covers(&needed), "{} for {} is at {}", short, needed, server(on, at));
            }
        }
    }
}
