//! What is owed by, and to, who reads what a failover has lost.

use super::*;
use crate::history::Facts;

type Lists = BTreeMap<Key, Vec<Item>>;

impl Story {
    /// Of each list so much is left, and the rest is lost. What there was before.
    fn fail_over(&mut self, left: &[usize]) -> Lists {
        let before = self.lists.clone();
        self.lists.values_mut().zip(left).for_each(|(list, left)| list.truncate(*left));
        self.lossy = true;
        before
    }

    /// A read of so many items of other lists than are there now: as a whole, or their ends.
    fn read_of(
        &mut self,
        other: &Lists,
        session: SessionId,
        level: Level,
        versions: &[usize],
        whole: bool,
    ) -> &mut Self {
        let now = std::mem::replace(&mut self.lists, other.clone());
        match whole {
            true => self.lists(session, level, versions),
            false => self.read_at(session, level, versions),
        };
        self.lists = now;
        self
    }
}

#[test]
fn a_state_of_another_timeline_owes_what_came_after_the_failover() {
    let mut story = Story::new(1);
    story.append(9, 0).append(8, 0);
    let old = story.fail_over(&[1]);
    story.append(1, 0);
    for whole in [false, true] {
        let read =
            |story: &Story, session, level| story.clone().read_of(&old, session, level, &[2], whole).broken();
        assert_eq!(read(&story, 1, Level::Session), [Rule::OwnWrites]);
        assert_eq!(read(&story, 2, Level::Strong), [Rule::Strong]);
        assert_eq!(read(&story, 2, Level::Bounded(499)), [Rule::Bounded]);
        assert_eq!(read(story.clone().read(2), 2, Level::Session), [Rule::MonotonicReads]);
        assert_eq!(read(story.clone().hand_over(1, 2), 2, Level::Session), [Rule::WritesFollowReads]);
        // A primary that shows what is lost is the dead one, not one that is late to show what a standby did.
        let mut late = story.clone();
        late.ops[2].returned = u64::MAX;
        late.read(2).standby = false;
        assert_eq!(read(&late, 2, Level::Session), [Rule::MonotonicReads]);
    }
}

#[test]
fn a_state_of_another_timeline_owes_nothing_else() {
    let mut story = Story::new(1);
    story.append(1, 0).append(8, 0);
    let old = story.fail_over(&[1]);
    for whole in [false, true] {
        let read =
            |story: &Story, session, level| story.clone().read_of(&old, session, level, &[2], whole).broken();
        for level in [Level::Session, Level::Strong, Level::Bounded(0)] {
            assert_eq!(read(&story, 1, level), NONE, "all that came before the loss is there");
            assert_eq!(read(story.clone().append(3, 0).slowly(), 3, level), NONE, "it was under way");
        }
        let later = story.clone().append(3, 0).clone();
        assert_eq!(read(&later, 1, Level::Session), NONE, "somebody else");
        assert_eq!(read(&later, 3, Level::Eventual), NONE);
        assert_eq!(read(&later, 1, Level::Bounded(500)), NONE, "not yet");
    }
}

#[test]
fn where_a_list_was_lost_is_known_from_whoever_read_it() {
    let mut story = Story::new(1);
    story.append(9, 0).append(8, 0).append(8, 0);
    let old = story.fail_over(&[1]);
    story.append(1, 0);
    let end = |story: &Story| story.clone().read_of(&old, 1, Level::Session, &[3], false).broken();
    assert_eq!(end(&story), NONE, "its own may be the second one");
    assert_eq!(end(story.clone().read_of(&old, 2, Level::Eventual, &[3], true)), [Rule::OwnWrites]);
    assert_eq!(end(story.read_of(&old, 2, Level::Eventual, &[2], false)), [Rule::OwnWrites]);
}

#[test]
fn no_state_is_of_two_timelines() {
    let mut story = Story::new(2);
    story.append(9, 0);
    let mut both = story.fail_over(&[0, 0]);
    story.append(8, 0).append(7, 1);
    assert_eq!(story.clone().read_of(&both, 1, Level::Eventual, &[1, 0], false).broken(), NONE);
    both.insert(1, story.lists[&1].clone());
    assert_eq!(story.read_of(&both, 1, Level::Eventual, &[1, 1], false).broken(), [Rule::Prefix]);
}

