//! A session that stays on the node which served it last.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Session;
use crate::time::Moment;
use crate::topology::NodeId;

/// Moments are kept in units of 2²⁶ ns (67 ms): 32 bits of them last for nine years.
const UNIT: u32 = 26;

impl Session {
    /// Notes that a node serves a read of this session.
    pub(crate) fn stick(&self, node: NodeId, now: Moment) {
        let word = (now.as_nanos() >> UNIT) << 32 | u64::from(node.number().saturating_add(1));
        if self.registers.node.load(Ordering::Relaxed) != word {
            self.registers.node.store(word, Ordering::Relaxed);
        }
    }

    /// The node that served it at most this long ago.
    pub(crate) fn sticks_to(&self, within: Duration, now: Moment) -> Option<NodeId> {
        let word = self.registers.node.load(Ordering::Relaxed);
        let node = u32::try_from(word & u64::from(u32::MAX)).ok()?.checked_sub(1)?;
        let served = Moment::from_nanos((word >> 32) << UNIT);
        (now.since(served) <= within).then(|| NodeId::new(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sticks_for_as_long_as_it_was_told() {
        let (session, ten) = (Session::new(), Duration::from_secs(10));
        let at = Moment::from_millis;
        assert_eq!(session.sticks_to(ten, at(0)), None);
        session.stick(NodeId::new(3), at(5_000));
        assert_eq!(session.sticks_to(ten, at(14_000)), Some(NodeId::new(3)));
        assert_eq!(session.sticks_to(ten, at(16_000)), None);
        session.stick(NodeId::new(0), at(16_000));
        assert_eq!(session.sticks_to(ten, at(16_000)), Some(NodeId::new(0)));
    }
}
