//! What waits for its delivery.

use std::collections::VecDeque;

use super::Notification;

/// Notifications that wait at most.
pub(super) const LONGEST: usize = 128;

/// A bounded queue. When it is full the oldest one of which there is a newer one about the same is left out, or else the
/// oldest: what holds now is worth more than what held.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Notification>,
}

impl Outbox {
    /// Adds one; gives back what is left out for it.
    pub(super) fn push(&mut self, notification: Notification) -> Option<Notification> {
        let left_out = if self.waiting.len() < LONGEST {
            None
        } else {
            self.waiting.remove(self.superseded(&notification))
        };
        self.waiting.push_back(notification);
        left_out
    }

    fn superseded(&self, newest: &Notification) -> usize {
        let has_newer = |(place, old): &(usize, &Notification)| {
            old.key == newest.key || self.waiting.range(place + 1..).any(|newer| newer.key == old.key)
        };
        self.waiting.iter().enumerate().find(has_newer).map_or(0, |(place, _)| place)
    }

    pub(super) fn pop(&mut self) -> Option<Notification> {
        self.waiting.pop_front()
    }

    /// Whether more than half of it is taken.
    pub(super) fn is_behind(&self) -> bool {
        self.waiting.len() > LONGEST / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::gate::tests::{closes, opens};

    #[test]
    fn what_has_a_newer_one_about_the_same_is_left_out_first() {
        let mut outbox = Outbox::default();
        (0..LONGEST).for_each(|node| assert!(outbox.push(opens(&node.to_string())).is_none()));
        assert_eq!(outbox.push(closes("5")).map(|out| out.key), Some(opens("5").key));
        assert_eq!(outbox.push(opens("new")).map(|out| out.key), Some(opens("0").key), "or else the oldest");
        assert_eq!(outbox.waiting.len(), LONGEST);
        assert_eq!(outbox.pop().map(|first| first.key), Some(opens("1").key));
    }
}
