//! What the world tells people: logs, metrics, callbacks and notifiers are fed from it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::discovery::Finding;
use crate::failover::{Decision, Report};
use crate::lag::LagLevel;
use crate::position::Timeline;
use crate::token::LostWrite;
use crate::topology::{Epoch, HealthState, Quarantine};

mod bearing;

pub use bearing::{Severity, Subject, Turn};

/// Something changed that a person or a dashboard wants to know. Each is told once, not once per request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A node's health changed.
    Health {
        /// Its name.
        node: Arc<str>,
        /// What it was.
        from: HealthState,
        /// What it is.
        to: HealthState,
    },
    /// A node that answers is out of the rotation because statements failed on it.
    Ejected {
        /// Its name.
        node: Arc<str>,
        /// For how long.
        for_: Duration,
    },
    /// An ejected node is back.
    Readmitted {
        /// Its name.
        node: Arc<str>,
    },
    /// Another node is the primary, or none is.
    Primary {
        /// The epoch that begins with it.
        epoch: Epoch,
        /// Who was it.
        from: Option<Arc<str>>,
        /// Who is it; `None`: nobody.
        to: Option<Arc<str>>,
    },
    /// A new primary has answered its first write.
    FirstWrite {
        /// The epoch that began with that primary.
        epoch: Epoch,
        /// Its name.
        node: Arc<str>,
        /// How long no write was answered: from the first failed look at the old primary, or from when writes were held.
        /// `None` where no outage was seen.
        outage: Option<Duration>,
        /// How long it had been accepted as the primary by then.
        accepted: Duration,
    },
    /// Two nodes take writes on the same history; nobody is written to.
    SplitBrain {
        /// One of them.
        first: Arc<str>,
        /// The other one.
        second: Arc<str>,
    },
    /// A node is kept away from all traffic.
    Quarantined {
        /// Its name.
        node: Arc<str>,
        /// Why.
        why: Quarantine,
    },
    /// A node is no longer kept away.
    Released {
        /// Its name.
        node: Arc<str>,
    },
    /// The lag of a replica entered another alert level.
    Lag {
        /// Its name.
        node: Arc<str>,
        /// The level before.
        from: LagLevel,
        /// The level now.
        to: LagLevel,
        /// An upper bound of the age of its data.
        staleness: Duration,
    },
    /// So many replicas were ejected that ejection is ignored (or no longer).
    Panic(bool),
    /// What is to be done about a failing primary.
    Failover {
        /// What was decided.
        decision: Decision,
        /// The node that would take over.
        target: Option<Arc<str>>,
    },
    /// Writes are held because another node is about to be the primary.
    Holding {
        /// Who takes over.
        to: Arc<str>,
    },
    /// Writes are held no longer, and the primary is who it was.
    Resumed,
    /// A promotion waits for approval.
    Proposed {
        /// To approve it by.
        id: u64,
        /// Who should take over.
        target: Arc<str>,
    },
    /// A promotion was carried out or given up.
    Promotion(Arc<Report>),
    /// The role that watches a replica may not see its timeline.
    Unprivileged {
        /// Its name.
        node: Arc<str>,
    },
    /// What was remembered of timelines is about another cluster, and is not used.
    ForeignMemory {
        /// Whose it is (PostgreSQL's system identifier).
        file: u64,
        /// Which cluster this is.
        cluster: u64,
    },
    /// A token speaks of a timeline that no node has shown so far.
    TimelineHeard {
        /// The timeline.
        timeline: Timeline,
    },
    /// A failover lost something that this process had written.
    LostWrite(LostWrite),
    /// A node joined.
    Joined {
        /// Its name.
        node: Arc<str>,
    },
    /// A node gets nothing new.
    Draining {
        /// Its name.
        node: Arc<str>,
    },
    /// A node is gone.
    Left {
        /// Its name.
        node: Arc<str>,
    },
    /// Discovery found something out, or failed to.
    Discovery {
        /// Which one.
        source: Arc<str>,
        /// What.
        finding: Finding,
    },
}

