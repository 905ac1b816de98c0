//! Failovers: what would happen, what is to happen, and what has happened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Router;
use crate::connector::Connector;
use crate::engine::postgres::promotion::Look;
use crate::error::{FailoverError, StartError};
use crate::failover::{CandidateRefusal, Decision, Proposal, Report, elect, refusal};
use crate::monitor::{Approval, Command, Peer, Privileges, Prospects, look_at_all};
use crate::position::Position;
use crate::topology::NodeId;

/// How long a plan waits for a node.
const PATIENCE: Duration = Duration::from_secs(2);

/// Failovers of a router: see [`Router::failover`].
#[derive(Debug)]
pub struct Failover<'a, C: Connector> {
    router: &'a Router<C>,
}

/// What a node is in a [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// The primary; it answers.
    Primary,
    /// The primary; it does not answer.
    Silent,
    /// It would take over.
    Elected,
    /// It could take over; another one would.
    Candidate,
    /// It could not.
    Refused(CandidateRefusal),
    /// It takes no part: it is no replica of this cluster.
    Other,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("the primary"),
            Self::Silent => f.write_str("the primary, which does not answer"),
            Self::Elected => f.write_str("would take over"),
            Self::Candidate => f.write_str("could take over"),
            Self::Refused(why) => write!(f, "could not take over: {why}"),
            Self::Other => f.write_str("takes no part"),
        }
    }
}

/// One node in a [`Plan`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodePlan {
    /// Its name.
    pub name: Arc<str>,
    /// What it would be.
    pub standing: Standing,
    /// What it has, applied or not.
    pub has: Option<Position>,
    /// What the promotion's user lacks there; empty when it lacks nothing.
    pub lacking: Vec<&'static str>,
    /// Why it was not seen in the closer look.
    pub trouble: Option<String>,
}

/// What would happen if the primary failed, or were to be replaced, now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// What is to be done about the primary as it is.
    pub decision: Decision,
    /// Every node.
    pub nodes: Vec<NodePlan>,
}

impl Plan {
    /// The node that would take over.
    #[must_use]
    pub fn elected(&self) -> Option<&Arc<str>> {
        let elected = self.nodes.iter().find(|node| node.standing == Standing::Elected);
        elected.map(|node| &node.name)
    }

    /// Whether the promotion's user may do all that is needed, wherever that could be asked.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        self.nodes.iter().all(|node| node.lacking.is_empty())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, node) in self.nodes.iter().enumerate() {
            let line = if place == 0 { "" } else { "\n" };
            write!(f, "{line}{}: {}", node.name, node.standing)?;
            if let Some(has) = &node.has {
                write!(f, ", has {has}")?;
            }
            if !node.lacking.is_empty() {
                write!(f, "; the promotion's user lacks {}", node.lacking.join(", "))?;
            }
            if let Some(trouble) = &node.trouble {
                write!(f, "; {trouble}")?;
            }
        }
        Ok(())
    }
}

impl<C: Connector> Router<C> {
    /// Failovers: plan one, begin one, approve one, and see what became of the last ones.
    #[must_use]
    pub const fn failover(&self) -> Failover<'_, C> {
        Failover { router: self }
    }

    /// Refuses a start whose promotions could only fail. Nodes that do not answer are not held against it.
    pub(super) async fn check_privileges(&self, patience: Duration) -> Result<(), StartError> {
        let nodes = (0..).map(NodeId::new).zip(self.config().nodes());
        let peers: Vec<Peer> = nodes
            .map(|(id, node)| Peer { id, name: node.name.as_str().into(), config: node.clone() })
            .collect();
        for (id, _, privileges) in look_at_all(&self.inner.shared, &peers, patience.min(PATIENCE)).await {
            if let Ok(lacking) = privileges
                && !lacking.is_empty()
            {
                let node = peers.iter().find(|peer| peer.id == id).map(|peer| peer.config.name.clone());
                return Err(StartError::Privileges { node: node.unwrap_or_default(), lacking });
            }
        }
        Ok(())
    }
}

