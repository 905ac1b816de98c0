//! Carries out one promotion: the hands of [`Promotion`], which decides every step.
//!
//! It works on connections of its own, opened as the promotion's user. It may be told to give up at any time; before the
//! candidate may have been told to take over, giving up undoes what was done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::tenure::Tenure;
use super::{Command, Shared};
use crate::config::{FailoverMode, NodeConfig};
use crate::connector::Connector;
use crate::failover::{
    Ending, Fence, Order, Phase, Place, Promoter, Promotion, Report, Step, Stop, Task, Told,
};
use crate::position::Lsn;
use crate::topology::NodeId;

mod candidate;
mod desk;
mod line;
mod looking;
mod others;
mod switchover;

pub(crate) use desk::{Approval, Board, Desk, Hooks};
pub(crate) use line::{Line, Lines};
pub(crate) use looking::{Privileges, look_at_all};

/// Between two looks at something that is awaited.
const PAUSE: Duration = Duration::from_millis(3);

/// Undoing gets this long, whatever is left of the promotion's own time.
const UNDOING: Duration = Duration::from_secs(5);

/// A node as a promotion sees it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    pub(crate) name: Arc<str>,
    pub(crate) config: NodeConfig,
}

impl Peer {
    pub(crate) fn place(&self) -> Place {
        let endpoint = self.config.url.endpoint().map_or_else(|| "?".into(), |at| at.to_string().into());
        Place::new(Arc::clone(&self.name), endpoint)
    }
}

/// What the executor of a promotion works with.
pub(crate) struct Executor<C: Connector> {
    shared: Arc<Shared<C>>,
    peers: Vec<Peer>,
    lines: Lines<C>,
    commands: mpsc::Sender<Command>,
    tenure: Arc<Tenure>,
    fence: Option<Arc<dyn Fence>>,
    promoter: Option<Arc<dyn Promoter>>,
    give_up: watch::Receiver<bool>,
    deadline: Instant,
    /// When the held writes must go somewhere.
    hold_until: Option<Instant>,
    /// Who is to take over, as far as the worker was told.
    candidate: Option<NodeId>,
    /// The lease's fencing token.
    token: u64,
    /// When the last closer look ended.
    looked_at: Option<Instant>,
    /// The frozen primary's log ends here.
    end: Option<Lsn>,
    /// When each server that was told to take over had been started, by its own word right before.
    started: BTreeMap<NodeId, String>,
}

impl<C: Connector> Executor<C> {
    /// Works until the promotion has ended; what became of it.
    pub(crate) async fn run(mut self, mut promotion: Promotion, id: u64, reason: Arc<str>) -> Report {
        let began = self.shared.clock.now();
        let task = *promotion.task();
        loop {
            let step = promotion.step();
            if step == Step::End {
                break;
            }
            tracing::debug!(target: "rr", ?step, "promotion");
            let told = self.bounded(step, &task).await;
            if let Told::Failed(why) | Told::Unknown(why) = &told {
                tracing::warn!(target: "rr", ?step, why, "a step of the promotion is not done");
            }
            if let (Step::Verify(_), Told::Done) = (step, &told)
                && let Err(why) = self.tenure.confirm().await
            {
                tracing::error!(target: "rr", why, "the lease was lost during a promotion; see that there is one primary only");
                promotion.note(format!(
                    "see that there is one primary only: the lease was lost meanwhile ({why})"
                ));
            }
            promotion.advance(told, self.shared.clock.now());
            let candidate = promotion.candidate();
            if candidate != self.candidate {
                self.candidate = candidate;
                // Nobody is to write to the old primary, should it come back. A switchover holds later, and not for long.
                if !task.planned && candidate.is_some() {
                    self.hold().await;
                }
            }
        }
        let keeps =
            matches!(promotion.ending(), Some(Ending::InDoubt(..) | Ending::Stopped(Stop::NoLease(_))));
        if self.shared.config.failover.mode == FailoverMode::Manual && !keeps {
            // Whoever is asked next may be another router, or process.
            self.tenure.end().await;
        }
        self.leave_notes(&mut promotion);
        let name = |id: Option<NodeId>| id.and_then(|id| self.peer(id)).map(|peer| Arc::clone(&peer.name));
        let ending = promotion.ending().cloned();
        Report {
            id,
            reason,
            planned: task.planned,
            began,
            from: name(task.from),
            to: name(promotion.candidate().or(task.target)),
            ending: ending.unwrap_or(Ending::Stopped(Stop::Rehearsal)),
            durations: promotion.durations(),
            to_do: self.in_words(promotion.to_do()),
        }
    }

    /// A step within its time, and until the router is shut down.
    async fn bounded(&mut self, step: Step, task: &Task) -> Told {
        let mut limit = self.deadline;
        match step {
            Step::Drain | Step::Freeze | Step::CatchUp(_) => {
                limit = self.hold_until.map_or(limit, |hold| hold.min(limit));
            }
            Step::Thaw | Step::FenceCandidate(_) | Step::Repoint(_) => {
                limit = limit.max(Instant::now() + UNDOING);
            }
            _ => {}
        }
        let mut give_up = self.give_up.clone();
        let step_done = timeout_at(limit, self.carry_out(step, task));
        let late = || "it did not end in time".to_owned();
        // Once the candidate may know, the question is only what has become of it; and what was done is undone.
        let obedient =
            !matches!(step, Step::Promote(_) | Step::Delegate(_) | Step::Thaw | Step::FenceCandidate(_));
        let told = tokio::select! {
            told = step_done => told.map_err(|_| late()),
            _ = give_up.wait_for(|stop| *stop), if obedient => Ok(Told::Abandoned),
        };
        match (told, step) {
            (Ok(told), _) => told,
            (Err(why), Step::Promote(_) | Step::Delegate(_) | Step::Verify(_)) => Told::Unknown(why),
            (Err(why), _) => Told::Failed(why),
        }
    }

