//! The worker's end of promotions: at most one at a time, proposals that expire, and what became of the last ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::{Executor, Lines, Peer};
use crate::config::FailoverMode;
use crate::connector::Connector;
use crate::error::FailoverError;
use crate::failover::{Decision, Durations, Ending, Fence, Lease, Promoter, Promotion};
use crate::failover::{Proposal, Report, Stop, Task};
use crate::monitor::circle::Circle;
use crate::monitor::tenure::Tenure;
use crate::monitor::{Command, Worker};
use crate::time::{Clock, Moment};
use crate::topology::NodeId;
use crate::world::{Event, Notice};

/// Reports that are kept.
const KEPT: usize = 64;

/// At the end of the router, a promotion that is under way may undo what it did for so long.
const FAREWELL: Duration = Duration::from_secs(10);

/// What an application has plugged in.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    /// Without one, that of the [`Circle`].
    pub(crate) lease: Option<Arc<dyn Lease>>,
    pub(crate) fence: Option<Arc<dyn Fence>>,
    pub(crate) promoter: Option<Arc<dyn Promoter>>,
}

impl Hooks {
    pub(crate) fn spans_processes(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.spans_processes())
    }
}

/// What became of the last promotions, and what is proposed: written by the worker, read by everybody.
#[derive(Debug, Default)]
pub(crate) struct Board {
    reports: Mutex<VecDeque<Arc<Report>>>,
    proposal: Mutex<Option<(NodeId, Proposal)>>,
}

impl Board {
    pub(crate) fn reports(&self) -> Vec<Arc<Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn proposal(&self, now: Moment) -> Option<Proposal> {
        let proposal = self.proposal.lock().unwrap_or_else(PoisonError::into_inner);
        proposal.as_ref().map(|(_, proposal)| proposal.clone()).filter(|proposal| now < proposal.expires_at)
    }

    fn keep(&self, report: Arc<Report>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if reports.len() == KEPT {
            reports.pop_front();
        }
        reports.push_back(report);
    }

