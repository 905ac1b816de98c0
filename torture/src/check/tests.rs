//! Each rule with histories by hand, both ways, and with those of a model that is correct.

mod failover;
mod linear;
mod minimised;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Rule, check};
use crate::history::{Action, Facts, History, Item, Key, Level, Op, Orm, Outcome, Router, Seen, SessionId};

/// A session of a story.
pub(crate) const fn session(number: u64) -> SessionId {
    number
}

const HERE: Router = Router { process: 0, orm: Orm::Diesel };

/// A history that is told one operation after the other, each at an instant of its own.
#[derive(Clone)]
pub(crate) struct Story {
    keys: Key,
    at: u64,
    lists: BTreeMap<Key, Vec<Item>>,
    ops: Vec<Op>,
    lossy: bool,
    standby: bool,
}

impl Story {
    pub(crate) fn new(keys: Key) -> Self {
        let lists = (0..keys).map(|key| (key, Vec::new())).collect();
        Self { keys, at: 0, lists, ops: Vec::new(), lossy: false, standby: true }
    }

    /// It ends and the next one begins a second later.
    fn op(&mut self, session: SessionId, outcome: Outcome, action: Action) -> &mut Self {
        let invoked = self.at + 500_000_000;
        self.at += 1_000_000_000;
        let (router, client, returned) = (HERE, session, self.at);
        self.ops.push(Op { router, client, session, unscoped: false, invoked, returned, outcome, action });
        self
    }

    fn item(&self) -> Item {
        Item::try_from(self.ops.len()).unwrap() + 1
    }

    pub(crate) fn append(&mut self, session: SessionId, key: Key) -> &mut Self {
        self.append_as(session, key, Outcome::Ok, true)
    }

    fn append_as(&mut self, session: SessionId, key: Key, outcome: Outcome, done: bool) -> &mut Self {
        let item = self.item();
        if done {
            self.lists.get_mut(&key).unwrap().push(item);
        }
        self.op(session, outcome, Action::Append { key, item })
    }

    /// Of what is there now.
    pub(crate) fn read(&mut self, session: SessionId) -> &mut Self {
        let versions: Vec<usize> = (0..self.keys).map(|key| self.lists[&key].len()).collect();
        self.stale(session, &versions)
    }

    /// Of so many items of each list.
    pub(crate) fn stale(&mut self, session: SessionId, versions: &[usize]) -> &mut Self {
        self.read_at(session, Level::Session, versions)
    }

    fn read_at(&mut self, session: SessionId, level: Level, versions: &[usize]) -> &mut Self {
        let seen = (0..).zip(versions).map(|(key, version)| {
            let last = version.checked_sub(1).and_then(|last| self.lists[&key].get(last));
            Seen { key, version: *version, item: last.copied().unwrap_or_default() }
        });
        let (seen, standby) = (seen.collect(), self.standby);
        self.op(session, Outcome::Ok, Action::Read { level, seen, standby })
    }

    fn lists(&mut self, session: SessionId, level: Level, versions: &[usize]) -> &mut Self {
        let whole = |(key, version): (Key, &usize)| (key, self.lists[&key][..*version].to_vec());
        let (lists, standby) = ((0..).zip(versions).map(whole).collect(), self.standby);
        self.op(session, Outcome::Ok, Action::Lists { level, lists, standby })
    }

    fn hand_over(&mut self, from: SessionId, to: SessionId) -> &mut Self {
        let token = u64::try_from(self.ops.len()).unwrap();
        self.op(from, Outcome::Ok, Action::Export { token });
        self.op(to, Outcome::Ok, Action::Resume { token })
    }

    /// The last operation lasted until now, and the next one began before it ended.
    fn slowly(&mut self) -> &mut Self {
        self.ops.last_mut().unwrap().returned = self.at + 900_000_000;
        self
    }

    pub(crate) fn history(&self) -> History {
        let facts = Facts { lossy: self.lossy, finals: self.lists.clone(), ..Facts::default() };
        History { facts, ops: self.ops.clone() }
    }

