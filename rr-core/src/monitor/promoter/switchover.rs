//! What is done with a primary that is well, and is to be one no longer.

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout};

use super::{Executor, Line, PAUSE, Peer};
use crate::connector::Connector;
use crate::engine::postgres::promotion as sql;
use crate::failover::{Task, Told};
use crate::monitor::Shared;
use crate::position::Lsn;
use crate::topology::NodeId;

impl<C: Connector> Executor<C> {
    /// Waits until nothing of this router is under way on the old primary.
    pub(super) async fn drain(&mut self, old: Option<NodeId>) -> Told {
        let snapshot = self.shared.snapshot.load_full();
        let member = snapshot.members.iter().find(|member| Some(member.common.id) == old);
        let Some(common) = member.map(|member| Arc::clone(&member.common)) else { return Told::Done };
        while common.load.in_flight() > 0 {
            sleep(PAUSE).await;
            if self.hold_until.is_some_and(|until| Instant::now() + PAUSE * 2 >= until) {
                let left = common.load.in_flight();
                return Told::Failed(format!(
                    "{left} statements or transactions of this router were still open on `{}`",
                    common.name
                ));
            }
        }
        Told::Done
    }

    /// Makes the old primary refuse writes, waits for the transactions that may still write and then ends them, and learns
    /// where its log ends.
    pub(super) async fn freeze(&mut self, task: &Task) -> Told {
        let Some(peer) = self.old(task.from) else { return Told::Failed("it has left".to_owned()) };
        match self.try_to_freeze(&peer).await {
            Ok(end) => {
                self.end = Some(end);
                place_writes(&self.shared, peer.id).await;
                Told::Done
            }
            Err(why) => Told::Failed(why),
        }
    }

    async fn try_to_freeze(&mut self, peer: &Peer) -> Result<Lsn, String> {
        let began = Instant::now();
        let patience = self.hold_until.map_or(began, |until| began + until.duration_since(began) / 3);
        let line = self.lines.to(peer);
        line.tell(sql::FREEZE).await?;
        reload(line).await?;
        loop {
            let row = line.ask(sql::WRITERS).await?;
            let (open, end) = sql::read_writers(&row).map_err(|error| error.to_string())?;
            if open == 0 {
                return Ok(end);
            }
            if Instant::now() >= patience {
                tracing::warn!(target: "rr", node = &*peer.name, open, "transactions of others are ended: it is to be the primary no more");
                line.ask(sql::END_WRITERS).await?;
            }
            sleep(PAUSE).await;
        }
    }

    /// Lets the old primary write again.
    pub(super) async fn thaw(&mut self, old: Option<NodeId>) -> Told {
        let Some(peer) = self.old(old) else { return Told::Failed("it has left".to_owned()) };
        loop {
            match self.try_to_thaw(&peer).await {
                Ok(()) => return Told::Done,
                Err(why) => tracing::warn!(target: "rr", node = &*peer.name, why, "it still refuses writes"),
            }
            sleep(PAUSE * 10).await;
        }
    }

    async fn try_to_thaw(&mut self, peer: &Peer) -> Result<(), String> {
        let line = self.lines.to(peer);
        line.tell(sql::UNFREEZE).await?;
        reload(line).await
    }

    fn old(&self, old: Option<NodeId>) -> Option<Peer> {
        old.and_then(|id| self.peer(id)).cloned()
    }
}

/// Has the server read its settings again, and waits until it has.
async fn reload<C: Connector>(line: &mut Line<C>) -> Result<(), String> {
    let row = line.ask(sql::RELOAD_SINCE).await?;
    let since = row.first().and_then(Option::as_deref).and_then(|text| text.parse().ok());
    let since = since.ok_or("the server does not tell the time")?;
    loop {
        line.hang_up();
        if sql::is_true(&line.ask(&sql::reloaded(since)).await?, 0) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

/// Has the monitor look at the old primary once more, so that everything that was written there has a position that is
/// certainly kept. Where it does not answer in time, some sessions are told that their write may be lost.
async fn place_writes<C: Connector>(shared: &Shared<C>, old: NodeId) {
    let mut published = shared.published.subscribe();
    let ended_at = shared.clock.now();
    let looking = async {
        loop {
            let snapshot = shared.snapshot.load_full();
            let node = snapshot.topology.node(old);
            if node.is_none_or(|node| node.sampled_at.is_some_and(|at| at >= ended_at)) {
                return;
            }
            let member = snapshot.members.iter().find(|member| member.common.id == old);
            member.inspect(|member| member.common.poke.notify_one());
            if published.changed().await.is_err() {
                return;
            }
        }
    };
    drop(timeout(shared.config.monitor.timeout, looking).await);
}