    /// The primary that came of this promotion has answered its first write.
    pub(crate) fn note_first_write(&self, id: u64, outage: Duration) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(report) = reports.iter_mut().find(|report| report.id == id) {
            Arc::make_mut(report).durations.first_write = Some(outage);
        }
    }

    fn propose(&self, proposal: Option<(NodeId, Proposal)>) {
        *self.proposal.lock().unwrap_or_else(PoisonError::into_inner) = proposal;
    }

    fn proposed(&self) -> Option<(NodeId, Proposal)> {
        self.proposal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where the report of a promotion comes.
pub(crate) type Approval = Result<oneshot::Receiver<Arc<Report>>, FailoverError>;

/// The worker's part.
pub(crate) struct Desk {
    hooks: Hooks,
    pub(crate) tenure: Arc<Tenure>,
    commands: mpsc::Sender<Command>,
    running: JoinSet<Report>,
    give_up: watch::Sender<bool>,
    waiting: Vec<oneshot::Sender<Arc<Report>>>,
    next_report: u64,
    next_proposal: u64,
}

impl Desk {
    pub(crate) fn new(hooks: Hooks, circle: &Circle, clock: Clock, commands: mpsc::Sender<Command>) -> Self {
        let lease = hooks.lease.clone().unwrap_or_else(|| circle.lease());
        let tenure = Arc::new(Tenure::new(lease, clock));
        let (give_up, _) = watch::channel(false);
        let (running, waiting) = (JoinSet::new(), Vec::new());
        Self { hooks, tenure, commands, running, give_up, waiting, next_report: 1, next_proposal: 1 }
    }

    /// Whether a promotion is under way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// A promotion has ended.
    pub(crate) async fn ended(&mut self) -> Option<Result<Report, JoinError>> {
        self.running.join_next().await
    }

    /// Ends what is under way.
    pub(crate) async fn close(&mut self) {
        self.give_up.send_replace(true);
        let (running, tenure) = (&mut self.running, &self.tenure);
        let farewell = async {
            while let Some(ended) = running.join_next().await {
                match ended {
                    Ok(report) => {
                        tracing::error!(target: "rr", %report, "the router is shut down in the middle of a promotion");
                        if matches!(report.ending, Ending::InDoubt(..)) {
                            tenure.keep_for_ever();
                        }
                    }
                    Err(_) => tenure.keep_for_ever(),
                }
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::error!(target: "rr", "a promotion did not end in time; see who is the primary, and whether it writes");
            self.tenure.keep_for_ever();
        }
        self.running.shutdown().await;
    }
}

impl<C: Connector> Worker<C> {
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let peer = |node: &crate::monitor::Known<C::Pool>| Peer {
            id: node.common.id,
            name: Arc::clone(&node.common.name),
            config: node.config.clone(),
        };
        self.nodes.iter().map(peer).collect()
    }

    /// Begins a promotion. The report goes to whoever listens.
    pub(crate) fn undertake(&mut self, mut task: Task, reason: &str) -> Approval {
        if !self.desk.running.is_empty() {
            return Err(FailoverError::InProgress);
        }
        let now = self.shared.clock.now();
        task.fence = self.desk.hooks.fence.is_some();
        task.delegated = self.desk.hooks.promoter.is_some();
        task.failing_since = task
            .from
            .and_then(|id| self.nodes.iter().find(|node| node.common.id == id))
            .and_then(|node| node.silent_since);
        let (reply, report) = oneshot::channel();
        self.desk.waiting.push(reply);
        let id = self.desk.next_report;
        self.desk.next_report += 1;
        self.shared.board.propose(None);
        let policy = self.shared.config.failover.clone();
        if policy.dry_run {
            let name = |id: Option<NodeId>| id.map(|id| self.world.name_of(id));
            let rehearsal = Report {
                id,
                reason: reason.into(),
                planned: task.planned,
                began: now,
                from: name(task.from),
                to: name(task.target),
                ending: Ending::Stopped(Stop::Rehearsal),
                durations: Durations::default(),
                to_do: Vec::new(),
            };
            self.file(rehearsal);
            return Ok(report);
        }
        let executor = Executor {
            shared: Arc::clone(&self.shared),
            peers: self.peers(),
            lines: Lines::new(Arc::clone(&self.shared)),
            commands: self.desk.commands.clone(),
            tenure: Arc::clone(&self.desk.tenure),
            fence: self.desk.hooks.fence.clone(),
            promoter: self.desk.hooks.promoter.clone(),
            give_up: self.desk.give_up.subscribe(),
            deadline: Instant::now() + policy.timeout,
            hold_until: None,
            token: 0,
            looked_at: None,
            end: None,
            candidate: None,
            started: std::collections::BTreeMap::new(),
        };
        let promotion = Promotion::new(task, policy, now);
        self.desk.running.spawn(executor.run(promotion, id, reason.into()));
        Ok(report)
    }

    /// Takes in how a promotion ended.
    pub(crate) fn conclude(&mut self, ended: Result<Report, JoinError>) {
        match ended {
            Ok(mut report) => {
                let in_doubt = match &report.ending {
                    Ending::InDoubt(node, _) => Some(*node),
                    Ending::Promoted(_) | Ending::Stopped(_) => None,
                };
                let sent = !matches!(report.ending, Ending::Stopped(_));
                // First: whoever hears of the end may write at once.
                self.take(Event::Promoted { sent, in_doubt });
                self.complete(&mut report);
                self.file(report);
            }
            Err(error) => {
                tracing::error!(target: "rr", %error, "a promotion panicked; look at the node that was to take over");
                self.desk.waiting.clear();
                self.take(Event::Promoted { sent: true, in_doubt: self.world.promoting() });
            }
        }
    }

    fn file(&mut self, report: Report) {
        let report = Arc::new(report);
        self.shared.board.keep(Arc::clone(&report));
        self.report(Notice::Promotion(Arc::clone(&report)));
        for waiting in self.desk.waiting.drain(..) {
            // Whoever asked may have gone.
            drop(waiting.send(Arc::clone(&report)));
        }
    }

    /// Makes a proposal that somebody may approve, once for each target and time.
    pub(crate) fn propose(&mut self, target: NodeId) {
        if self.shared.config.failover.mode != FailoverMode::Supervised || self.shared.config.failover.dry_run
        {
            return;
        }
        let now = self.shared.clock.now();
        let present = self.shared.board.proposed();
        if present.is_some_and(|(node, proposal)| node == target && now < proposal.expires_at) {
            return;
        }
        let id = self.desk.next_proposal;
        self.desk.next_proposal += 1;
        let expires_at = now + self.shared.config.failover.approve_within;
        let name = self.world.name_of(target);
        let proposal = Proposal { id, target: Arc::clone(&name), made_at: now, expires_at };
        self.shared.board.propose(Some((target, proposal)));
        self.report(Notice::Proposed { id, target: name });
    }

    /// Withdraws a proposal whose reason is gone, and makes a new one in place of one that has expired.
    pub(crate) fn review_proposal(&mut self) {
        let Some((_, proposal)) = self.shared.board.proposed() else { return };
        match *self.world.decision() {
            Decision::Propose(target) => {
                if self.shared.clock.now() >= proposal.expires_at {
                    self.propose(target);
                }
            }
            _ => self.shared.board.propose(None),
        }
    }

    pub(crate) fn approve(&mut self, id: u64) -> Approval {
        let now = self.shared.clock.now();
        let Some((target, proposal)) = self.shared.board.proposed().filter(|(_, known)| known.id == id)
        else {
            return Err(FailoverError::NoProposal(id));
        };
        if now >= proposal.expires_at || !matches!(self.world.decision(), Decision::Propose(_)) {
            return Err(FailoverError::NoProposal(id));
        }
        let from = self.world.head().map(|(id, _)| id);
        let task = Task { from, target: Some(target), ..Task::default() };
        self.undertake_now(task, &format!("proposal {id} was approved"))
    }

    /// Begins a promotion that the world did not order, and tells it.
    fn undertake_now(&mut self, task: Task, reason: &str) -> Approval {
        let begun = self.undertake(task, reason)?;
        if !self.desk.running.is_empty() {
            self.take(Event::Undertaken);
        }
        Ok(begun)
    }

    pub(crate) fn initiate(&mut self, reason: &str, target: Option<&str>, force: bool) -> Approval {
        if self.shared.config.failover.mode == FailoverMode::Follow {
            return Err(FailoverError::Follows);
        }
        if self.world.in_doubt().is_some() {
            return Err(FailoverError::InDoubt);
        }
        let Some((from, answers)) = self.world.head() else { return Err(FailoverError::NoPrimary) };
        let target = match target {
            None => None,
            Some(name) => {
                let unknown = || FailoverError::UnknownNode(name.to_owned());
                let node = self.nodes.iter().find(|node| *node.common.name == *name).ok_or_else(unknown)?;
                if node.common.id == from {
                    return Err(FailoverError::IsPrimary(name.to_owned()));
                }
                Some(node.common.id)
            }
        };
        let task = Task { from: Some(from), target, planned: answers, force, ..Task::default() };
        self.undertake_now(task, reason)
    }
}
