//! What a notice means to whoever is told of it: how bad it is, whom it is about, and whether it begins or ends something.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Notice;
use crate::discovery::Finding;
use crate::failover::{Decision, Ending};
use crate::lag::LagLevel;
use crate::topology::HealthState;

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should have a look, some time.
    #[default]
    Warning,
    /// Something does not work.
    Error,
    /// The application cannot work, or has lost something.
    Critical,
}

impl Severity {
    /// Every severity, the mildest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// Its name, in small letters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a notice does to the condition that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Turn {
    /// A condition that lasts begins, or has become better or worse.
    Opens,
    /// It is over.
    Closes,
    /// Something happened, and is over at once.
    Event,
}

/// What a notice is about. Whatever closes a condition has the subject of what opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Subject<'a> {
    /// The kind of condition.
    pub condition: &'static str,
    /// The node that it is about; `None`: the cluster.
    pub node: Option<&'a Arc<str>>,
}

impl Notice {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Health { to: HealthState::Unhealthy, .. } | Self::Quarantined { .. } => Severity::Error,
            Self::Ejected { .. } | Self::Panic(true) => Severity::Warning,
            Self::Discovery { finding, .. } if finding.is_warning() => Severity::Warning,
            Self::ForeignMemory { .. } | Self::TimelineHeard { .. } => Severity::Warning,
            Self::Primary { to: None, .. } | Self::SplitBrain { .. } | Self::LostWrite(_) => {
                Severity::Critical
            }
            Self::Primary { from: Some(_), .. } => Severity::Warning,
            Self::Lag { to, .. } => match to {
                LagLevel::Critical => Severity::Critical,
                LagLevel::Error => Severity::Error,
                LagLevel::Warning => Severity::Warning,
                LagLevel::Ok | LagLevel::Info => Severity::Info,
            },
            Self::Failover { decision, .. } => match decision {
                Decision::Stay => Severity::Info,
                Decision::Confirming { .. } | Decision::Promote(_) => Severity::Warning,
                Decision::Propose(_) => Severity::Error,
                Decision::Blocked(_) => Severity::Critical,
            },
            Self::Promotion(report) => match report.ending {
                Ending::Promoted(_) => Severity::Warning,
                Ending::Stopped(_) | Ending::InDoubt(..) => Severity::Critical,
            },
            Self::Proposed { .. } => Severity::Error,
            Self::Holding { .. } => Severity::Warning,
            // One failed probe, or back on probation: it serves.
            Self::Health { .. }
            | Self::Primary { .. }
            | Self::FirstWrite { .. }
            | Self::Panic(false)
            | Self::Resumed
            | Self::Discovery { .. }
            | Self::Readmitted { .. }
            | Self::Released { .. }
            | Self::Unprivileged { .. }
            | Self::Joined { .. }
            | Self::Draining { .. }
            | Self::Left { .. } => Severity::Info,
        }
    }

    /// Whether it begins or ends something.
    #[must_use]
    pub const fn turn(&self) -> Turn {
        match self {
            Self::Discovery { finding: Finding::Recovered, .. } => Turn::Closes,
            Self::Discovery { finding: Finding::Failed { .. }, .. } => Turn::Opens,
            Self::Discovery { .. }
            | Self::Health { to: HealthState::Unknown, .. }
            | Self::Primary { from: Some(_), to: Some(_), .. }
            | Self::FirstWrite { .. }
            | Self::LostWrite(_)
            | Self::ForeignMemory { .. }
            | Self::TimelineHeard { .. }
            | Self::Holding { .. }
            | Self::Resumed
            | Self::Proposed { .. }
            | Self::Promotion(_)
            | Self::Unprivileged { .. }
            | Self::Joined { .. }
            | Self::Draining { .. }
            | Self::Left { .. } => Turn::Event,
            Self::Health { to: HealthState::Healthy, .. }
            | Self::Readmitted { .. }
            | Self::Primary { to: Some(_), .. }
            | Self::Released { .. }
            | Self::Lag { to: LagLevel::Ok, .. }
            | Self::Panic(false)
            | Self::Failover { decision: Decision::Stay, .. } => Turn::Closes,
            Self::Health { .. }
            | Self::Ejected { .. }
            | Self::Primary { to: None, .. }
            | Self::SplitBrain { .. }
            | Self::Quarantined { .. }
            | Self::Lag { .. }
            | Self::Panic(true)
            | Self::Failover { .. } => Turn::Opens,
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn subject(&self) -> Subject<'_> {
        let (condition, node) = match self {
            Self::Ejected { node, .. } | Self::Readmitted { node } => ("ejected", Some(node)),
            Self::Quarantined { node, .. } | Self::Released { node } => ("quarantined", Some(node)),
            // One primary gave way to another: that is about the new one, and closes nothing.
            Self::Primary { from: Some(_), to: Some(node), .. } => (self.kind(), Some(node)),
            // Both leave nobody to write to, and both are over when somebody is the primary.
            Self::Primary { .. } | Self::SplitBrain { .. } => ("primary", None),
            Self::Health { node, .. }
            | Self::FirstWrite { node, .. }
            | Self::Lag { node, .. }
            | Self::Unprivileged { node }
            | Self::Joined { node }
            | Self::Draining { node }
            | Self::Left { node } => (self.kind(), Some(node)),
            // Whether a source answers is about the source, and everything else about what was found.
            Self::Discovery { finding, source } => match finding.node() {
                Some(node) => (self.kind(), Some(node)),
                None => ("discovery_failed", Some(source)),
            },
            Self::Holding { to: node } | Self::Proposed { target: node, .. } => (self.kind(), Some(node)),
            Self::Panic(_)
            | Self::Failover { .. }
            | Self::ForeignMemory { .. }
            | Self::TimelineHeard { .. }
            | Self::Resumed
            | Self::Promotion(_)
            | Self::LostWrite(_) => (self.kind(), None),
        };
        Subject { condition, node }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::topology::Epoch;

    fn node() -> Arc<str> {
        "replica-1".into()
    }

    fn health(from: HealthState, to: HealthState) -> Notice {
        Notice::Health { node: node(), from, to }
    }

    fn primary(from: Option<&str>, to: Option<&str>) -> Notice {
        Notice::Primary { epoch: Epoch::default(), from: from.map(Into::into), to: to.map(Into::into) }
    }

    fn lag(from: LagLevel, to: LagLevel) -> Notice {
        Notice::Lag { node: node(), from, to, staleness: Duration::ZERO }
    }

    #[test]
    fn what_closes_a_condition_has_the_subject_of_what_opened_it() {
        use HealthState::{Degraded, Healthy, Unhealthy};
        let why = crate::topology::Quarantine::BeyondFork;
        let pairs = [
            (health(Healthy, Unhealthy), health(Unhealthy, Healthy)),
            (health(Degraded, Unhealthy), health(Degraded, Healthy)),
            (Notice::Ejected { node: node(), for_: Duration::ZERO }, Notice::Readmitted { node: node() }),
            (Notice::Quarantined { node: node(), why }, Notice::Released { node: node() }),
            (primary(Some("a"), None), primary(None, Some("b"))),
            (Notice::SplitBrain { first: "a".into(), second: "b".into() }, primary(None, Some("b"))),
            (lag(LagLevel::Ok, LagLevel::Critical), lag(LagLevel::Info, LagLevel::Ok)),
            (Notice::Panic(true), Notice::Panic(false)),
        ];
        for (opens, closes) in pairs {
            assert_eq!((opens.turn(), closes.turn()), (Turn::Opens, Turn::Closes), "{opens}");
            assert_eq!(opens.subject(), closes.subject(), "{opens}");
            assert!(opens.severity() > closes.severity(), "{opens}");
            assert!(opens.is_warning() && !closes.is_warning(), "{opens}");
        }
    }

    #[test]
    fn a_failover_is_an_event_about_the_new_primary() {
        let failover = primary(Some("a"), Some("b"));
        assert_eq!((failover.turn(), failover.severity()), (Turn::Event, Severity::Warning));
        assert_eq!(failover.subject().node.map(|name| &**name), Some("b"));
    }

    #[test]
    fn the_levels_of_lag_are_severities() {
        use LagLevel::{Critical, Error, Info, Ok, Warning};
        for (level, severity) in [
            (Info, Severity::Info),
            (Warning, Severity::Warning),
            (Error, Severity::Error),
            (Critical, Severity::Critical),
        ] {
            let notice = lag(Ok, level);
            assert_eq!((notice.severity(), notice.turn()), (severity, Turn::Opens));
        }
    }

    #[test]
    fn every_kind_is_listed() {
        for notice in
            [health(HealthState::Unknown, HealthState::Healthy), primary(None, None), Notice::Panic(true)]
        {
            assert!(Notice::KINDS.contains(&notice.kind()));
        }
    }
}
