//! Rules for what the world publishes.

use rr_core::position::{Position, Timeline};
use rr_core::time::Moment;
use rr_core::topology::{NoPrimary, Node, NodeId, Quarantine, Role, Topology};

use super::{Excuse, Oracle, Shown};
use crate::simulation::cluster::Cluster;
use crate::simulation::run::{End, Member};
use crate::simulation::wal::BranchId;

impl Oracle {
    pub(in crate::simulation) fn published(
        &mut self,
        now: Moment,
        topology: &Topology,
        truth: &Cluster,
        members: &[Member],
    ) {
        self.check_epoch(now, topology, truth);
        self.check_primary(now, topology);
        for node in topology.nodes() {
            self.check_standing(now, node);
            self.check_divergence(now, node, topology, truth);
            self.check_position(now, node, truth);
            self.check_freshness(now, node, topology, truth);
        }
        let expected = members.iter().filter(|member| !member.left).count();
        if topology.nodes().len() != expected {
            self.object(now, format!("{} nodes published, {expected} are in", topology.nodes().len()));
        }
    }

    fn check_epoch(&mut self, now: Moment, topology: &Topology, truth: &Cluster) {
        if topology.epoch() < self.epoch {
            self.object(now, format!("epoch {} after epoch {}", topology.epoch(), self.epoch));
        }
        let epoch = topology.epoch();
        if epoch > self.epoch && self.epoch.number() > 0 {
            self.last_failover = Some(now);
        }
        self.epoch = epoch;
        let Ok(primary) = topology.primary() else { return };
        let branch = self.branch_of(primary.id);
        let reign = self.reigns.entry(epoch).or_insert((primary.id, branch));
        // A primary that was taken at its word shows its branch later.
        reign.1 = reign.1.or(branch);
        let reign = *reign;
        // The same number on another branch is another reign that nobody can tell from the first.
        let number = |branch: Option<BranchId>| branch.map(|branch| truth.wal.timeline(branch));
        if (reign.0, number(reign.1)) != (primary.id, number(branch)) {
            self.object(now, format!("epoch {epoch} had {reign:?} and now {} on {branch:?}", primary.id));
        }
    }

    /// Who claims, as far as was shown: on the highest timeline, and not silent for too long.
    fn claimants(&self) -> impl Iterator<Item = (NodeId, bool)> {
        self.known.iter().filter(|(_, known)| !known.left).filter_map(|(id, known)| {
            let shown = known.newest.as_ref()?;
            let claims = shown.role == Role::Primary
                && shown.system == Some(self.system)
                && shown.timeline == self.highest;
            claims.then_some((*id, known.silences < self.down_after))
        })
    }

    fn check_primary(&mut self, now: Moment, topology: &Topology) {
        if !self.identified {
            let primary = topology.primary().map(|node| node.id);
            if primary.is_ok_and(|id| !self.is_configured_primary(id)) {
                self.object(now, format!("{primary:?} is believed before the configured primary was asked"));
            }
            return;
        }
        if self.strangers_first(topology) {
            return;
        }
        let live: Vec<NodeId> = self.claimants().filter(|(_, alive)| *alive).map(|(id, _)| id).collect();
        match (topology.primary(), live.as_slice()) {
            (Err(NoPrimary::SplitBrain { .. }), [_, _, ..]) => {}
            (Err(NoPrimary::SwitchingOver { .. }), _) if self.holding => {}
            (primary, [_, _, ..]) => {
                let primary = primary.map(|node| node.id);
                self.object(now, format!("{live:?} both claim and live, and the primary is {primary:?}"));
            }
            (Ok(primary), [only]) if primary.id == *only => {}
            (primary, [only]) => {
                let primary = primary.map(|node| node.id);
                self.object(now, format!("{only} alone claims, and the primary is {primary:?}"));
            }
            (Ok(primary), []) => {
                let silent = self.claimants().any(|(id, _)| id == primary.id);
                let presumed = !self.claimed && self.branch_of(primary.id).is_none();
                if !silent && !presumed {
                    let id = primary.id;
                    self.object(now, format!("{id} is the primary and does not claim the highest timeline"));
                }
            }
            (Err(_), []) => {}
        }
    }