impl Notice {
    /// Its kind, as a label of few values.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Health { .. } => "health",
            Self::Ejected { .. } => "ejected",
            Self::Readmitted { .. } => "readmitted",
            Self::Primary { .. } => "primary",
            Self::FirstWrite { .. } => "first_write",
            Self::SplitBrain { .. } => "split_brain",
            Self::Quarantined { .. } => "quarantined",
            Self::Released { .. } => "released",
            Self::Lag { .. } => "lag",
            Self::Panic(_) => "panic",
            Self::Failover { .. } => "failover",
            Self::Holding { .. } => "holding",
            Self::Resumed => "resumed",
            Self::Proposed { .. } => "proposed",
            Self::Promotion(_) => "promotion",
            Self::Unprivileged { .. } => "unprivileged",
            Self::ForeignMemory { .. } => "foreign_memory",
            Self::TimelineHeard { .. } => "timeline_heard",
            Self::LostWrite(_) => "lost_write",
            Self::Joined { .. } => "joined",
            Self::Draining { .. } => "draining",
            Self::Left { .. } => "left",
            Self::Discovery { finding, .. } => finding.kind(),
        }
    }

    /// Every [kind](Self::kind) that there is.
    pub const KINDS: [&'static str; 29] = [
        "health",
        "ejected",
        "readmitted",
        "primary",
        "first_write",
        "split_brain",
        "quarantined",
        "released",
        "lag",
        "panic",
        "failover",
        "holding",
        "resumed",
        "proposed",
        "promotion",
        "unprivileged",
        "discovery_found",
        "discovery_vanished",
        "discovery_moved",
        "discovery_primary_not_found",
        "discovery_refused",
        "discovery_failed",
        "discovery_recovered",
        "foreign_memory",
        "timeline_heard",
        "lost_write",
        "joined",
        "draining",
        "left",
    ];

    /// Whether somebody should have a look (logged as a warning), or it is good to know.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        let degraded = matches!(self, Self::Health { to: HealthState::Degraded, .. });
        degraded || self.severity() >= Severity::Warning
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            |node: &Option<Arc<str>>| node.as_ref().map_or_else(|| "nobody".into(), |n| format!("`{n}`"));
        match self {
            Self::Health { node, from, to } => write!(f, "`{node}` is {to} (was {from})"),
            Self::Ejected { node, for_ } => {
                write!(f, "`{node}` is out of the rotation for {for_:?}: statements failed on it")
            }
            Self::Readmitted { node } => write!(f, "`{node}` is back in the rotation"),
            Self::Primary { epoch, from, to } => {
                write!(f, "epoch {epoch}: the primary is {} (was {})", name(to), name(from))
            }
            Self::FirstWrite { node, outage, accepted, .. } => {
                write!(
                    f,
                    "`{node}` has answered its first write, {accepted:.1?} after it became the primary"
                )?;
                outage.map_or(Ok(()), |outage| write!(f, "; no write was answered for {outage:.1?}"))
            }
            Self::SplitBrain { first, second } => {
                write!(
                    f,
                    "`{first}` and `{second}` both take writes; writes are refused until one is stopped"
                )
            }
            Self::Quarantined { node, why } => write!(f, "`{node}` is kept away from traffic: {why}"),
            Self::Released { node } => write!(f, "`{node}` is no longer kept away from traffic"),
            Self::Lag { node, from, to, staleness } => {
                write!(f, "lag of `{node}` is {to} (was {from}): its data may be {staleness:.1?} old")
            }
            Self::Panic(true) => f.write_str("too many replicas are ejected: they serve again"),
            Self::Panic(false) => f.write_str("ejection is in force again"),
            Self::Failover { decision, target } => match decision {
                Decision::Stay => f.write_str("the primary is well"),
                Decision::Confirming { failures, needed } => {
                    write!(f, "the primary fails ({failures} of {needed} confirmations)")
                }
                Decision::Blocked(why) => write!(f, "the primary is gone and is not replaced: {why}"),
                Decision::Propose(_) => write!(f, "the primary is gone; {} should take over", name(target)),
                Decision::Promote(_) => write!(f, "the primary is gone; {} takes over", name(target)),
            },
            Self::Holding { to } => write!(f, "writes are held: `{to}` is about to take over"),
            Self::Resumed => f.write_str("writes go to the same primary as before"),
            Self::Proposed { id, target } => {
                write!(f, "`{target}` should take over; approve proposal {id} to let it")
            }
            Self::Promotion(report) => report.fmt(f),
            Self::Unprivileged { node } => write!(
                f,
                "the role that watches `{node}` may not read statistics: after a failover it serves only from its next \
                 restartpoint on (`checkpoint_timeout`); `GRANT pg_read_all_stats` to the role avoids that"
            ),
            Self::ForeignMemory { file, cluster } => write!(
                f,
                "failover.state_file: it is about the cluster {file}, and this one is {cluster}; it is neither used nor written \
                 over: name another file, or remove it if that cluster is no more"
            ),
            Self::TimelineHeard { timeline } => write!(
                f,
                "a session token speaks of timeline {timeline}, which no node has shown: a failover that cannot be seen from \
                 here; whoever takes writes on an older timeline is not written to"
            ),
            Self::LostWrite(lost) => write!(f, "{lost}"),
            Self::Joined { node } => write!(f, "`{node}` joined"),
            Self::Draining { node } => write!(f, "`{node}` is draining"),
            Self::Left { node } => write!(f, "`{node}` left"),
            Self::Discovery { source, finding } => write!(f, "discovery by {source}: {finding}"),
        }
    }
}
