//! The closer look at all nodes at once: where they are, and what the promotion's user may do there.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Executor, Line, Peer};
use crate::connector::Connector;
use crate::engine::Observation;
use crate::engine::postgres::PROBE;
use crate::engine::postgres::promotion as sql;
use crate::engine::postgres::promotion::Look;
use crate::failover::{ReplicaView, Task, Told};
use crate::monitor::{Command, Shared};
use crate::topology::{HealthState, NodeId, Role};

/// An old primary that is back says so at once; one that hangs must not hold up an election.
const BACK: Duration = Duration::from_millis(100);

/// For so long a closer look tells who is promoted meanwhile.
const LASTS: Duration = Duration::from_millis(200);

/// A replica that takes longer than this to say where it is, is not elected while others wait.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the promotion's user lacks on a node.
pub(crate) type Privileges = Result<Vec<&'static str>, String>;

pub(super) async fn look<C: Connector>(line: &mut Line<C>) -> Result<Look, String> {
    let row = line.ask(&sql::look_sql()).await?;
    sql::read_look(&row).map_err(|error| error.to_string())
}

/// What a role sees that may do nothing: enough where somebody else promotes.
async fn glance<C: Connector>(line: &mut Line<C>) -> Result<Look, String> {
    let row = line.ask(PROBE).await?;
    sql::read_glance(&row).map_err(|error| error.to_string())
}

/// What the promotion's user lacks on the node.
pub(crate) async fn lacking<C: Connector>(line: &mut Line<C>) -> Privileges {
    let row = line.ask(sql::PRIVILEGES).await?;
    let version = row.first().cloned().flatten().and_then(|text| text.parse::<u32>().ok());
    let settings = match version {
        Some(version) if version >= sql::SETTING_PRIVILEGES_SINCE && !sql::is_true(&row, 1) => {
            Some(line.ask(sql::SETTING_PRIVILEGES).await?)
        }
        _ => None,
    };
    Ok(sql::lacking(&row, settings.as_deref()))
}

/// Looks at all nodes, each in its own time; and what the promotion's user lacks there.
pub(crate) async fn look_at_all<C: Connector>(
    shared: &Arc<Shared<C>>,
    peers: &[Peer],
    patience: Duration,
) -> Vec<(NodeId, Result<Look, String>, Privileges)> {
    let mut looks = JoinSet::new();
    for peer in peers {
        let mut line = Line::to(shared, peer);
        let id = peer.id;
        looks.spawn(async move {
            let both = async {
                // First: whoever lacks too much cannot even look.
                let lacks = lacking(&mut line).await;
                let seen = match &lacks {
                    Ok(_) => look(&mut line).await,
                    Err(why) => Err(why.clone()),
                };
                (seen, lacks)
            };
            let late = || format!("no answer within {patience:?}");
            let (seen, lacks) = timeout(patience, both).await.unwrap_or_else(|_| (Err(late()), Err(late())));
            (id, seen, lacks)
        });
    }
    looks.join_all().await
}

impl<C: Connector> Executor<C> {
    pub(super) async fn look(&mut self, task: &Task) -> Told {
        let (mut looks, delegated) = (JoinSet::new(), task.delegated);
        for peer in &self.peers {
            let (id, mut line) = (peer.id, self.lines.take(peer));
            let limits = &self.shared.config.monitor;
            let limit = match task.planned {
                // Nobody waits for it yet, and a primary under load is slow to take one more connection.
                true => limits.connect_timeout + limits.timeout,
                false if Some(id) == task.from => BACK,
                false => PATIENCE,
            };
            looks.spawn(async move {
                let looking =
                    async { if delegated { glance(&mut line).await } else { look(&mut line).await } };
                let seen = timeout(limit, looking).await;
                (id, line, seen.unwrap_or_else(|_| Err(format!("no answer within {limit:?}"))))
            });
        }
        let mut seen = Vec::new();
        for (id, line, look) in looks.join_all().await {
            self.lines.put(id, line);
            match look {
                Ok(look) => seen.push((id, look)),
                Err(why) => {
                    tracing::warn!(target: "rr", node = &*self.name(id), why, "not seen in the closer look");
                }
            }
        }
        self.looked_at = Some(Instant::now());
        let observations: Vec<_> = seen.iter().map(|(id, look)| (*id, look.seen.clone())).collect();
        if let Err(told) = self.check_head(task, observations.clone()).await {
            return told;
        }
        let old = seen.iter().find(|(id, look)| Some(*id) == task.from && look.seen.role == Role::Primary);
        // In a failover that has been objected to.
        let primary_answers = task.planned && old.is_some();
        if let Some((id, Look { frozen: true, .. })) = old.filter(|_| task.planned) {
            // Somebody else wants it so, and that must not be undone.
            let name = self.name(*id);
            return Told::Failed(format!("`{name}` has default_transaction_read_only = on already"));
        }
        let Some((mut replicas, last_known)) =
            self.ask(|reply| Command::Candidates(observations, reply)).await
        else {
            return Told::Failed("the router is shut down".to_owned());
        };
        for view in &mut replicas {
            refine(view, seen.iter().find(|(id, _)| *id == view.id).map(|(_, look)| look), task);
        }
        Told::Looked { replicas, last_known, primary_answers }
    }

    /// Whether anybody may be told to take over, after these looks; else what to tell of that.
    pub(super) async fn check_head(
        &mut self,
        task: &Task,
        looks: Vec<(NodeId, Observation)>,
    ) -> Result<(), Told> {
        let (task, told) = (*task, self.started.keys().copied().collect());
        match self.ask(|reply| Command::CheckHead { task, told, looks, reply }).await {
            Some(result) => result.map_err(Told::Objected),
            None => Err(Told::Abandoned),
        }
    }

    /// The same right before somebody is told, with one more look where the last one was some time ago.
    pub(super) async fn check_head_again(&mut self, task: &Task, candidate: NodeId) -> Result<(), Told> {
        let mut looks = JoinSet::new();
        let is_old = self.looked_at.is_none_or(|at| at.elapsed() > LASTS);
        for peer in self.peers.iter().filter(|peer| is_old && peer.id != candidate) {
            let (id, mut line) = (peer.id, self.lines.take(peer));
            looks.spawn(async move {
                let seen = timeout(BACK, glance(&mut line)).await;
                (id, line, seen)
            });
        }
        let mut seen = Vec::new();
        for (id, line, look) in looks.join_all().await {
            self.lines.put(id, line);
            if let Ok(Ok(look)) = look {
                seen.push((id, look.seen));
            }
        }
        self.check_head(task, seen).await
    }
}

/// Adds what only the closer look shows. Whoever was not seen in it does not answer.
fn refine(view: &mut ReplicaView, look: Option<&Look>, task: &Task) {
    let Some(look) = look else {
        view.health = HealthState::Unhealthy;
        return;
    };
    (view.delayed, view.frozen) = (look.delayed, look.frozen);
    if !view.answers() {
        // It was down, and answers now.
        view.health = HealthState::Degraded;
    }
    view.paused = task.planned && look.paused && !task.force;
}