    /// Whether another cluster was taken for ours; nothing can tell them apart at first sight.
    fn strangers_first(&mut self, topology: &Topology) -> bool {
        let stranger = |shown: &Shown| shown.system.is_some_and(|system| system != self.system);
        let ours_refused = topology.nodes().iter().any(|node| {
            let shown = self.known.get(&node.id).and_then(|known| known.newest.as_ref());
            let foreign = node.quarantine == Some(Quarantine::ForeignCluster);
            shown.is_some_and(|shown| stranger(shown) != foreign)
        });
        if ours_refused {
            self.limits.foreign_first += 1;
        }
        ours_refused
    }

    fn check_standing(&mut self, now: Moment, node: &Node) {
        let Some(known) = self.known.get(&node.id) else { return };
        if known.left || known.draining != node.draining {
            let (left, draining) = (known.left, known.draining);
            self.object(now, format!("{} left={left} draining={draining}: {node:?}", node.id));
        }
    }

    /// A replica that has shown itself past a known fork, and follows nobody, is kept away.
    fn check_divergence(&mut self, now: Moment, node: &Node, topology: &Topology, truth: &Cluster) {
        let Some(shown) = self.known.get(&node.id).and_then(|known| known.newest.clone()) else { return };
        let Ok(primary) = topology.primary() else { return };
        let Some(Position::Postgres(head)) = &primary.applied else { return };
        let older = shown.timeline.and_then(Timeline::new).filter(|timeline| *timeline < head.head().0);
        let fork = older.and_then(|timeline| head.point(timeline)).map(|fork| fork.as_u64());
        let lost = shown.role == Role::Replica && shown.receiving == Some(false);
        if lost
            && fork.is_some_and(|fork| shown.lsn > Some(fork))
            && node.quarantine.is_none()
            && !self.excuse(primary.id, shown.branch, truth)
        {
            let (id, lsn) = (node.id, shown.lsn);
            self.object(now, format!("{id} showed {lsn:?}, past the fork at {fork:?}, and is not kept away"));
        }
    }

    /// Why what is said of the node and the branch in question may be wrong without anybody being able to see it from
    /// outside.
    pub(in crate::simulation) fn excused(
        &self,
        node: NodeId,
        subject: Option<BranchId>,
        truth: &Cluster,
    ) -> Option<Excuse> {
        let Some(known) = self.known.get(&node) else { return Some(Excuse::Replaced) };
        let server = &truth.servers[known.server];
        let shown = known.newest.as_ref()?;
        if server.system != self.system || shown.system != Some(self.system) {
            // A stranger that was taken for ours, or has just come.
            return Some(Excuse::Stranger);
        }
        if shown.incarnation != server.incarnation {
            return Some(Excuse::Replaced);
        }
        let timeline = truth.wal.timeline(server.content.branch);
        if Some(timeline) > self.highest {
            return Some(Excuse::Unseen);
        }
        let twins = |branch: BranchId| truth.wal.path(branch).any(|part| truth.has_twin(part.branch));
        let twins = twins(server.content.branch) || twins(shown.branch) || subject.is_some_and(twins);
        twins.then_some(Excuse::Ambiguous)
    }

    /// Whether there is an excuse; it is counted.
    pub(super) fn excuse(&mut self, node: NodeId, subject: BranchId, truth: &Cluster) -> bool {
        let excuse = self.excused(node, Some(subject), truth);
        *match excuse {
            None => return false,
            Some(Excuse::Stranger) => &mut self.limits.foreign_first,
            Some(Excuse::Replaced) => &mut self.limits.replaced_data,
            Some(Excuse::Unseen) => &mut self.limits.unseen_timelines,
            Some(Excuse::Ambiguous) => &mut self.limits.ambiguous_timelines,
        } += 1;
        true
    }

