//! What is made small is still broken, by the same rule.

use super::*;
use crate::minimise::minimise;

/// Some life, then what breaks a rule, then some more.
fn broken(rule: Rule) -> History {
    let mut story = Story::new(2);
    let live = |story: &mut Story| {
        for number in 10..40 {
            story.append(number % 7, 0).append(number % 5, 1).read(number % 7).hand_over(number % 7, number);
        }
    };
    live(&mut story);
    let all = |story: &Story| [story.lists[&0].len(), story.lists[&1].len()];
    let before = all(&story);
    match rule {
        Rule::OwnWrites => story.append(90, 0).stale(90, &before),
        Rule::MonotonicReads => story.append(90, 0).read(91).stale(91, &before),
        Rule::WritesFollowReads => story.append(90, 0).hand_over(90, 91).stale(91, &before),
        Rule::Bounded => story.append(90, 0).read_at(91, Level::Bounded(1), &before),
        Rule::Prefix => {
            let [first, second] = before;
            story.append(90, 0).append(91, 1).read_at(92, Level::Eventual, &[first, second + 1])
        }
        Rule::Strong => story.append(90, 0).read_at(91, Level::Strong, &before),
        Rule::ToldLoss => {
            story.lossy = true;
            story.append_as(90, 0, Outcome::Ok, false).stale(90, &before)
        }
        Rule::Durable => story.append_as(90, 0, Outcome::Ok, false),
        Rule::Appends => story.append(90, 0).lists(90, Level::Session, &before),
    };
    live(&mut story);
    story.history()
}

#[test]
fn what_is_left_breaks_the_rule() {
    for rule in Rule::ALL {
        let history = broken(rule);
        let breaks =
            |history: &History| check(history).violations.iter().any(|violation| violation.rule == rule);
        assert!(breaks(&history), "{rule:?}");
        let small = minimise(&history, rule);
        assert!(breaks(&small), "{rule:?}");
        assert!(small.ops.len() < 8, "{rule:?}: {} of {}", small.ops.len(), history.ops.len());
    }
}