    fn broken(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> =
            check(&self.history()).violations.iter().map(|violation| violation.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

const NONE: [Rule; 0] = [];

#[test]
fn own_writes_are_owed_when_they_have_returned() {
    let mut story = Story::new(1);
    story.append(1, 0);
    assert_eq!(story.clone().stale(2, &[0]).broken(), NONE, "somebody else");
    assert_eq!(story.clone().read(1).broken(), NONE);
    assert_eq!(story.clone().read_at(1, Level::Eventual, &[0]).broken(), NONE);
    assert_eq!(story.clone().slowly().stale(1, &[0]).broken(), NONE, "it was under way");
    assert_eq!(story.stale(1, &[0]).broken(), [Rule::OwnWrites]);
}

#[test]
fn a_handle_without_a_session_is_owed_what_its_router_wrote() {
    let mut story = Story::new(1);
    story.append(1, 0).stale(2, &[0]);
    let mut history = story.history();
    history.ops[1].unscoped = true;
    assert_eq!(check(&history).violations[0].rule, Rule::OwnWrites);
    history.ops[1].router.process = 1;
    assert_eq!(check(&history).violations, []);
}

#[test]
fn writes_that_are_unknown_oblige_nobody_and_failed_ones_must_not_be_there() {
    for done in [false, true] {
        let mut story = Story::new(1);
        assert_eq!(story.append_as(1, 0, Outcome::Unknown, done).stale(1, &[0]).broken(), NONE);
    }
    assert_eq!(Story::new(1).append_as(1, 0, Outcome::Failed, false).broken(), NONE);
    assert_eq!(Story::new(1).append_as(1, 0, Outcome::Failed, true).broken(), [Rule::Durable, Rule::Appends]);
}

#[test]
fn nobody_goes_back_in_time() {
    let mut story = Story::new(2);
    story.append(9, 0).append(9, 1).stale(1, &[1, 1]);
    assert_eq!(story.clone().stale(2, &[1, 0]).broken(), NONE, "somebody else");
    assert_eq!(story.clone().read_at(1, Level::Eventual, &[1, 0]).broken(), NONE);
    assert_eq!(story.stale(1, &[1, 0]).broken(), [Rule::MonotonicReads]);
}

#[test]
fn what_a_standby_shows_before_the_primary_is_no_step_back_while_the_write_is_under_way() {
    let mut story = Story::new(1);
    story.append(9, 0);
    story.ops[0].returned = u64::MAX;
    story.stale(1, &[1]);
    assert_eq!(story.clone().stale(1, &[0]).broken(), [Rule::MonotonicReads], "another standby");
    story.standby = false;
    story.stale(1, &[0]);
    let verdict = check(&story.history());
    assert_eq!((verdict.violations, verdict.ahead.len()), (Vec::new(), 1));
}

#[test]
fn a_write_is_seen_with_what_its_session_knew() {
    let mut story = Story::new(2);
    // Known by a read, so that real time says nothing: the first write is under way all along.
    story.append(9, 0);
    story.ops[0].returned = u64::MAX;
    story.stale(1, &[1, 0]).append(1, 1);
    assert_eq!(story.clone().stale(2, &[1, 0]).broken(), NONE);
    assert_eq!(story.clone().stale(2, &[1, 1]).broken(), NONE);
    let broken = story.stale(2, &[0, 1]).broken();
    assert_eq!(
        broken,
        [Rule::WritesFollowReads, Rule::Prefix],
        "and so are two states that exclude one another"
    );
}

#[test]
fn a_hand_over_hands_over_what_was_written_and_seen() {
    let mut story = Story::new(1);
    story.append(1, 0).hand_over(1, 2);
    assert_eq!(story.clone().read(2).broken(), NONE);
    assert_eq!(story.stale(2, &[0]).broken(), [Rule::WritesFollowReads]);
    let mut story = Story::new(1);
    story.append(9, 0).stale(1, &[1]).hand_over(1, 2);
    assert_eq!(story.stale(2, &[0]).broken(), [Rule::WritesFollowReads]);
    let mut story = Story::new(1);
    story.hand_over(1, 2).append(1, 0);
    assert_eq!(story.stale(2, &[0]).broken(), NONE, "written later");
}

#[test]
fn what_a_verdict_rests_on_is_counted() {
    let mut story = Story::new(1);
    story.append(1, 0).read(1).read_at(1, Level::Strong, &[1]).read_at(1, Level::Bounded(1), &[1]);
    story.hand_over(1, 2);
    story.op(3, Outcome::Failed, Action::Resume { token: 99 });
    let mut unread = story.history();
    story.read(2);
    story.standby = false;
    let mut history = story.read(2).history();
    let counts = check(&history).counts;
    assert_eq!((counts.reads, counts.bounded, counts.strong, counts.resumed), (5, 1, 1, 1));
    assert_eq!(counts.standby_reads.into_iter().collect::<Vec<_>>(), [(HERE, 2)]);
    assert_eq!((counts.crossed_process, counts.crossed_orm), (0, 0));
    // The hand-over, and what comes after it, elsewhere.
    let crossed = |history: &mut History, router| {
        history.ops[5..].iter_mut().for_each(|op| op.router = router);
        let verdict = check(history);
        assert!(!verdict.undecided && verdict.violations.is_empty());
        (verdict.counts.crossed_process, verdict.counts.crossed_orm)
    };
    assert_eq!(crossed(&mut history, Router { process: 1, ..HERE }), (1, 0));
    assert_eq!(crossed(&mut history, Router { orm: Orm::Seaorm, ..HERE }), (0, 1));
    assert_eq!(crossed(&mut history, Router { process: 1, orm: Orm::Seaorm }), (1, 1));
    assert_eq!(check(&history).counts.lacking(2), None);
    assert!(check(&history).counts.lacking(3).is_some());
    assert_eq!(crossed(&mut unread, Router { process: 1, orm: Orm::Seaorm }), (0, 0), "in vain");
}

#[test]
fn bounded_reads_owe_what_is_older() {
    let mut story = Story::new(1);
    story.append(9, 0);
    // It returned half a second before.
    assert_eq!(story.clone().read_at(1, Level::Bounded(500), &[0]).broken(), NONE);
    assert_eq!(story.clone().read_at(1, Level::Bounded(499), &[1]).broken(), NONE);
    assert_eq!(story.read_at(1, Level::Bounded(499), &[0]).broken(), [Rule::Bounded]);
}

#[test]
fn strong_reads_owe_everything() {
    let mut story = Story::new(1);
    story.append(9, 0);
    assert_eq!(story.clone().read_at(1, Level::Strong, &[1]).broken(), NONE);
    assert_eq!(story.clone().slowly().read_at(1, Level::Strong, &[0]).broken(), NONE);
    assert_eq!(story.read_at(1, Level::Strong, &[0]).broken(), [Rule::Strong]);
}

#[test]
fn states_are_beginnings() {
    let mut story = Story::new(2);
    story.append(8, 0).append(9, 1);
    assert_eq!(story.clone().read_at(1, Level::Eventual, &[1, 0]).broken(), NONE);
    assert_eq!(
        story.clone().read_at(1, Level::Eventual, &[0, 1]).broken(),
        [Rule::Prefix],
        "without the earlier"
    );
    let mut history = story.clone().stale(1, &[1, 0]).history();
    let Action::Read { seen, .. } = &mut history.ops[2].action else { panic!() };
    seen[0].item = 77;
    assert_eq!(check(&history).violations[0].rule, Rule::Prefix, "never written");
    // Concurrent writes: either order, but one of them.
    history = story.clone().stale(1, &[1, 0]).stale(2, &[0, 1]).history();
    history.ops[0].returned = u64::MAX;
    assert_eq!(check(&history).violations[0].rule, Rule::Prefix);
    let Action::Read { standby, .. } = &mut history.ops[2].action else { panic!() };
    *standby = false;
    assert_eq!(check(&history).violations, [], "a primary may show them in another order than its log");
}

#[test]
fn answered_writes_stay_unless_a_failover_lost_them_and_that_is_told() {
    let mut story = Story::new(1);
    story.append_as(1, 0, Outcome::Ok, false);
    assert_eq!(story.broken(), [Rule::Durable, Rule::Appends]);
    story.lossy = true;
    assert_eq!(story.broken(), NONE);
    assert_eq!(story.clone().stale(2, &[0]).broken(), NONE, "it was not theirs");
    assert_eq!(story.clone().stale(1, &[0]).broken(), [Rule::ToldLoss]);
    assert_eq!(story.clone().hand_over(1, 2).stale(2, &[0]).broken(), [Rule::ToldLoss]);
    let nothing = || Action::Read { level: Level::Session, seen: Vec::new(), standby: false };
    let told = story.op(1, Outcome::LostWrite, nothing());
    assert_eq!(told.stale(1, &[0]).broken(), NONE);
    assert_eq!(
        told.append_as(1, 0, Outcome::Ok, false).stale(1, &[0]).broken(),
        [Rule::ToldLoss],
        "another one"
    );
}

#[test]
fn the_independent_judge_sees_it_by_the_lists_alone() {
    let mut story = Story::new(2);
    story.append(9, 0).lists(1, Level::Session, &[1, 0]);
    assert_eq!(story.clone().lists(1, Level::Session, &[1, 0]).broken(), NONE);
    assert_eq!(story.clone().lists(2, Level::Session, &[0, 0]).broken(), NONE);
    assert!(story.clone().lists(1, Level::Session, &[0, 0]).broken().contains(&Rule::Appends), "went back");
    assert!(story.clone().lists(9, Level::Session, &[0, 0]).broken().contains(&Rule::Appends), "own write");
    assert!(story.clone().lists(3, Level::Strong, &[0, 0]).broken().contains(&Rule::Appends), "real time");
}

/// A primary and two standbys behind it, whose clients do as they are promised.
fn correct(choices: &[(u8, u8, u8)]) -> History {
    let mut story = Story::new(2);
    let mut log: Vec<[usize; 2]> = vec![[0; 2]];
    let mut standbys = [0_usize; 2];
    let mut floors = [0_usize; 4];
    for (what, who, where_) in choices {
        let (who, node) = (usize::from(who % 4), usize::from(where_ % 3));
        let newest = log.len() - 1;
        let session = u64::try_from(who).unwrap();
        match what % 8 {
            0 | 1 => {
                let key = usize::from(where_ % 2);
                let mut state = log[newest];
                state[key] += 1;
                log.push(state);
                floors[who] = newest + 1;
                story.append(session, Key::try_from(key).unwrap());
            }
            2 => {
                let standby = &mut standbys[node % 2];
                *standby = newest.min(*standby + usize::from(*where_) / 64 + 1);
            }
            3 if node < 2 => {
                story.standby = true;
                story.read_at(session, Level::Eventual, &log[standbys[node]]);
            }
            4 => {
                story.standby = false;
                story.lists(session, Level::Strong, &log[newest]);
                floors[who] = newest;
            }
            5 => {
                let to = (who + 1) % 4;
                floors[to] = floors[to].max(floors[who]);
                story.hand_over(session, u64::try_from(to).unwrap());
            }
            _ => {
                let at = if node < 2 && standbys[node] >= floors[who] { standbys[node] } else { newest };
                story.standby = node < 2 && at == standbys[node];
                match what % 8 {
                    6 => story.lists(session, Level::Session, &log[at]),
                    _ => story.read_at(session, Level::Session, &log[at]),
                };
                floors[who] = at;
            }
        }
    }
    story.history()
}

/// The same, of operations that lasted longer.
fn loosened(mut history: History, longer: &[(u64, u64)]) -> History {
    for (op, (before, after)) in history.ops.iter_mut().zip(longer) {
        op.invoked = op.invoked.saturating_sub(before * 700_000_000);
        op.returned += after * 700_000_000;
    }
    // A client does one thing after the other; here each does one.
    for (number, op) in (0..).zip(&mut history.ops) {
        op.client = number;
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nobody_objects_to_what_is_correct(choices in prop::collection::vec(any::<(u8, u8, u8)>(), 0..80)) {
        let verdict = check(&correct(&choices));
        prop_assert_eq!(verdict.violations, vec![]);
    }

    /// Longer operations only take obligations away.
    #[test]
    fn nobody_objects_when_less_is_known_of_the_order(
        choices in prop::collection::vec(any::<(u8, u8, u8)>(), 0..80),
        longer in prop::collection::vec((0..3_u64, 0..3_u64), 80),
    ) {
        let history = loosened(correct(&choices), &longer);
        prop_assert_eq!(check(&history).violations, vec![]);
    }
}
