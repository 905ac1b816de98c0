//! Changes of primary: whose doing they were, and how they ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::failover::{Ending, Report};
use crate::time::Moment;

/// Whose doing a change of primary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turnover {
    /// Somebody else's: the router follows.
    Followed,
    /// This router's, because the primary was gone.
    Failover,
    /// This router's, as planned.
    Switchover,
}

impl Turnover {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Followed => "followed",
            Self::Failover => "failover",
            Self::Switchover => "switchover",
        }
    }
}

/// How a change of primary ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnoverOutcome {
    /// There is a new primary.
    Promoted,
    /// Nobody was promoted.
    Stopped,
    /// Nobody knows.
    InDoubt,
}

impl TurnoverOutcome {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Stopped => "stopped",
            Self::InDoubt => "in_doubt",
        }
    }
}

/// How many there were.
#[derive(Debug, Default)]
pub(crate) struct Failovers([AtomicU64; 9]);

impl Failovers {
    /// All that there can be: what somebody else has done has succeeded, or nobody has heard of it.
    pub(crate) const ALL: [(Turnover, TurnoverOutcome); 7] = [
        (Turnover::Followed, TurnoverOutcome::Promoted),
        (Turnover::Failover, TurnoverOutcome::Promoted),
        (Turnover::Failover, TurnoverOutcome::Stopped),
        (Turnover::Failover, TurnoverOutcome::InDoubt),
        (Turnover::Switchover, TurnoverOutcome::Promoted),
        (Turnover::Switchover, TurnoverOutcome::Stopped),
        (Turnover::Switchover, TurnoverOutcome::InDoubt),
    ];

    const fn index(kind: Turnover, outcome: TurnoverOutcome) -> usize {
        kind as usize * 3 + outcome as usize
    }

    pub(crate) fn count(&self, kind: Turnover, outcome: TurnoverOutcome) {
        self.0[Self::index(kind, outcome)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, kind: Turnover, outcome: TurnoverOutcome) -> u64 {
        self.0[Self::index(kind, outcome)].load(Ordering::Relaxed)
    }

    /// Counts what became of a promotion by this router.
    pub(crate) fn count_report(&self, report: &Report) -> Turnover {
        let kind = if report.planned { Turnover::Switchover } else { Turnover::Failover };
        let outcome = match report.ending {
            Ending::Promoted(_) => TurnoverOutcome::Promoted,
            Ending::Stopped(_) => TurnoverOutcome::Stopped,
            Ending::InDoubt(..) => TurnoverOutcome::InDoubt,
        };
        self.count(kind, outcome);
        kind
    }
}

/// Who was the primary last, and since when nobody takes writes.
#[derive(Debug, Default)]
pub(crate) struct Reign {
    last: Option<Arc<str>>,
    lost_at: Option<Moment>,
}

/// Another node is the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Succession {
    /// Since when nobody took writes; `None` where no outage was seen.
    pub(crate) lost_at: Option<Moment>,
}

impl Reign {
    /// The primary changes to `to`. `silent_since` says when the last one fell silent, if it is.
    pub(crate) fn passes(
        &mut self,
        to: Option<&Arc<str>>,
        silent_since: Option<Moment>,
        now: Moment,
    ) -> Option<Succession> {
        let Some(to) = to else {
            self.lost_at = self.lost_at.or(silent_since).or(Some(now));
            return None;
        };
        let lost_at = self.lost_at.take().or(silent_since);
        let last = self.last.replace(Arc::clone(to))?;
        (last != *to).then_some(Succession { lost_at })
    }

    /// Writes that were held go on, to the same primary.
    pub(crate) const fn resumes(&mut self) {
        self.lost_at = None;
    }

    /// Who was the primary last.
    pub(crate) const fn last(&self) -> Option<&Arc<str>> {
        self.last.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_succession_is_another_node_and_lasts_from_the_first_silence() {
        let at = Moment::from_millis;
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut reign = Reign::default();
        assert_eq!(reign.passes(Some(&a), None, at(1)), None, "the first one is no change");
        assert_eq!(reign.passes(None, Some(at(5)), at(7)), None);
        assert_eq!(reign.passes(Some(&a), None, at(8)), None, "it is back");
        assert_eq!(reign.passes(None, None, at(10)), None);
        assert_eq!(reign.passes(None, None, at(11)), None);
        let since = |millis| Some(Succession { lost_at: Some(at(millis)) });
        assert_eq!(reign.passes(Some(&b), None, at(30)), since(10));
        assert_eq!(reign.passes(Some(&a), Some(at(40)), at(60)), since(40));
        let unseen = Some(Succession { lost_at: None });
        assert_eq!(reign.passes(Some(&b), None, at(70)), unseen, "no outage was seen");
        assert_eq!(reign.passes(None, None, at(80)), None, "writes are held");
        reign.resumes();
        assert_eq!(reign.passes(Some(&a), None, at(90)), unseen, "they had gone on");
    }
}