impl<C: Connector> Failover<'_, C> {
    /// What would happen now, and why, for each node: by a closer look at all of them, as the promotion's user.
    ///
    /// # Errors
    /// [`FailoverError::Closed`] when the router was shut down.
    pub async fn plan(&self) -> Result<Plan, FailoverError> {
        let Prospects { peers, head, decision } = self.ask(Command::Prospects).await?;
        let shared = &self.router.inner.shared;
        let looks = look_at_all(shared, &peers, PATIENCE).await;
        let seen: Vec<(NodeId, &Look)> =
            looks.iter().filter_map(|(id, look, _)| Some((*id, look.as_ref().ok()?))).collect();
        let observations = seen.iter().map(|(id, look)| (*id, look.seen.clone())).collect();
        let (mut views, last_known) = self.ask(|reply| Command::Candidates(observations, reply)).await?;
        for view in &mut views {
            match seen.iter().find(|(id, _)| *id == view.id) {
                Some((_, look)) => (view.delayed, view.frozen) = (look.delayed, look.frozen),
                None => view.health = crate::topology::HealthState::Unhealthy,
            }
        }
        let policy = &shared.config.failover;
        let elected = elect(&views, last_known.as_ref(), policy, false).ok();
        let nodes = peers.iter().map(|peer| {
            let view = views.iter().find(|view| view.id == peer.id);
            let standing = match (head, view) {
                (Some((id, true)), _) if id == peer.id => Standing::Primary,
                (Some((id, false)), _) if id == peer.id => Standing::Silent,
                (_, Some(_)) if elected == Some(peer.id) => Standing::Elected,
                (_, Some(view)) => refusal(view, last_known.as_ref(), policy, false)
                    .map_or(Standing::Candidate, Standing::Refused),
                (_, None) => Standing::Other,
            };
            let look = looks.iter().find(|(id, ..)| *id == peer.id);
            let privileges: Option<&Privileges> = look.map(|(_, _, privileges)| privileges);
            NodePlan {
                name: Arc::clone(&peer.name),
                standing,
                has: view.and_then(|view| view.has().cloned()),
                lacking: privileges.and_then(|lacks| lacks.clone().ok()).unwrap_or_default(),
                trouble: privileges.and_then(|lacks| lacks.clone().err()),
            }
        });
        Ok(Plan { decision, nodes: nodes.collect() })
    }

    /// Has another node take over: by a switchover while the primary is well, else by a failover.
    ///
    /// A switchover holds the writes of this router (`failover.hold` at most), waits for what is under way, makes the old
    /// primary refuse writes of everybody, and promotes a candidate that has everything; where one of these does not end in
    /// time, all is as before. A failover needs no confirmations: whoever asks has looked. `target` is who takes over, `None`
    /// for the best candidate. `force` takes a target that lacks more than `max_lag_bytes` or is delayed on purpose, though
    /// others have more. It does not ask the witnesses, nor for `min_replicas`. In a switchover it goes on when something is
    /// still open after the time to drain (that loses its connection), and to a target whose replay is paused. It is no way to two
    /// primaries: a failover from a primary that answers, and any promotion while a node is in doubt, are refused all the same.
    ///
    /// Waits for the end. Whoever stops waiting stops nothing.
    ///
    /// # Errors
    /// When it cannot be begun. What became of it is in the report.
    pub async fn initiate(
        &self,
        reason: &str,
        target: Option<&str>,
        force: bool,
    ) -> Result<Arc<Report>, FailoverError> {
        let (reason, target) = (reason.to_owned(), target.map(str::to_owned));
        self.report(|reply| Command::Initiate { reason, target, force, reply }).await
    }

    /// What waits for approval (`supervised`).
    #[must_use]
    pub fn proposal(&self) -> Option<Proposal> {
        self.router.inner.shared.board.proposal(self.router.now())
    }

    /// Approves a proposal, and waits for the end of the promotion.
    ///
    /// # Errors
    /// When there is no such proposal any more: it has expired, or the primary is back.
    pub async fn approve(&self, id: u64) -> Result<Arc<Report>, FailoverError> {
        self.report(|reply| Command::Approve(id, reply)).await
    }

    /// Says that somebody has looked at the node that was told to take over: it has not, and it will not (it is stopped, or
    /// was started again as a standby). The same of a standby that somebody else began to promote. Writes go to the old primary
    /// again, if it is there; every process with a router has to be told. `false` when there was no doubt, and no timeline on which
    /// nobody was ever a primary.
    ///
    /// Said in error, this makes two primaries.
    ///
    /// # Errors
    /// [`FailoverError::Closed`] when the router was shut down.
    pub async fn clear_doubt(&self) -> Result<bool, FailoverError> {
        self.ask(Command::ClearDoubt).await
    }

    /// The last promotions and attempts of this router (64 at most), the oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<Arc<Report>> {
        self.router.inner.shared.board.reports()
    }

    async fn report(
        &self,
        make: impl FnOnce(oneshot::Sender<Approval>) -> Command,
    ) -> Result<Arc<Report>, FailoverError> {
        self.ask(make).await??.await.map_err(|_| FailoverError::Closed)
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, FailoverError> {
        let (reply, answer) = oneshot::channel();
        self.router.inner.commands.send(make(reply)).await.map_err(|_| FailoverError::Closed)?;
        answer.await.map_err(|_| FailoverError::Closed)
    }
}
