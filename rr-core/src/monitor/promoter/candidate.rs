//! What is done with the candidate: it catches up, takes over, and is seen to have done so.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::looking::{lacking, look};
use super::{Executor, PAUSE};
use crate::connector::Connector;
use crate::engine::Log;
use crate::engine::postgres::promotion as sql;
use crate::engine::postgres::promotion::Look;
use crate::failover::{Task, Told};
use crate::position::Lsn;
use crate::topology::{NodeId, Role};

/// A replay that has not moved for so long, although there seems to be more, is at the end of what can be applied.
const STALLED: Duration = Duration::from_secs(1);

/// Between two looks at whether recovery has ended.
const GLANCE: Duration = Duration::from_millis(3);

impl<C: Connector> Executor<C> {
    /// Waits until the candidate has applied all that it has received, and in a switchover all that there is.
    ///
    /// Ending recovery would apply it as well, even what is paused or delayed: nothing that was received is ever lost. But how
    /// long that takes nobody knows then, and there is no way back.
    pub(super) async fn catch_up(&mut self, node: NodeId, task: &Task) -> Told {
        // Another candidate may get there.
        let share = self.deadline.saturating_duration_since(Instant::now()) / 2;
        let limit = if task.planned { share * 2 } else { share };
        match timeout(limit, self.try_to_catch_up(node, task)).await {
            Ok(told) => told,
            Err(_) => Told::Failed(format!("`{}` still applies what it has received", self.name(node))),
        }
    }

    async fn try_to_catch_up(&mut self, node: NodeId, task: &Task) -> Told {
        let Some(peer) = self.peer(node).cloned() else { return Told::Failed("it has left".to_owned()) };
        let (mut last, mut moved_at, mut idle) = (None, Instant::now(), 0);
        loop {
            let seen = match look(self.lines.to(&peer)).await {
                Ok(seen) => seen,
                Err(why) => return Told::Failed(why),
            };
            if seen.seen.role == Role::Primary {
                return Told::Failed(format!("`{}` is a primary already", peer.name));
            }
            if seen.paused {
                // Everything that it has received is needed; whoever paused it would not have wanted to lose that.
                if task.planned && !task.force {
                    return Told::Failed(format!("replay of `{}` is paused", peer.name));
                }
                tracing::warn!(target: "rr", node = &*peer.name, "its replay was paused; it goes on, as it is to take over");
                if let Err(why) = self.lines.to(&peer).ask(sql::RESUME).await {
                    return Told::Failed(format!("its replay is paused and cannot be resumed: {why}"));
                }
            }
            let applied = applied(&seen);
            if last != applied {
                (last, moved_at, idle) = (applied, Instant::now(), 0);
            } else if seen.idle {
                idle += 1;
            }
            match self.end {
                Some(end) if applied >= Some(end) => return Told::Done,
                Some(_) => {}
                None if applied >= seen.seen.received => return Told::Done,
                // The last record that came may have come in part only.
                None if idle > 1 || moved_at.elapsed() > STALLED && !seen.delayed && !seen.paused => {
                    return Told::Done;
                }
                None if seen.delayed && task.force => return Told::Done,
                None => {}
            }
            sleep(PAUSE).await;
        }
    }

    /// Tells the candidate to take over. What goes wrong before that is certain; after it, nothing is.
    pub(super) async fn promote(&mut self, node: NodeId, task: &Task) -> Told {
        let Some(peer) = self.peer(node).cloned() else { return Told::Failed("it has left".to_owned()) };
        let line = self.lines.to(&peer);
        match lacking(line).await {
            Err(why) => return Told::Failed(why),
            Ok(lacks) if lacks.iter().any(|what| what.contains("pg_promote")) => {
                return Told::Failed(format!("the promotion's user lacks {}", lacks.join(", ")));
            }
            Ok(_) => {}
        }
        if let Err(told) = self.check_head_again(task, node).await {
            return told;
        }
        // Of the server that gets the order, on the connection that carries it: one that was started again earlier has forgotten
        // nothing that it was told later.
        let started = self.lines.to(&peer).ask(sql::STARTED).await;
        match started.map(|row| row.first().cloned().flatten()) {
            Ok(Some(started)) => drop(self.started.insert(node, started)),
            Ok(None) => return Told::Failed("the server does not say when it was started".to_owned()),
            Err(why) => return Told::Failed(why),
        }
        // It may have taken long to get here.
        if !self.tenure.is_certain().await {
            return Told::Failed("the lease is not held any more".to_owned());
        }
        match self.lines.to(&peer).ask(sql::PROMOTE).await {
            Ok(row) if sql::is_true(&row, 0) => Told::Done,
            Ok(_) => Told::Failed("the server could not signal its own recovery; see its log".to_owned()),
            Err(why) => Told::Unknown(why),
        }
    }

    /// Waits until the candidate says that it is a primary, of the same cluster and on a new timeline, and until the world
    /// has accepted it.
    pub(super) async fn verify(&mut self, node: NodeId, task: &Task) -> Told {
        let Some(peer) = self.peer(node).cloned() else { return Told::Unknown("it has left".to_owned()) };
        let mut published = self.shared.published.subscribe();
        loop {
            let snapshot = self.shared.snapshot.load_full();
            if snapshot.topology.primary().is_ok_and(|primary| primary.id == node) {
                return Told::Done;
            }
            // Somebody else promotes: the probes will tell.
            let seen = if task.delegated { Err(String::new()) } else { look(self.lines.to(&peer)).await };
            let restarted = |seen: &Look| self.started.get(&node).is_some_and(|old| *old != seen.started);
            let pause = match &seen {
                Ok(seen) if seen.seen.role == Role::Primary => Duration::from_millis(50),
                // A server that starts forgets that it was told.
                Ok(seen) if restarted(seen) => {
                    return Told::Failed("it was started again, and is a standby as before".to_owned());
                }
                Ok(_) => GLANCE,
                Err(_) => Duration::from_millis(20),
            };
            if pause > GLANCE
                && let Some(member) = snapshot.members.iter().find(|member| member.common.id == node)
            {
                member.common.poke.notify_one();
            }
            tokio::select! {
                () = sleep(pause) => {}
                changed = published.changed(), if pause > GLANCE => {
                    if changed.is_err() {
                        return Told::Unknown("the router is shut down".to_owned());
                    }
                }
            }
        }
    }
}

fn applied(look: &Look) -> Option<Lsn> {
    match look.seen.log {
        Log::Postgres { lsn, .. } => lsn,
        Log::Set(_) => None,
    }
}