    /// What is published as applied has in truth been applied.
    fn check_position(&mut self, now: Moment, node: &Node, truth: &Cluster) {
        let Some(Position::Postgres(applied)) = &node.applied else { return };
        let Some(known) = self.known.get(&node.id) else { return };
        let content = truth.servers[known.server].content;
        for (timeline, lsn) in applied.points() {
            for branch in truth.wal.named(timeline.get(), content.branch) {
                let Some(commit) = truth.wal.last_commit_by(branch, lsn.as_u64()) else { continue };
                if !truth.wal.includes(content, commit) && !self.excuse(node.id, branch, truth) {
                    let id = node.id;
                    self.object(
                        now,
                        format!("{id} is said to have {applied}; it has {content:?} and lacks {commit:?}"),
                    );
                }
            }
        }
    }

    /// What is published as fresh has all that the primary had committed by then.
    fn check_freshness(&mut self, now: Moment, node: &Node, topology: &Topology, truth: &Cluster) {
        let (Some(fresh), Ok(primary)) = (node.fresh_as_of, topology.primary()) else { return };
        let Some(known) = self.known.get(&node.id) else { return };
        let Some(branch) = self.branch_of(primary.id) else { return };
        let content = truth.servers[known.server].content;
        let Some(commit) = truth.wal.last_commit(branch, fresh) else { return };
        if truth.wal.includes(content, commit)
            || self.excuse(node.id, branch, truth)
            || self.excuse(primary.id, branch, truth)
        {
            return;
        }
        let (id, of) = (node.id, primary.id);
        self.object(
            now,
            format!(
                "{id} is said to be fresh as of {fresh:?}; it has {content:?} and lacks {commit:?} of {of}"
            ),
        );
    }

    /// After everything was put right and left alone, the world must have found its way.
    pub(in crate::simulation) fn settled(&mut self, end: &End<'_>, topology: &Topology, truth: &Cluster) {
        let (now, members) = (end.now, end.members);
        let Some(leader) = truth.leader() else { return };
        if self.strangers_first(topology) {
            return;
        }
        let server_of =
            |id: NodeId| members.iter().find(|member| member.id == id).map(|member| member.server);
        let primary = topology.primary().map(|node| server_of(node.id));
        if primary != Ok(Some(leader)) {
            self.object(now, format!("settled: db{leader} leads, and the primary is {primary:?}"));
            return;
        }
        let branch = truth.servers[leader].content.branch;
        let timeline = Timeline::new(truth.wal.timeline(branch)).unwrap_or(Timeline::FIRST);
        for (index, node) in topology.nodes().iter().enumerate() {
            if node.draining || server_of(node.id) == Some(leader) {
                continue;
            }
            let standing = topology.standing(index);
            if standing.is_err() && !node.ejected {
                self.object(now, format!("settled: {} does not serve: {standing:?}", node.id));
            }
            if node.staleness(now).is_none_or(|staleness| staleness > self.grace) {
                let staleness = node.staleness(now);
                self.object(now, format!("settled: {} has a staleness of {staleness:?}", node.id));
            }
            if let (Some(last), Some(applied)) = (&end.last_write, &node.applied)
                && !applied.covers(last)
            {
                let id = node.id;
                self.object(
                    now,
                    format!("settled: {id} is at {applied} and nobody writes, but {last} is not covered"),
                );
            }
            let head = match &node.applied {
                Some(Position::Postgres(applied)) => Some(applied.head().0),
                _ => None,
            };
            if head != Some(timeline) {
                let (id, applied) = (node.id, &node.applied);
                self.object(now, format!("settled: {id} is at {applied:?}, not on timeline {timeline}"));
            }
        }
    }
}
