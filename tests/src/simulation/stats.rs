//! What was seen in runs: to know that the simulation goes where it should, and how often a documented limit was met.

use std::fmt;
use std::ops::AddAssign;

use rr_core::topology::Quarantine;
use rr_core::world::Notice;

macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u64,)*
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)*
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(write!(f, concat!(stringify!($field), "={} "), self.$field)?;)*
                Ok(())
            }
        }
    };
}

counters! {
    /// Where the documented limits were met: states of the truth that nobody can see from outside in time.
    Limits {
        /// Writes that went to a primary which in truth had been left behind, before any sign of that was seen.
        writes_on_stale_primary,
        /// Reads on a primary that lacks a write of the session: the write is lost, and the positions say so.
        lost_writes_noticed,
        /// The same, and the positions do not say it: the primary is left behind itself, or nobody saw where it came from.
        lost_writes_untold,
        /// The same for a write whose position was never learned.
        lost_writes_unplaced,
        /// What was read once and is not in the primary's history any more.
        reads_of_lost_state,
        /// Two branches bear the same timeline number, so positions cannot tell them apart.
        ambiguous_timelines,
        /// A standby follows a timeline that nobody has shown to the monitor yet.
        unseen_timelines,
        /// A node's data was replaced since it was last looked at.
        replaced_data,
        /// Another cluster answered first and was taken for ours.
        foreign_first,
    }
}

counters! {
    /// What happened.
    Happened {
        /// Probes that were answered.
        answers,
        /// Probes that were not.
        silences,
        /// Answers that came after the answer to a later probe.
        overtaken_answers,
        /// Probes that were lost, or their answers.
        lost_answers,
        /// Answers that came too late to count.
        late_answers,
        /// Servers cut off from the monitor.
        cuts_from_monitor,
        /// Servers cut off from the application's connections.
        cuts_from_clients,
        /// Servers cut off from the other servers.
        cuts_from_peers,
        /// Servers that only the application reached, if anybody.
        isolations,
        /// Writes that were acknowledged.
        writes,
        /// Writes that could not be made.
        failed_writes,
        /// Commits right before a page's end.
        page_ends,
        /// Reads that a replica answered.
        replica_reads,
        /// Reads that the primary answered because no replica could.
        fallback_reads,
        /// Reads that the primary answered because that was asked for.
        primary_reads,
        /// Reads that nobody could answer.
        nowhere_reads,
        /// Reads that met a fault and were tried elsewhere.
        retried_reads,
        /// Reads that had to see something and were answered by a replica.
        covered_reads,
        /// Reads that a replica answered while no position was known of what had been read last.
        followed_reads,
        /// Servers that were on their new timeline for a while before they left recovery.
        lingering,
        /// Monitor stalls.
        stalls,
        /// Moments that came minutes after the one before: the machine was suspended.
        suspensions,
        /// Faults.
        faults,
        /// Nodes that were ejected.
        ejections,
        /// Changes of the accepted primary.
        epochs,
        /// Split brains that were noticed.
        split_brains,
        /// Nodes quarantined as foreign.
        foreign,
        /// Nodes quarantined as stale primaries.
        stale_primaries,
        /// Nodes quarantined beyond a fork.
        beyond_fork,
        /// Lag alerts.
        lag_alerts,
        /// Promotions by the world that ended with a new primary.
        taken_over,
        /// Promotions by the world that were given up.
        given_up,
        /// Those of them that somebody else's promotion ended.
        overtaken,
        /// Promotions by the world whose outcome nobody knew.
        doubts,
        /// Candidates that were tried after another one.
        next_candidates,
        /// Candidates told to take over while another choice would have lost a write that `remote_apply` had acknowledged.
        writes_at_stake,
        /// How often the lease was lost.
        leases_lost,
    }
}

/// What happened in one run, or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Steps of the loop.
    pub steps: u64,
    /// Topologies published, each of them checked.
    pub published: u64,
    /// Promotions in truth.
    pub failovers: u64,
    /// Promotions that the world ordered.
    pub promotions: u64,
    /// More of it.
    pub happened: Happened,
    /// Documented limits.
    pub limits: Limits,
}

impl Stats {
    pub(super) fn count(&mut self, notice: &Notice) {
        let happened = &mut self.happened;
        let counter = match notice {
            Notice::Ejected { .. } => &mut happened.ejections,
            Notice::Primary { to: Some(_), .. } => &mut happened.epochs,
            Notice::SplitBrain { .. } => &mut happened.split_brains,
            Notice::Quarantined { why: Quarantine::ForeignCluster, .. } => &mut happened.foreign,
            Notice::Quarantined { why: Quarantine::StalePrimary, .. } => &mut happened.stale_primaries,
            Notice::Quarantined { why: Quarantine::BeyondFork, .. } => &mut happened.beyond_fork,
            Notice::Lag { .. } => &mut happened.lag_alerts,
            _ => return,
        };
        *counter += 1;
    }
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.published += other.published;
        self.failovers += other.failovers;
        self.promotions += other.promotions;
        self.happened += other.happened;
        self.limits += other.limits;
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, published, failovers, promotions, happened, limits } = self;
        writeln!(f, "steps={steps} published={published} failovers={failovers} promotions={promotions}")?;
        writeln!(f, "happened: {happened}")?;
        write!(f, "limits met: {limits}")
    }
}
