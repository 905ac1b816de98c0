//! What a notifier is told of all that happens: its filter, and the damping of repeats. Pure.
//!
//! Two things must hold whatever is filtered and damped. Who was told that something began is told that it is over. And the
//! last word about a condition is always told, if late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Notification, Rules};
use crate::time::Moment;
use crate::world::Turn;

/// Messages about one condition that may follow each other at once: lag that goes through all levels and back is no
/// flapping.
const BURST: u32 = 6;

/// The filter of one notifier, with what it has told.
#[derive(Debug)]
pub(super) struct Gate {
    rules: Rules,
    keeps_conditions: bool,
    /// By key. As many as the nodes and conditions that there are: those of a node leave with it.
    told: BTreeMap<Arc<str>, Told>,
}

/// What was told of one condition.
#[derive(Debug)]
struct Told {
    node: Option<Arc<str>>,
    open: bool,
    /// Something was told of it.
    mentioned: bool,
    /// Messages that may be sent at once, as of `since`.
    left: u32,
    since: Moment,
    /// The last one that had to wait.
    held: Option<Notification>,
    /// Its node is gone.
    gone: bool,
}

impl Gate {
    pub(super) const fn new(rules: Rules, keeps_conditions: bool) -> Self {
        Self { rules, keeps_conditions, told: BTreeMap::new() }
    }

    /// What is to be told now that this has happened.
    pub(super) fn step(&mut self, notification: &Notification, now: Moment) -> Vec<Notification> {
        let mut out = Vec::new();
        if notification.kind == "left" {
            self.close_all_of(notification, now, &mut out);
        }
        let told =
            self.told.entry(Arc::clone(&notification.key)).or_insert_with(|| Told::new(notification, now));
        // A node that left may come back under its name.
        told.gone &= notification.kind == "left";
        let wanted = self.rules.kinds.is_empty() || self.rules.kinds.contains(notification.kind);
        let loud = wanted && notification.severity >= self.rules.min_severity;
        let turn = match notification.turn {
            Turn::Event | Turn::Opens if loud => notification.turn,
            // It is still there, and no longer bad enough for this notifier: over, as far as that one knows.
            Turn::Opens | Turn::Closes if told.open => Turn::Closes,
            Turn::Closes if loud || (wanted && !told.mentioned && self.keeps_conditions) => Turn::Closes,
            Turn::Event | Turn::Opens | Turn::Closes => return out,
        };
        told.mentioned = true;
        if turn != Turn::Event {
            told.open = turn == Turn::Opens;
        }
        out.extend(told.tell(Notification { turn, ..notification.clone() }, self.rules.damping, now));
        out
    }

    /// What began on a node that left is over.
    fn close_all_of(&mut self, left: &Notification, now: Moment, out: &mut Vec<Notification>) {
        self.told.retain(|_, told| !told.gone || told.held.is_some());
        for (key, told) in
            self.told.iter_mut().filter(|(_, told)| told.node.is_some() && told.node == left.node)
        {
            told.gone = true;
            if std::mem::take(&mut told.open) {
                let over = Notification { key: Arc::clone(key), turn: Turn::Closes, ..left.clone() };
                out.extend(told.tell(over, self.rules.damping, now));
            }
        }
    }

    /// When something that is held back may be told.
    pub(super) fn due(&self) -> Option<Moment> {
        let damping = self.rules.damping?;
        self.told.values().filter(|told| told.held.is_some()).map(|told| told.since + damping).min()
    }

    /// What was held back long enough.
    pub(super) fn ripe(&mut self, now: Moment) -> Vec<Notification> {
        let damping = self.rules.damping;
        self.told.values_mut().filter_map(|told| told.release(damping, now)).collect()
    }

    /// What is still held back, when there is no later.
    pub(super) fn flush(&mut self) -> Vec<Notification> {
        self.told.values_mut().filter_map(|told| told.held.take()).collect()
    }
}

impl Told {
    fn new(notification: &Notification, now: Moment) -> Self {
        let node = notification.node.clone();
        let gone = notification.kind == "left";
        Self { node, open: false, mentioned: false, left: BURST, since: now, held: None, gone }
    }

    fn tell(
        &mut self,
        mut next: Notification,
        damping: Option<Duration>,
        now: Moment,
    ) -> Option<Notification> {
        if let Some(before) = self.held.take() {
            next.left_out = before.left_out.saturating_add(1);
        }
        self.held = Some(next);
        self.release(damping, now)
    }

