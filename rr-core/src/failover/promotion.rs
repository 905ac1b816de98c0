//! One promotion, step by step: what to do next, from what became of the last step.
//!
//! ```text
//! failover:    lease ─ fence ─ look, elect ──────────────────────── catch up ─ lease ─ promote ─ verify ─ re-point
//! switchover:  lease ───────── look, elect ─ hold ─ drain ─ freeze ─ catch up ─ lease ─ promote ─ verify ─ re-point
//! ```
//!
//! Before the candidate is told to take over, everything can be undone, and is: a switchover thaws the old primary and
//! releases the writes. A candidate that cannot is left out, and in a failover the next one is tried. From the moment
//! that it *may* have been told, there are two ways on only: it is seen to be the primary, or it is fenced. Else this
//! stops and says so. So it does when somebody else promotes anybody meanwhile. That is why there are never two.

use std::time::Duration;

use super::decide::witnessed;
use super::elect::{CandidateRefusal, NoCandidate, ReplicaView, elect};
use super::report::{Durations, Phase};
use super::step::{Ending, Step, Stop, Task, Told};
use crate::config::FailoverPolicy;
use crate::position::Position;
use crate::time::Moment;
use crate::topology::NodeId;

/// So many times a candidate is tried that has more than all others, and answers.
const TRIES: usize = 3;

/// How a person lets the old primary write again.
const UNFREEZE: &str = "ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf();";

/// A promotion under way.
#[derive(Clone, Debug)]
pub struct Promotion {
    task: Task,
    policy: FailoverPolicy,
    step: Step,
    step_began: Moment,
    durations: Durations,
    candidate: Option<NodeId>,
    /// Candidates that could not.
    tried: Vec<NodeId>,
    /// Somebody was told to take over.
    sent: bool,
    /// The old primary may refuse writes because of us.
    frozen: bool,
    ending: Option<Ending>,
    to_do: Vec<String>,
}

impl Promotion {
    /// Begins; [`Promotion::step`] says with what.
    #[must_use]
    pub fn new(task: Task, policy: FailoverPolicy, now: Moment) -> Self {
        let mut durations = Durations::default();
        if let Some(since) = task.failing_since.filter(|_| !task.planned) {
            durations.add(Phase::Detection, now.since(since));
        }
        Self {
            task,
            policy,
            step: Step::Lease,
            step_began: now,
            durations,
            candidate: None,
            tried: Vec::new(),
            sent: false,
            frozen: false,
            ending: None,
            to_do: Vec::new(),
        }
    }

    /// What is to be done now.
    #[must_use]
    pub const fn step(&self) -> Step {
        self.step
    }

    /// What is undertaken.
    #[must_use]
    pub const fn task(&self) -> &Task {
        &self.task
    }

    /// Who is to take over, once that is decided.
    #[must_use]
    pub const fn candidate(&self) -> Option<NodeId> {
        self.candidate
    }

    /// Whether somebody was told to take over, or may have been.
    #[must_use]
    pub const fn was_sent(&self) -> bool {
        self.sent
    }

    /// How it ended, when it has.
    #[must_use]
    pub const fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// How long everything took so far.
    #[must_use]
    pub const fn durations(&self) -> Durations {
        self.durations
    }

    /// What is left to do for a person.
    #[must_use]
    pub fn to_do(&self) -> &[String] {
        &self.to_do
    }

    /// Notes something that a person has to do.
    pub fn note(&mut self, what: impl Into<String>) {
        self.to_do.push(what.into());
    }

    /// Takes in what became of the present step.
    pub fn advance(&mut self, told: Told, now: Moment) {
        let took = now.since(self.step_began);
        self.durations.add(self.step.phase(), took);
        self.step_began = now;
        self.step = self.next(told, took);
    }