#[test]
fn a_lost_write_need_not_be_told_while_it_is_shown() {
    let mut story = Story::new(1);
    story.append(8, 0).append(1, 0);
    let old = story.fail_over(&[0]);
    for whole in [false, true] {
        let read =
            |story: &Story, seen| story.clone().read_of(&old, 1, Level::Session, &[seen], whole).broken();
        assert_eq!(read(&story, 2), NONE);
        assert_eq!(read(&story, 1), [Rule::ToldLoss], "the other one is shown, and is older");
        assert_eq!(story.clone().read_of(&old, 2, Level::Session, &[1], whole).broken(), NONE);
    }
    // Where nobody knows which of the two came first, only the whole list tells.
    story.ops[0].returned = u64::MAX;
    for (whole, broken) in [(false, vec![]), (true, vec![Rule::ToldLoss])] {
        assert_eq!(story.clone().read_of(&old, 1, Level::Session, &[1], whole).broken(), broken);
    }
}

#[test]
fn of_the_lost_writes_of_a_session_none_is_overlooked() {
    let mut story = Story::new(1);
    story.append(1, 0).append(1, 0);
    let one_after_the_other = story.fail_over(&[0]);
    let mut at_once = story.clone();
    at_once.ops[0].returned = at_once.ops[1].returned;
    let second_first = Lists::from([(0, vec![2, 1])]);
    for (mut story, old) in [(story, one_after_the_other), (at_once, second_first)] {
        for reader in [1, 2] {
            let read = |seen| story.clone().read_of(&old, reader, Level::Session, &[seen], true).broken();
            assert_eq!(read(2), NONE, "both are shown");
            assert_eq!(read(1), [Rule::ToldLoss], "one is not, to session {reader}");
            story.hand_over(1, 2);
        }
    }
}

#[test]
fn a_write_that_was_asked_for_after_the_old_primary_was_dead_is_not_lost_with_it() {
    let mut story = Story::new(1);
    story.append_as(1, 0, Outcome::Ok, false).lossy = true;
    let mut history = story.history();
    let mut broken = |dead| {
        history.facts.lossy_until = dead;
        let verdict = check(&history);
        verdict.violations.iter().map(|violation| violation.rule).collect::<Vec<_>>()
    };
    let invoked = story.ops[0].invoked;
    assert_eq!(broken(Some(invoked)), [Rule::Durable]);
    assert_eq!(broken(Some(invoked + 1)), NONE, "it was under way when the primary died");
    assert_eq!(broken(None), NONE, "nobody knows when");
}

#[test]
fn histories_that_do_not_say_when_the_primary_died_are_read() {
    let older = r#"{"seed":1,"lossy":true,"faults":[],"finals":{}}"#;
    let facts: Facts = serde_json::from_str(older).unwrap();
    assert_eq!((facts.lossy, facts.lossy_until), (true, None));
    assert_eq!(serde_json::to_string(&facts).unwrap(), older);
}

/// What a session must see of each timeline: so much of the old one, and so much of the new one.
type Least = (usize, usize);