    fn release(&mut self, damping: Option<Duration>, now: Moment) -> Option<Notification> {
        if let Some(damping) = damping {
            while self.left < BURST && now.since(self.since) >= damping {
                self.left += 1;
                self.since = self.since + damping;
            }
            if self.left == 0 {
                return None;
            }
            if self.left == BURST {
                self.since = now;
            }
        }
        let next = self.held.take()?;
        self.left = self.left.saturating_sub(1);
        Some(next)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::time::Wall;
    use crate::topology::{Epoch, HealthState};
    use crate::world::{Notice, Severity};

    fn of(notice: &Notice) -> Notification {
        Notification::of(notice, &"shop".into(), Epoch::default(), Wall::from_seconds(1_700_000_000))
    }

    pub(in crate::notify) fn opens(node: &str) -> Notification {
        of(&Notice::Ejected { node: node.into(), for_: Duration::from_secs(5) })
    }

    pub(in crate::notify) fn closes(node: &str) -> Notification {
        of(&Notice::Readmitted { node: node.into() })
    }

    fn lag(to: crate::lag::LagLevel) -> Notification {
        of(&Notice::Lag { node: "a".into(), from: crate::lag::LagLevel::Ok, to, staleness: Duration::ZERO })
    }

    fn health(from: HealthState, to: HealthState) -> Notification {
        of(&Notice::Health { node: "a".into(), from, to })
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn gate(rules: Rules) -> Gate {
        Gate::new(rules, false)
    }

    fn turns(told: &[Notification]) -> Vec<Turn> {
        told.iter().map(|told| told.turn).collect()
    }

    #[test]
    fn the_end_is_told_to_who_was_told_of_the_beginning() {
        let mut gate = gate(Rules::default());
        assert!(
            gate.step(&closes("a"), at(0)).is_empty(),
            "an end without a beginning is not worth a warning"
        );
        assert_eq!(turns(&gate.step(&opens("a"), at(1))), [Turn::Opens]);
        assert_eq!(turns(&gate.step(&closes("a"), at(2))), [Turn::Closes]);
        assert!(gate.step(&closes("a"), at(3)).is_empty());
    }

    #[test]
    fn a_level_below_the_threshold_is_the_end() {
        use crate::lag::LagLevel::{Critical, Error, Info, Ok, Warning};
        let mut gate = gate(Rules::default().min_severity(Severity::Error));
        let mut told = |level| turns(&gate.step(&lag(level), at(0)));
        assert_eq!(told(Warning), []);
        assert_eq!(told(Critical), [Turn::Opens]);
        assert_eq!(told(Error), [Turn::Opens]);
        assert_eq!(told(Info), [Turn::Closes]);
        assert_eq!(told(Ok), []);
    }

    #[test]
    fn kinds_filter_and_the_end_comes_through() {
        let mut gate = gate(Rules::default().kinds(["ejected"]));
        assert!(gate.step(&lag(crate::lag::LagLevel::Critical), at(0)).is_empty());
        assert_eq!(turns(&gate.step(&opens("a"), at(0))), [Turn::Opens]);
        assert_eq!(turns(&gate.step(&closes("a"), at(0))), [Turn::Closes]);
    }

    #[test]
    fn who_keeps_conditions_is_told_of_those_of_an_earlier_process_once() {
        let mut gate = Gate::new(Rules::default(), true);
        let degraded = HealthState::Degraded;
        assert!(gate.step(&health(HealthState::Unknown, degraded), at(0)).is_empty());
        assert_eq!(turns(&gate.step(&health(degraded, HealthState::Healthy), at(0))), [Turn::Closes]);
        assert_eq!(turns(&gate.step(&closes("a"), at(0))), [Turn::Closes]);
        assert!(gate.step(&closes("a"), at(1)).is_empty());
    }

    #[test]
    fn a_flapping_node_is_told_of_now_and_then_and_its_last_word_in_any_case() {
        let mut gate = gate(Rules::default());
        let mut told = Vec::new();
        for second in 0..100 {
            told.extend(gate.step(&opens("a"), at(second)));
            told.extend(gate.step(&closes("a"), at(second)));
            told.extend(gate.ripe(at(second)));
        }
        assert_eq!(told.len(), 7, "six at once, and one after a minute: {told:#?}");
        let due = gate.due().expect("the last word is held");
        assert_eq!(due, at(120));
        assert!(gate.ripe(at(119)).is_empty());
        let last = gate.ripe(due);
        assert_eq!(turns(&last), [Turn::Closes]);
        told.extend(last);
        let all: u32 = told.iter().map(|told| told.left_out + 1).sum();
        assert_eq!(all, 200, "whatever is left out is counted");
        assert_eq!((gate.due(), gate.ripe(at(1000)).len()), (None, 0));
    }

    #[test]
    fn conditions_are_damped_one_by_one_and_quiet_restores_the_burst() {
        let mut gate = gate(Rules::default());
        let mut flap = |node, second| {
            let notifications = [opens(node), closes(node)].into_iter().cycle().take(20);
            notifications.map(|next| gate.step(&next, at(second)).len()).sum::<usize>()
        };
        assert_eq!((flap("a", 0), flap("b", 0), flap("a", 1000)), (6, 6, 6));
    }

    #[test]
    fn without_damping_everything_is_told() {
        let mut gate = gate(Rules::everything());
        assert_eq!((0..100).map(|n| gate.step(&opens("a"), at(n)).len()).sum::<usize>(), 100);
    }

    #[test]
    fn what_began_on_a_node_that_leaves_is_over_and_forgotten() {
        let mut gate = gate(Rules::default());
        gate.step(&opens("a"), at(0));
        gate.step(&opens("b"), at(0));
        let told = gate.step(&of(&Notice::Left { node: "a".into() }), at(1));
        assert_eq!((turns(&told), &*told[0].key), (vec![Turn::Closes], "shop/ejected/a"));
        gate.step(&of(&Notice::Left { node: "c".into() }), at(2));
        assert_eq!(gate.told.keys().map(|key| &**key).collect::<Vec<_>>(), ["shop/ejected/b", "shop/left/c"]);
    }

    #[test]
    fn at_the_end_what_is_held_is_told() {
        let mut gate = gate(Rules::default());
        (0..8).for_each(|_| drop(gate.step(&opens("a"), at(0))));
        assert_eq!(gate.flush().iter().map(|held| held.left_out).collect::<Vec<_>>(), [1]);
    }
}
