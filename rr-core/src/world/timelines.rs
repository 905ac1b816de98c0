//! What is known of a PostgreSQL cluster's history: which timeline is the highest, and where it left each older one.
//!
//! A position on an old timeline is contained in the present history up to the point where that history left it.
//! Putting these points into a position (`1:0/64,2:0/1F4`) makes plain comparison right across failovers: what was
//! written beyond the point is covered by nobody. Only what is certain goes in; the rest is unknown, and unknown is
//! never covered.

use std::collections::BTreeMap;

use crate::position::{Lsn, PgPosition, Timeline};

/// Timelines whose past is kept at most: a cluster fails over a few times a year.
const MAX_TIMELINES: usize = 64;

/// When so many timelines may be the parent of a new one, nothing is known of its past.
const MAX_DOUBT: u32 = 16;

/// How far each older timeline is certainly part of a newer one.
pub(super) type Past = BTreeMap<Timeline, Lsn>;

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    highest: Option<Timeline>,
    /// The highest one on which somebody was certainly a primary. A standby that is promoted shows its own before that.
    established: Option<Timeline>,
    /// The past of each timeline that an accepted primary was on.
    pasts: BTreeMap<Timeline, Past>,
    /// The timeline of the last accepted primary that told where it began, and that place.
    began: Option<(Timeline, Lsn)>,
    /// Something was learned that nobody has kept yet.
    has_news: bool,
}

/// What a replica has certainly applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) position: Option<PgPosition>,
    /// It has applied something beyond the fork, and nothing shows that it followed the present history there.
    pub(super) beyond_fork: bool,
}

impl History {
    pub(super) const fn highest(&self) -> Option<Timeline> {
        self.highest
    }

    pub(super) const fn forks(&self) -> &BTreeMap<Timeline, Past> {
        &self.pasts
    }

    /// Where this timeline began: it has nothing of an older one that was written beyond.
    pub(super) fn began(&self, timeline: Timeline) -> Option<Lsn> {
        self.began.and_then(|(of, began)| (of == timeline).then_some(began))
    }

    /// Whether something was learned since this was last asked.
    pub(super) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.has_news, false)
    }

    pub(super) const fn established(&self) -> Option<Timeline> {
        self.established
    }

    /// Takes in a timeline that some node has reached.
    pub(super) fn reached(&mut self, timeline: Timeline) {
        self.highest = self.highest.max(Some(timeline));
    }

    /// Takes in a timeline on which somebody is or was a primary.
    pub(super) fn establish(&mut self, timeline: Timeline) {
        self.reached(timeline);
        if self.established < Some(timeline) {
            self.established = Some(timeline);
            self.has_news = true;
        }
    }

    /// What was begun above, nobody will end.
    pub(super) const fn retract(&mut self) {
        self.highest = self.established;
    }

    /// Takes in the accepted primary: its timeline, where that one began, and a timeline that this very node had
    /// reached while it was still a replica.
    pub(super) fn primary(&mut self, timeline: Timeline, began: Option<Lsn>, reached: Option<Timeline>) {
        self.establish(timeline);
        let Some(began) = began else { return };
        // Two nodes that took the same number: no more is certain than the later one.
        self.began = Some((timeline, self.began(timeline).map_or(began, |known| known.max(began))));
        // Whatever the second timeline came from, it was the first.
        let reached = reached.or_else(|| (timeline.get() == 2).then_some(Timeline::FIRST));
        let Some(past) = reached.and_then(|reached| self.past(timeline, began, reached)) else { return };
        self.learn(timeline, past);
    }

    /// Takes in a timeline's past.
    pub(super) fn learn(&mut self, timeline: Timeline, past: Past) {
        let known = self.pasts.get(&timeline);
        // Two nodes that took the same number: only what is true of both is certain.
        let past = known.map_or_else(|| past.clone(), |known| common(known, &past));
        if known != Some(&past) {
            self.pasts.insert(timeline, past);
            self.has_news = true;
        }
        while self.pasts.len() > MAX_TIMELINES {
            self.pasts.pop_first();
        }
    }

    /// The past of a timeline that began at `began`, off `reached` or any one between: what is true of all of them.
    fn past(&self, timeline: Timeline, began: Lsn, reached: Timeline) -> Option<Past> {
        if timeline <= reached || timeline.get() - reached.get() > MAX_DOUBT {
            return None;
        }
        let parents = (reached.get()..timeline.get()).filter_map(Timeline::new);
        let pasts = parents.map(|parent| {
            let older = self.pasts.get(&parent).into_iter().flatten();
            let older = older.map(|(older, at)| (*older, began.min(*at)));
            older.chain([(parent, began)]).collect::<Past>()
        });
        pasts.reduce(|one, other| common(&one, &other))
    }

    /// The position of a node that is at `lsn` on `timeline` of the present history.
    ///
    /// Where it has not come as far as the fork (a replica may have heard of a timeline before it gets there), it has
    /// no more of the older timeline than that either.
    pub(super) fn position(&self, timeline: Timeline, lsn: Lsn) -> PgPosition {
        let past = self.pasts.get(&timeline).into_iter().flatten();
        past.fold(PgPosition::new(timeline, lsn), |position, (older, at)| {
            position.with_ancestor(*older, lsn.min(*at))
        })
    }

    /// What a replica at `lsn`, which has reached at least `timeline`, has certainly applied.
    ///
    /// It may be on any later timeline as well, so only what all of them share is certain.
    pub(super) fn applied(&self, lsn: Lsn, timeline: Option<Timeline>) -> Applied {
        let unknown = Applied { position: None, beyond_fork: false };
        let Some(timeline) = timeline else { return unknown };
        let Some(highest) = self.highest.filter(|highest| timeline < *highest) else {
            return Applied { position: Some(self.position(timeline, lsn)), beyond_fork: false };
        };
        // The past of the highest one is part of the pasts of all between, as far as they are known, and nothing where
        // one of them is not.
        match self.pasts.get(&highest).and_then(|past| past.get(&timeline)) {
            Some(&fork) => {
                Applied { position: Some(self.position(timeline, lsn.min(fork))), beyond_fork: lsn > fork }
            }
            None => unknown,
        }
    }

    /// What a replica at `lsn`, which has reached at least `timeline`, may have applied at most of the present history.
    ///
    /// Who must not see less than a reader of it has seen has to cover this, and not merely what is certain.
    pub(super) fn ceiling(&self, lsn: Lsn, timeline: Option<Timeline>) -> Option<PgPosition> {
        let applied = self.applied(lsn, timeline);
        if applied.position.is_some() && !applied.beyond_fork {
            return applied.position;
        }
        let most = PgPosition::new(self.highest?, lsn);
        Some(applied.position.map_or_else(|| most.clone(), |applied| applied.join(&most)))
    }
}

