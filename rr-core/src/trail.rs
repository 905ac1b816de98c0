//! Where the last statements went, for whoever watches.
//!
//! Nothing is noted while nobody does. A look asks for the next few routes; when they are noted, or when nobody looks
//! again, a route costs one relaxed load of a word that nobody writes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::consistency::Consistency;
use crate::route::{Access, Request, RouteReason};
use crate::snapshot::Common;
use crate::time::Moment;
use crate::topology::Role;

/// Routes that a look asks for: a page that is drawn four times a second has no room for more.
const WANTED: u32 = 64;

/// Routes that are kept, so that several may watch.
const KEPT: usize = 256;

/// After a pause of this length what is kept has no connection to what comes.
const PAUSE: Duration = Duration::from_secs(5);

/// A statement that was routed, and why it went there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Routed {
    /// Counts what was noted, from 1.
    pub number: u64,
    /// When it was routed, on the router's clock.
    pub at: Moment,
    /// Its node.
    pub node: Arc<str>,
    /// The role that the node had.
    pub role: Role,
    /// What kind of statement it is.
    pub access: Access,
    /// Why it went there.
    pub reason: RouteReason,
    /// Its consistency level, as far as its request told.
    pub level: Option<Consistency>,
}

/// Samples of routes.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    wanted: Wanted,
    noted: Mutex<Noted>,
}

/// How many more routes are to be noted. Alone on its cache line, as every route reads it.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Wanted(AtomicU32);

#[derive(Debug, Default)]
struct Noted {
    last: u64,
    looked: Moment,
    kept: VecDeque<Routed>,
}

impl Trail {
    /// Notes a route if somebody wants it.
    #[inline]
    pub(crate) fn note(&self, node: &Common, role: Role, request: &Request<'_>, reason: RouteReason) {
        if self.wanted.0.load(Ordering::Relaxed) != 0 {
            self.keep(node, role, request, reason);
        }
    }

    /// Holds nobody up: where somebody else is here, this route is left out.
    #[cold]
    fn keep(&self, node: &Common, role: Role, request: &Request<'_>, reason: RouteReason) {
        let Ok(mut noted) = self.noted.try_lock() else { return };
        let wanted = self.wanted.0.load(Ordering::Relaxed);
        if wanted == 0 {
            return;
        }
        self.wanted.0.store(wanted - 1, Ordering::Relaxed);
        noted.last += 1;
        let routed = Routed {
            number: noted.last,
            at: node.clock.now(),
            node: Arc::clone(&node.name),
            role,
            access: request.access,
            reason,
            level: request.level,
        };
        if noted.kept.len() == KEPT {
            noted.kept.pop_front();
        }
        noted.kept.push_back(routed);
    }

    /// What was noted after number `after`, and the next ones shall be noted as well.
    pub(crate) fn look(&self, after: u64, now: Moment) -> Vec<Routed> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(noted.looked) > PAUSE {
            noted.kept.clear();
        }
        noted.looked = now;
        self.wanted.0.store(WANTED, Ordering::Relaxed);
        noted.kept.iter().filter(|routed| routed.number > after).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::NodeConfig;
    use tokio::sync::mpsc;

    use super::*;
    use crate::requirement::Requirement;
    use crate::time::Clock;
    use crate::topology::NodeId;

    fn node() -> Common {
        Common::new(
            NodeId::new(0),
            NodeConfig::default().with_name("replica-1"),
            Clock::start(),
            mpsc::channel(1).0,
        )
    }

    fn route(trail: &Trail, times: u32) {
        let (node, request) = (node(), Request::read(Requirement::NONE));
        (0..times).for_each(|_| trail.note(&node, Role::Replica, &request, RouteReason::Replica));
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    #[test]
    fn nothing_is_noted_unless_somebody_looks() {
        let trail = Trail::default();
        route(&trail, 10);
        assert!(trail.look(0, at(10)).is_empty());
        route(&trail, 10);
        let seen: Vec<_> = trail.look(0, at(11)).iter().map(|routed| routed.number).collect();
        assert_eq!(seen, (1..=10).collect::<Vec<_>>());
        assert!(trail.look(10, at(11)).is_empty(), "each is told once");
    }

    #[test]
    fn a_look_asks_for_so_many_and_no_more() {
        let trail = Trail::default();
        trail.look(0, at(1));
        route(&trail, 10 * WANTED);
        assert_eq!(trail.look(0, at(2)).len(), WANTED as usize);
        (0..20).for_each(|_| {
            route(&trail, WANTED);
            trail.look(0, at(2));
        });
        let all = trail.look(0, at(3));
        assert_eq!((all.len(), all[0].number), (KEPT, 21 * u64::from(WANTED) - 255));
    }

    #[test]
    fn what_was_noted_before_a_pause_is_not_told_after_it() {
        let trail = Trail::default();
        trail.look(0, at(1));
        route(&trail, 3);
        assert!(trail.look(0, at(60)).is_empty());
    }

    #[test]
    fn a_route_does_not_wait_for_a_look() {
        let trail = Trail::default();
        trail.look(0, at(1));
        let looking = trail.noted.lock().unwrap();
        route(&trail, 1);
        drop(looking);
        assert!(trail.look(0, at(1)).is_empty());
    }
}
