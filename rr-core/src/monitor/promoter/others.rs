//! The other replicas: each is told to follow the new primary, and seen to do so.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::looking::look;
use super::{Executor, Line, Peer};
use crate::connector::Connector;
use crate::engine::Log;
use crate::engine::postgres::conninfo::{place_of, pointed_to};
use crate::engine::postgres::promotion as sql;
use crate::engine::postgres::promotion::Look;
use crate::failover::Told;
use crate::position::Timeline;
use crate::topology::{NodeId, Role};

/// A replica that is told to follow somebody else does so within this time, or a person is told.
const PATIENCE: Duration = Duration::from_secs(10);

impl<C: Connector> Executor<C> {
    pub(super) async fn repoint(&mut self, primary: NodeId, old: Option<NodeId>) -> Told {
        let Some(leader) = self.peer(primary).cloned() else { return Told::Failed("it has left".to_owned()) };
        let Some(address) = leader.config.replication_address() else {
            return Told::Failed("its URL has no host; set `replication_host`".to_owned());
        };
        let topology = Arc::clone(&self.shared.snapshot.load().topology);
        let is_replica = |peer: &&Peer| {
            peer.id != primary
                && Some(peer.id) != old
                && topology.node(peer.id).is_some_and(|node| node.role == Role::Replica)
        };
        let others: Vec<Peer> = self.peers.iter().filter(is_replica).cloned().collect();
        // Whoever follows one of these follows it further on.
        let places: Vec<_> = others.iter().filter_map(|peer| peer.config.replication_address()).collect();
        let mut work = JoinSet::new();
        for peer in others {
            let mut line = self.lines.take(&peer);
            let mut to = Line::to(&self.shared, &leader);
            let (address, places) = (address.clone(), places.clone());
            work.spawn(async move {
                let following = follow(&mut line, &mut to, &address, &places);
                let late = || format!("it does not stream the new timeline within {PATIENCE:?}; see its log");
                (peer.id, timeout(PATIENCE, following).await.unwrap_or_else(|_| Err(late())))
            });
        }
        Told::Repointed(work.join_all().await)
    }
}

const fn timeline_of(look: &Look) -> Option<Timeline> {
    match look.seen.log {
        Log::Postgres { timeline, .. } => timeline,
        Log::Set(_) => None,
    }
}

async fn follow<C: Connector>(
    replica: &mut Line<C>,
    primary: &mut Line<C>,
    (host, port): &(String, u16),
    others: &[(String, u16)],
) -> Result<(), String> {
    let row = replica.ask(sql::FOLLOWS).await?;
    let text = |column: usize| row.get(column).cloned().flatten().unwrap_or_default();
    let (conninfo, slot, timeline) = (text(0), text(1), text(2));
    if timeline != "latest" {
        return Err(format!("it stays on its timeline (`recovery_target_timeline = '{timeline}'`)"));
    }
    if place_of(&conninfo).is_some_and(|place| others.contains(&place)) {
        return Ok(());
    }
    let pointed = pointed_to(&conninfo, host, *port).map_err(|error| error.to_string())?;
    if !slot.is_empty() {
        primary.ask(&sql::create_slot(&slot)).await.map_err(|why| format!("its slot `{slot}`: {why}"))?;
    }
    replica.tell(&sql::follow(&pointed)).await?;
    replica.ask(sql::RELOAD).await?;
    let new = timeline_of(&look(primary).await?);
    // Whoever applies late, or not for now, asks for the new timeline when it comes to its beginning.
    let late = look(replica).await.map(|seen| seen.delayed || seen.paused)?;
    loop {
        let row = replica.ask(sql::STREAMS).await?;
        let text = |column: usize| row.get(column).cloned().flatten().unwrap_or_default();
        let streams = text(0) == "1" && text(1) == *host && text(2) == port.to_string();
        // One that has more than the new primary streams the old timeline once more, to where that ends.
        let arrived = || text(3).parse::<Timeline>().ok() >= new;
        if streams && (late || arrived()) {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
}
