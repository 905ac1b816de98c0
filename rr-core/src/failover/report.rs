//! What became of a promotion, for people: how long each part of it took, and what is left to do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::step::Ending;
use crate::time::Moment;

/// A part of a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// From the first failed look at the primary to the decision.
    Detection,
    /// Fencing the old primary.
    Fencing,
    /// The closer look at all replicas, and the choice.
    Election,
    /// A switchover: what is under way ends, and the old primary refuses more.
    Draining,
    /// The candidate applies what it has received.
    CatchingUp,
    /// From the order to a primary that is accepted.
    Promotion,
    /// The other replicas follow the new primary.
    Repointing,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 7] = [
        Self::Detection,
        Self::Fencing,
        Self::Election,
        Self::Draining,
        Self::CatchingUp,
        Self::Promotion,
        Self::Repointing,
    ];

    /// Its name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Fencing => "fencing",
            Self::Election => "election",
            Self::Draining => "draining",
            Self::CatchingUp => "catching up",
            Self::Promotion => "promotion",
            Self::Repointing => "re-pointing",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long each phase took; those that there were none of are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    phases: [Duration; Phase::ALL.len()],
    /// From the first failed look (or from when writes were held) to a primary that is accepted; `None` when there is none.
    pub outage: Option<Duration>,
    /// From the same moment to the first write that the new primary has answered; `None` while there is none. It may come after
    /// the end of the promotion: [`history`](crate::router::Failover::history) has it then.
    pub first_write: Option<Duration>,
}

impl Durations {
    /// How long a phase took.
    #[must_use]
    pub const fn of(&self, phase: Phase) -> Duration {
        self.phases[phase as usize]
    }

    pub(crate) fn add(&mut self, phase: Phase, took: Duration) {
        self.phases[phase as usize] += took;
    }
}

impl fmt::Display for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = Phase::ALL.into_iter().filter(|phase| !self.of(*phase).is_zero());
        for (place, phase) in taken.enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{phase} {:.1?}", self.of(phase))?;
        }
        let Some(outage) = self.outage else { return Ok(()) };
        write!(f, "; no writes for {outage:.1?}")?;
        self.first_write.map_or(Ok(()), |after| write!(f, ", the first one answered after {after:.1?}"))
    }
}

/// A promotion that waits for somebody's approval.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proposal {
    /// To approve it by.
    pub id: u64,
    /// Who should take over.
    pub target: Arc<str>,
    /// When it was made, on the router's clock.
    pub made_at: Moment,
    /// When it can be approved no more, on the router's clock.
    pub expires_at: Moment,
}

/// One promotion, or an attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Counted up by the router that did it.
    pub id: u64,
    /// Why it was begun.
    pub reason: Arc<str>,
    /// The old primary was well: a switchover.
    pub planned: bool,
    /// When it was begun, on the router's clock.
    pub began: Moment,
    /// Who was the primary.
    pub from: Option<Arc<str>>,
    /// Who was to be the primary, as far as one was chosen.
    pub to: Option<Arc<str>>,
    /// How it ended.
    pub ending: Ending,
    /// How long each part took.
    pub durations: Durations,
    /// What a person has to do now.
    pub to_do: Vec<String>,
}

impl Report {
    /// Whether there is a new primary.
    #[must_use]
    pub const fn succeeded(&self) -> bool {
        matches!(self.ending, Ending::Promoted(_))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.planned { "switchover" } else { "failover" };
        let name = |node: &Option<Arc<str>>| {
            node.as_ref().map_or_else(|| "nobody".into(), |node| format!("`{node}`"))
        };
        let (from, to) = (name(&self.from), name(&self.to));
        match &self.ending {
            Ending::Promoted(_) => {
                write!(f, "{what} from {from} to {to} ({}): {}", self.reason, self.durations)?
            }
            Ending::Stopped(why) => {
                write!(f, "{what} from {from} ({}) stopped, and nobody was promoted: {why}", self.reason)?;
            }
            Ending::InDoubt(_, why) => write!(
                f,
                "{what} from {from} ({}): {to} was told to take over and nobody knows whether it has ({why}); writes \
                 are held until it is seen as the primary, or somebody has looked and says that it is not one",
                self.reason
            )?,
        }
        self.to_do.iter().try_for_each(|what| write!(f, "; to do: {what}"))
    }
}