    fn next(&mut self, told: Told, took: Duration) -> Step {
        let planned = self.task.planned;
        match (self.step, told) {
            (Step::Lease, Told::Done) if planned || !self.task.fence || self.task.delegated => Step::Look,
            (Step::Lease, Told::Done) => Step::Fence,
            (Step::Lease | Step::ConfirmLease, told) if !told.is_done() => {
                self.stop(Stop::NoLease(told.why()))
            }
            (Step::Fence, Told::Done) => Step::Look,
            (Step::Fence, told) if self.policy.fence_required => self.stop(Stop::NotFenced(told.why())),
            (Step::Fence, told) => {
                self.note(format!(
                    "see that the old primary takes no writes: fencing it failed ({})",
                    told.why()
                ));
                Step::Look
            }
            (Step::Look | Step::Promote(_) | Step::Delegate(_), Told::Objected(why)) => self.object(why),
            // Who may just be taking over must not be fenced by a router that goes.
            (Step::Verify(node), told @ Told::Abandoned) => self.end(Ending::InDoubt(node, told.why())),
            (Step::Look, Told::Looked { replicas, last_known, primary_answers }) => {
                self.choose(&replicas, last_known.as_ref(), primary_answers)
            }
            (Step::Look, told) => self.stop(Stop::NotLooked(told.why())),
            (Step::Hold, _) => Step::Drain,
            (Step::Drain, Told::Done) => self.after_drain(),
            (Step::Drain, _) if self.task.force => self.after_drain(),
            (Step::Drain, told) => self.stop(Stop::NotDrained(told.why())),
            (Step::Freeze, told) => {
                // Also when it failed: half of it may have been done.
                self.frozen = true;
                match (told, self.candidate) {
                    (Told::Done, Some(candidate)) => Step::CatchUp(candidate),
                    (told, _) => self.stop(Stop::NotFrozen(told.why())),
                }
            }
            (Step::CatchUp(_), Told::Done) => Step::ConfirmLease,
            (Step::CatchUp(node), told) => self.cannot(node, Stop::NotCaughtUp(told.why())),
            (Step::ConfirmLease, _) => match (self.candidate, self.task.delegated) {
                (Some(candidate), false) => Step::Promote(candidate),
                (Some(candidate), true) => Step::Delegate(candidate),
                (None, _) => self.stop(Stop::NoCandidate(NoCandidate { refused: Vec::new() })),
            },
            (Step::Promote(node) | Step::Delegate(node), Told::Done | Told::Unknown(_)) => {
                self.sent = true;
                Step::Verify(node)
            }
            (Step::Promote(node) | Step::Delegate(node), told) => {
                self.cannot(node, Stop::NotPromoted(told.why()))
            }
            (Step::Verify(node), Told::Done) => {
                if self.task.delegated {
                    self.end(Ending::Promoted(node))
                } else {
                    Step::Repoint(node)
                }
            }
            (Step::Verify(node), Told::Failed(why)) => self.cannot(node, Stop::NotPromoted(why)),
            (Step::Verify(node), told) if self.task.fence => {
                self.note(format!(
                    "{node} was fenced: it took {took:.1?} and did not take over ({})",
                    told.why()
                ));
                Step::FenceCandidate(node)
            }
            (Step::Verify(node), told) => self.end(Ending::InDoubt(node, told.why())),
            (Step::FenceCandidate(node), Told::Done) => {
                let why = Stop::NotPromoted("it did not take over, and was fenced".to_owned());
                self.cannot(node, why)
            }
            (Step::FenceCandidate(node), told) => self.end(Ending::InDoubt(node, told.why())),
            (Step::Thaw, told) => {
                if !told.is_done() {
                    self.note(format!("let the old primary write again: {UNFREEZE} ({})", told.why()));
                }
                Step::End
            }
            (Step::Repoint(node), Told::Repointed(others)) => {
                for (other, result) in others {
                    if let Err(why) = result {
                        self.note(format!("let {other} follow {node}: {why}"));
                    }
                }
                self.end(Ending::Promoted(node))
            }
            (Step::Repoint(node), told) => {
                self.note(format!("let the other replicas follow {node}: {}", told.why()));
                self.end(Ending::Promoted(node))
            }
            (Step::Lease | Step::End, _) => Step::End,
        }
    }