    async fn carry_out(&mut self, step: Step, task: &Task) -> Told {
        match step {
            Step::Lease => match self.tenure.take().await {
                Ok(token) => {
                    self.token = token;
                    Told::Done
                }
                Err(why) => Told::Failed(why),
            },
            Step::ConfirmLease => self.tenure.confirm().await.map_or_else(Told::Failed, |token| {
                self.token = token;
                Told::Done
            }),
            Step::Fence => self.fence(task.from).await,
            Step::FenceCandidate(node) => self.fence_candidate(node).await,
            Step::Look => self.look(task).await,
            Step::Hold => {
                let hold = self.shared.config.failover.hold;
                self.hold_until = Some(Instant::now() + hold);
                self.hold().await
            }
            Step::Drain => self.drain(task.from).await,
            Step::Freeze => self.freeze(task).await,
            Step::Thaw => self.thaw(task.from).await,
            Step::CatchUp(node) => self.catch_up(node, task).await,
            Step::Promote(node) => self.promote(node, task).await,
            Step::Delegate(node) => self.delegate(node, task).await,
            Step::Verify(node) => self.verify(node, task).await,
            Step::Repoint(node) => self.repoint(node, task.from).await,
            Step::End => Told::Done,
        }
    }

    async fn fence(&mut self, node: Option<NodeId>) -> Told {
        let place = node.and_then(|id| self.peer(id)).map(Peer::place);
        let (Some(fence), Some(place)) = (self.fence.clone(), place) else {
            return Told::Failed("nobody to be fenced, or nobody to fence".to_owned());
        };
        match fence.fence(&place).await {
            Ok(()) => Told::Done,
            Err(error) => Told::Failed(chain(&error)),
        }
    }

    /// Then the others have as much time as there was for the first one.
    async fn fence_candidate(&mut self, node: NodeId) -> Told {
        let told = self.fence(Some(node)).await;
        if matches!(told, Told::Done) {
            self.ask(|reply| Command::Fenced(node, reply)).await;
            self.deadline = Instant::now() + self.shared.config.failover.timeout;
        }
        told
    }

    async fn delegate(&mut self, node: NodeId, task: &Task) -> Told {
        if let Err(told) = self.check_head_again(task, node).await {
            return told;
        }
        let (from, to) = (task.from.and_then(|id| self.peer(id)), self.peer(node));
        let order = to.map(|to| Order::new(from.map(Peer::place), to.place(), task.planned, self.token));
        let (Some(promoter), Some(order)) = (self.promoter.clone(), order) else {
            return Told::Failed("it has left".to_owned());
        };
        match promoter.promote(&order).await {
            Ok(()) => Told::Done,
            Err(error) => Told::Failed(chain(&error)),
        }
    }

    /// Asks the worker, which owns the world.
    async fn ask<T>(&mut self, make: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(make(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn hold(&mut self) -> Told {
        let to = self.candidate;
        match self.ask(|reply| Command::Hold(to, reply)).await {
            Some(()) => Told::Done,
            None => Told::Failed("the router is shut down".to_owned()),
        }
    }

    fn peer(&self, id: NodeId) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.id == id)
    }

    fn name(&self, id: NodeId) -> Arc<str> {
        self.peer(id).map_or_else(|| id.to_string().into(), |peer| Arc::clone(&peer.name))
    }

    /// Names in place of numbers.
    fn in_words(&self, notes: &[String]) -> Vec<String> {
        // The longest numbers first: `#12` must not be read as `#1`.
        let mut peers: Vec<&Peer> = self.peers.iter().collect();
        peers.sort_by_key(|peer| std::cmp::Reverse(peer.id));
        let words = |note: &String| {
            peers.iter().fold(note.clone(), |text, peer| {
                text.replace(&peer.id.to_string(), &format!("`{}`", peer.name))
            })
        };
        notes.iter().map(words).collect()
    }

    fn leave_notes(&self, promotion: &mut Promotion) {
        let task = promotion.task();
        let (planned, delegated, from) = (task.planned, task.delegated, task.from.map(|id| self.name(id)));
        match (promotion.ending(), from) {
            (Some(Ending::Promoted(_)), Some(from)) if !delegated => {
                let state = if planned { "it refuses writes now" } else { "before it is started again" };
                promotion.note(format!("make `{from}` a replica (pg_rewind; {state})"));
            }
            (Some(Ending::InDoubt(..)), Some(from)) if planned => {
                promotion.note(format!(
                    "`{from}` refuses writes until `default_transaction_read_only` is reset there"
                ));
            }
            _ => {}
        }
        let took = promotion.durations().of(Phase::Promotion);
        tracing::debug!(target: "rr", ?took, "promotion ended");
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let mut text = error.to_string();
    for cause in causes.map(ToString::to_string) {
        // Some errors repeat their cause.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