/// What is part of both.
fn common(one: &Past, other: &Past) -> Past {
    one.iter().filter_map(|(timeline, at)| Some((*timeline, *at.min(other.get(timeline)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tl(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    fn lsn(value: u64) -> Lsn {
        Lsn::from_u64(value)
    }

    /// 1 → 2 at 100, seen to happen.
    fn promoted() -> History {
        let mut history = History::default();
        history.primary(tl(1), None, None);
        history.primary(tl(2), Some(lsn(100)), Some(tl(1)));
        history
    }

    fn applied(history: &History, at: u64, timeline: u32) -> Applied {
        history.applied(lsn(at), Some(tl(timeline)))
    }

    #[test]
    fn the_new_primary_covers_the_old_timeline_up_to_the_fork() {
        let position = promoted().position(tl(2), lsn(150));
        assert!(position.covers(&PgPosition::new(tl(1), lsn(100))));
        assert!(!position.covers(&PgPosition::new(tl(1), lsn(101))), "a lost write is covered by nobody");
    }

    #[test]
    fn a_replica_before_the_fork_is_on_common_ground() {
        let before = applied(&promoted(), 90, 1);
        assert_eq!(before, Applied { position: Some(PgPosition::new(tl(1), lsn(90))), beyond_fork: false });
    }

    #[test]
    fn a_replica_beyond_the_fork_proves_nothing_more_than_the_fork() {
        let beyond = applied(&promoted(), 130, 1);
        assert_eq!(beyond, Applied { position: Some(PgPosition::new(tl(1), lsn(100))), beyond_fork: true });
        let followed = applied(&promoted(), 130, 2);
        let whole = PgPosition::new(tl(2), lsn(130)).with_ancestor(tl(1), lsn(100));
        assert_eq!(followed, Applied { position: Some(whole), beyond_fork: false });
    }

    #[test]
    fn a_fork_that_nobody_saw_leaves_the_old_timeline_unknown() {
        let mut history = History::default();
        history.primary(tl(3), Some(lsn(100)), None);
        assert_eq!(applied(&history, 90, 1), Applied { position: None, beyond_fork: false });
        assert!(!history.position(tl(3), lsn(200)).covers(&PgPosition::new(tl(2), lsn(1))));
        assert_eq!(history.applied(lsn(1), None).position, None);
    }

    #[test]
    fn the_second_timeline_can_only_come_from_the_first() {
        let mut history = History::default();
        history.primary(tl(2), Some(lsn(100)), None);
        assert!(history.position(tl(2), lsn(200)).covers(&PgPosition::new(tl(1), lsn(100))));
    }

    #[test]
    fn a_timeline_ahead_of_the_primary_says_nothing_about_older_ones() {
        let ahead = applied(&promoted(), 500, 3);
        assert_eq!(ahead.position, Some(PgPosition::new(tl(3), lsn(500))));
    }

    #[test]
    fn a_fork_once_known_never_moves_up() {
        let mut history = promoted();
        history.primary(tl(2), Some(lsn(140)), Some(tl(1)));
        assert_eq!(applied(&history, 130, 1).position, Some(PgPosition::new(tl(1), lsn(100))));
        // Another node took the same number and began earlier: nothing tells the two apart.
        history.primary(tl(2), Some(lsn(80)), Some(tl(1)));
        assert_eq!(applied(&history, 130, 1).position, Some(PgPosition::new(tl(1), lsn(80))));
    }

    #[test]
    fn a_timeline_has_nothing_of_older_ones_beyond_its_beginning_whatever_it_came_from() {
        let mut history = History::default();
        history.primary(tl(3), Some(lsn(100)), None);
        history.primary(tl(3), None, None);
        assert_eq!((history.began(tl(3)), history.began(tl(2))), (Some(lsn(100)), None));
        // Another node took the same number: it may be the one that is meant.
        history.primary(tl(3), Some(lsn(140)), None);
        history.primary(tl(3), Some(lsn(100)), None);
        assert_eq!(history.began(tl(3)), Some(lsn(140)));
        history.primary(tl(4), Some(lsn(120)), Some(tl(3)));
        assert_eq!((history.began(tl(4)), history.began(tl(3))), (Some(lsn(120)), None));
    }

    #[test]
    fn a_replica_that_has_only_heard_of_a_timeline_has_nothing_of_it() {
        // A delayed replica streams from the new primary and is not at the fork yet.
        let position = applied(&promoted(), 60, 2).position.unwrap();
        assert!(position.covers(&PgPosition::new(tl(1), lsn(60))));
        assert!(!position.covers(&PgPosition::new(tl(1), lsn(61))));
    }

    #[test]
    fn who_may_have_followed_may_have_seen_the_new_timeline() {
        let history = promoted();
        let most = history.ceiling(lsn(130), Some(tl(1))).unwrap();
        assert!(!history.position(tl(2), lsn(129)).covers(&most));
        assert!(history.position(tl(2), lsn(130)).covers(&most));
        // Before the fork there is no doubt, and after it there is none about who has shown the new timeline.
        assert_eq!(history.ceiling(lsn(90), Some(tl(1))), Some(PgPosition::new(tl(1), lsn(90))));
        assert_eq!(history.ceiling(lsn(130), Some(tl(2))), Some(history.position(tl(2), lsn(130))));
        assert_eq!(history.ceiling(lsn(130), None), Some(PgPosition::new(tl(2), lsn(130))));
    }

    #[test]
    fn a_sibling_that_is_promoted_leaves_the_timeline_that_it_never_followed() {
        // 1 → 2 at 100; then a replica that stayed on 1 and is at 90 becomes the primary of 3.
        let mut history = promoted();
        history.primary(tl(3), Some(lsn(90)), Some(tl(1)));
        let position = history.position(tl(3), lsn(200));
        assert!(position.covers(&PgPosition::new(tl(1), lsn(90))));
        for lost in [PgPosition::new(tl(1), lsn(91)), PgPosition::new(tl(2), lsn(101))] {
            assert!(!position.covers(&lost), "{lost}");
        }
    }

    #[test]
    fn a_replica_whose_timeline_may_be_a_later_one_has_what_all_of_them_share() {
        // 1 → 2 at 100 and 1 → 3 at 150, by somebody who was certainly on 1 just before: but was it 1 or 2?
        let mut history = promoted();
        history.primary(tl(3), Some(lsn(150)), Some(tl(1)));
        assert_eq!(history.position(tl(3), lsn(200)).point(tl(1)), Some(lsn(100)));
        assert_eq!(history.position(tl(3), lsn(200)).point(tl(2)), None);
        let behind = applied(&history, 140, 1);
        assert_eq!(behind, Applied { position: Some(PgPosition::new(tl(1), lsn(100))), beyond_fork: true });
    }

    #[test]
    fn a_chain_of_promotions_keeps_every_fork() {
        let mut history = promoted();
        history.primary(tl(3), Some(lsn(200)), Some(tl(2)));
        let whole =
            PgPosition::new(tl(3), lsn(300)).with_ancestor(tl(2), lsn(200)).with_ancestor(tl(1), lsn(100));
        assert_eq!(history.position(tl(3), lsn(300)), whole);
        assert_eq!(applied(&history, 180, 2).position, Some(promoted().position(tl(2), lsn(180))));
        // A past that nobody knows is not made up.
        history.primary(tl(5), Some(lsn(400)), Some(tl(3)));
        assert_eq!(history.position(tl(5), lsn(500)), PgPosition::new(tl(5), lsn(500)));
        assert_eq!(applied(&history, 180, 2).position, None);
    }
}