    fn choose(
        &mut self,
        replicas: &[ReplicaView],
        last_known: Option<&Position>,
        primary_answers: bool,
    ) -> Step {
        let Task { planned, force, .. } = self.task;
        if planned && !primary_answers {
            return self.stop(Stop::PrimaryIsGone);
        }
        if !planned && primary_answers {
            return self.stop(Stop::PrimaryIsBack);
        }
        if !planned && !force {
            // What a replica has is final only when it receives no more.
            if let Err(block) = witnessed(replicas, &self.policy) {
                return self.stop(Stop::Blocked(block));
            }
        }
        match self.elect(replicas, last_known) {
            Ok(candidate) => {
                self.candidate = Some(candidate);
                match (planned, self.task.delegated) {
                    (true, _) => Step::Hold,
                    (false, true) => Step::ConfirmLease,
                    (false, false) => Step::CatchUp(candidate),
                }
            }
            Err(nobody) => self.stop(Stop::NoCandidate(nobody)),
        }
    }

    /// The best candidate, or the one that is meant.
    ///
    /// In a failover nobody is taken while another one that answers has more: one that could not a moment ago is tried again,
    /// a few times, and then this ends. A person may still decide to do without what only that one has (`force`).
    fn elect(&self, replicas: &[ReplicaView], last_known: Option<&Position>) -> Result<NodeId, NoCandidate> {
        let Task { planned, force, target, .. } = self.task;
        let tries = |id: NodeId| self.tried.iter().filter(|tried| **tried == id).count();
        let meant = |replica: &&ReplicaView| target.is_none_or(|target| replica.id == target);
        let (able, tried): (Vec<_>, Vec<_>) =
            replicas.iter().filter(meant).cloned().partition(|replica| tries(replica.id) == 0);
        let elected = elect(&able, last_known, &self.policy, force);
        if planned || force {
            return elected;
        }
        let refused = |mut nobody: NoCandidate| {
            nobody.refused.extend(tried.iter().map(|replica| (replica.id, CandidateRefusal::Tried)));
            nobody
        };
        let has = |id| replicas.iter().find(|replica| replica.id == id).and_then(ReplicaView::has);
        let least = elected.as_ref().ok().and_then(|id| has(*id));
        if let Ok(best) = elect(replicas, last_known, &self.policy, force)
            && has(best).is_some_and(|more| least.is_none_or(|least| !least.covers(more)))
        {
            let again = tried.iter().any(|replica| replica.id == best) && tries(best) < TRIES;
            return match elected {
                _ if again => Ok(best),
                Ok(id) => Err(NoCandidate { refused: vec![(id, CandidateRefusal::Outdone { by: best })] }),
                Err(nobody) => Err(refused(nobody)),
            };
        }
        elected.map_err(refused)
    }

    const fn after_drain(&self) -> Step {
        if self.task.delegated { Step::ConfirmLease } else { Step::Freeze }
    }

    /// A candidate cannot, and has certainly not taken over. In a failover the next one is tried; a switchover is given up.
    fn cannot(&mut self, node: NodeId, why: Stop) -> Step {
        self.sent = false;
        self.tried.push(node);
        if self.task.planned || self.task.delegated || self.task.target.is_some() {
            return self.stop(why);
        }
        self.candidate = None;
        Step::Look
    }

    /// Nobody is to take over any more. Where somebody else makes another primary, the old one is not to take writes beside
    /// that.
    fn object(&mut self, why: Stop) -> Step {
        if matches!(why, Stop::Overtaken(_)) && std::mem::take(&mut self.frozen) {
            self.note(format!("the old primary refuses writes; if it is to stay the primary: {UNFREEZE}"));
        }
        self.stop(why)
    }

    /// Undoes what can be undone, and ends.
    fn stop(&mut self, why: Stop) -> Step {
        self.ending = Some(Ending::Stopped(why));
        if std::mem::take(&mut self.frozen) { Step::Thaw } else { Step::End }
    }

    fn end(&mut self, ending: Ending) -> Step {
        self.ending = Some(ending);
        Step::End
    }
}

#[cfg(test)]
mod tests;
