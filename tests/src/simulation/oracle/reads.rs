//! Rules for reads: what the chosen node holds in truth, against what the session must see.

use rr_core::consistency::Consistency;
use rr_core::position::{Position, Timeline};
use rr_core::session::Session;
use rr_core::time::Moment;

use super::Oracle;
use crate::simulation::clients::{Reading, Written};
use crate::simulation::cluster::Cluster;
use crate::simulation::wal::BranchId;

impl Oracle {
    /// A write was acknowledged by a server.
    pub(in crate::simulation) fn wrote(&mut self, server: usize, truth: &Cluster) {
        if truth.leader() != Some(server) {
            self.limits.writes_on_stale_primary += 1;
        }
    }

    /// A read takes its snapshot on a server; whether the session finds a write of its own lost.
    pub(in crate::simulation) fn read(
        &mut self,
        now: Moment,
        reading: &Reading,
        truth: &Cluster,
        server: usize,
    ) -> bool {
        let asking = &reading.asking;
        if (asking.level == Consistency::Strong || reading.asking.requirement.primary) && !reading.as_primary
        {
            self.object(now, format!("{} is not the primary and serves a strong read", reading.node));
        }
        self.check_age(now, reading, truth, server);
        if asking.level == Consistency::Session {
            self.check_memory(now, reading, truth, server);
        }
        matches!(asking.level, Consistency::Session | Consistency::ReadAfterWrite)
            && self.check_writes(now, reading, truth, server)
    }

    /// Own writes: the last one on each branch.
    fn check_writes(&mut self, now: Moment, reading: &Reading, truth: &Cluster, server: usize) -> bool {
        let mut lost = false;
        let content = truth.servers[server].content;
        for written in &reading.asking.wrote {
            if truth.wal.includes(content, written.point)
                || self.excuse_read(reading, written.point.branch, truth, server)
            {
                continue;
            }
            if reading.as_primary {
                self.note_lost(now, written, reading, truth.servers[server].shown_beginning());
                lost = true;
            } else if self.lost_unplaced(written, reading, truth) {
                lost = true;
            } else {
                let (node, point) = (reading.node, written.point);
                let requirement = &reading.asking.requirement;
                self.object(
                    now,
                    format!(
                        "{node} at {content:?} serves and lacks the session's {point:?}: {requirement:?}"
                    ),
                );
            }
        }
        lost
    }

    /// When the node was chosen, or now, nobody could know better.
    fn excuse_read(&mut self, reading: &Reading, subject: BranchId, truth: &Cluster, server: usize) -> bool {
        let replaced = reading.incarnation != Some(truth.servers[server].incarnation);
        self.limits.replaced_data += u64::from(replaced);
        replaced || reading.excused || self.excuse(reading.node, subject, truth)
    }

    /// A primary that lacks a write must not say that it has it, and the session is told.
    fn note_lost(&mut self, now: Moment, written: &Written, reading: &Reading, began: Option<u64>) {
        let Some(position) = &written.position else {
            self.limits.lost_writes_unplaced += 1;
            return;
        };
        let (node, topology) = (reading.node, &reading.topology);
        let applied = topology.node(node).and_then(|node| node.applied.as_ref());
        if applied.is_some_and(|applied| applied.covers(position)) {
            self.object(now, format!("{node} lacks a lost write and is said to cover {position}"));
        }
        let session = Session::new();
        session.wrote(position);
        if session.lost(topology).is_some() {
            self.limits.lost_writes_noticed += 1;
            return;
        }
        let is_older = |(on, lsn): (Timeline, u64)| {
            applied.and_then(head).is_some_and(|(now, _)| on < now) && began.is_some_and(|began| lsn > began)
        };
        if head(position).is_some_and(is_older) {
            self.object(
                now,
                format!("{node} at {applied:?} lacks a lost write at {position}, which is not told"),
            );
        }
        self.limits.lost_writes_untold += 1;
    }

    /// A write of unknown position from an earlier epoch is gone from the primary's history: no sample can tell.
    fn lost_unplaced(&mut self, written: &Written, reading: &Reading, truth: &Cluster) -> bool {
        let Some(branch) = reading.branch else { return false };
        let lost = !truth.wal.includes(truth.wal.tip(branch), written.point);
        let unplaced = written.position.is_none() && written.epoch < reading.topology.epoch();
        self.limits.lost_writes_unplaced += u64::from(lost && unplaced);
        lost && unplaced
    }

    /// What was read before, as far as it is part of the accepted history.
    fn check_memory(&mut self, now: Moment, reading: &Reading, truth: &Cluster, server: usize) {
        let Some(branch) = reading.branch else { return };
        let content = truth.servers[server].content;
        for seen in &reading.asking.seen {
            if truth.wal.includes(content, *seen) {
                continue;
            }
            let kept = truth.wal.common(*seen, branch);
            if kept.is_some_and(|kept| truth.wal.common(content, branch) < Some(kept))
                && !self.excuse_read(reading, branch, truth, server)
            {
                let (node, requirement) = (reading.node, &reading.asking.requirement);
                self.object(
                    now,
                    format!("{node} at {content:?} serves after the session saw {seen:?}: {requirement:?}"),
                );
            } else {
                self.limits.reads_of_lost_state += 1;
            }
        }
    }

    /// The age that was asked for, or the node's own limit.
    fn check_age(&mut self, now: Moment, reading: &Reading, truth: &Cluster, server: usize) {
        if reading.as_primary {
            return;
        }
        let own = reading.topology.node(reading.node).and_then(|node| node.max_lag);
        let Some(limit) = reading.asking.requirement.max_lag.or(own) else { return };
        let Ok(primary) = reading.topology.primary() else { return };
        let Some(branch) = reading.branch else { return };
        let content = truth.servers[server].content;
        let Some(commit) = truth.wal.last_commit(branch, reading.asked_at - limit) else { return };
        if truth.wal.includes(content, commit)
            || self.excuse_read(reading, branch, truth, server)
            || self.excuse(primary.id, branch, truth)
        {
            return;
        }
        let node = reading.node;
        self.object(now, format!("{node} at {content:?} lacks {commit:?}, which is older than {limit:?}"));
    }
}

fn head(position: &Position) -> Option<(Timeline, u64)> {
    let Position::Postgres(position) = position else { return None };
    let (timeline, lsn) = position.head();
    Some((timeline, lsn.as_u64()))
}