/// A primary that dies, whose first standby takes over, while the second one goes on to show what it had. Sessions are
/// told of a loss no sooner than they have to.
fn correct(before: &[(u8, u8, u8)], after: &[(u8, u8, u8)]) -> History {
    let mut story = Story::new(2);
    let mut old = vec![[0; 2]];
    let mut standbys = [0_usize; 2];
    let mut floors: [Least; 4] = [(0, 0); 4];
    let session = |who: usize| u64::try_from(who).unwrap();
    let append = |story: &mut Story, log: &mut Vec<[usize; 2]>, who, key: u8| {
        let mut state = log[log.len() - 1];
        state[usize::from(key % 2)] += 1;
        log.push(state);
        story.append(session(who), Key::from(key % 2));
        log.len() - 1
    };
    let hand_over = |story: &mut Story, floors: &mut [Least; 4], who: usize| {
        let (to, from) = ((who + 1) % 4, floors[who]);
        floors[to] = (floors[to].0.max(from.0), floors[to].1.max(from.1));
        story.hand_over(session(who), session(to));
    };
    for (what, who, where_) in before {
        let (who, node) = (usize::from(who % 4), usize::from(where_ % 2));
        match what % 4 {
            0 => floors[who].0 = append(&mut story, &mut old, who, *where_),
            1 => standbys[node] = (standbys[node] + usize::from(where_ / 64) + 1).min(old.len() - 1),
            2 => hand_over(&mut story, &mut floors, who),
            _ => {
                let at = if standbys[node] < floors[who].0 { old.len() - 1 } else { standbys[node] };
                story.standby = at == standbys[node];
                story.read_at(session(who), Level::Session, &old[at]);
                floors[who].0 = at;
            }
        }
    }
    let [left, other] = standbys;
    let lost = story.fail_over(&old[left]);
    let mut new = vec![old[left]];
    for (what, who, where_) in after {
        let who = usize::from(who % 4);
        let whole = where_ % 2 == 0;
        story.standby = true;
        match what % 6 {
            0 => floors[who].1 = append(&mut story, &mut new, who, *where_),
            1 => hand_over(&mut story, &mut floors, who),
            2 => drop(story.read_of(&lost, session(who), Level::Eventual, &old[other], whole)),
            3 if floors[who].1 == 0 && floors[who].0 <= other => {
                story.read_of(&lost, session(who), Level::Session, &old[other], whole);
                floors[who].0 = other;
            }
            what => {
                if floors[who].0 > left {
                    let nothing = Action::Read { level: Level::Session, seen: Vec::new(), standby: false };
                    story.op(session(who), Outcome::LostWrite, nothing);
                }
                let level = if what == 4 { Level::Strong } else { Level::Session };
                let newest = new.len() - 1;
                let at = if what == 4 { newest } else { floors[who].1.max(newest / 2) };
                story.standby = at < newest;
                match whole {
                    true => story.lists(session(who), level, &new[at]),
                    false => story.read_at(session(who), level, &new[at]),
                };
                floors[who] = (left, at);
            }
        }
    }
    story.history()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nobody_objects_to_what_is_correct_in_spite_of_a_loss(
        before in prop::collection::vec(any::<(u8, u8, u8)>(), 0..60),
        after in prop::collection::vec(any::<(u8, u8, u8)>(), 0..60),
    ) {
        prop_assert_eq!(check(&correct(&before, &after)).violations, vec![]);
    }

    #[test]
    fn nobody_objects_in_spite_of_a_loss_when_less_is_known_of_the_order(
        before in prop::collection::vec(any::<(u8, u8, u8)>(), 0..60),
        after in prop::collection::vec(any::<(u8, u8, u8)>(), 0..60),
        longer in prop::collection::vec((0..3_u64, 0..3_u64), 240),
    ) {
        let history = loosened(correct(&before, &after), &longer);
        prop_assert_eq!(check(&history).violations, vec![]);
    }
}

#[test]
fn what_is_correct_in_spite_of_a_loss_has_reads_of_what_is_lost() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut draw = || (0..60).map(|_| (rng.u8(..), rng.u8(..), rng.u8(..))).collect::<Vec<_>>();
    let histories = (0..50).map(|_| correct(&draw(), &draw()));
    let with = histories.filter(|history| check(history).counts.lost > 0).count();
    assert!(with > 10, "{with} of 50");
}

#[test]
fn what_is_lost_was_appended_once_and_was_one_list() {
    let mut story = Story::new(1);
    story.append(9, 0).append(8, 0).append(7, 0);
    story.fail_over(&[1]);
    let of = |items: &[Item]| Lists::from([(0, items.to_vec())]);
    for whole in [false, true] {
        let read =
            |items| story.clone().read_of(&of(items), 1, Level::Eventual, &[items.len()], whole).broken();
        assert_eq!(read(&[1, 2]), NONE);
        assert_eq!(read(&[1, 99]), [Rule::Prefix], "nobody has appended that");
    }
    let mut both = story.clone();
    both.read_of(&of(&[1, 2, 3]), 1, Level::Eventual, &[3], true);
    assert_eq!(both.clone().read_of(&of(&[1, 2]), 2, Level::Eventual, &[2], true).broken(), NONE);
    assert_eq!(both.read_of(&of(&[1, 3]), 2, Level::Eventual, &[2], true).broken(), [Rule::Prefix]);
}
