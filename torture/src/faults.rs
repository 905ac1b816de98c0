//! What is done to the servers of a round: everything, in an order that is drawn by lot.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rr_core::config::FailoverMode;
use rr_core::failover::Report;
use rr_tests::cluster::{Boundary, Cluster, ClusterError, Mode, Node, Part};
use rr_tests::wait::{PATIENCE, wait_for};

use crate::Error;
use crate::client::Db;
use crate::history::{Fault, now};
use crate::load::Shared;
use crate::peer::Peer;

mod deck;

use deck::Deck;
pub use deck::Kind;

/// Within this time a standby has begun to follow a new primary, if it can.
const FOLLOWS: Duration = Duration::from_secs(5);

/// Within this time one that cannot has stopped.
const SETTLES: Duration = Duration::from_millis(700);

/// How the primary changes in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It does not.
    Stays,
    /// It dies, and a router promotes a standby by itself.
    Automatic,
    /// It dies, and somebody promotes a standby.
    Outside,
    /// As planned.
    Switchover,
}

impl Change {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Stays, Self::Automatic, Self::Outside, Self::Switchover];

    /// As the seed of a round says. Seeds that count up have each in turn.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        match seed % 4 {
            0 => Self::Stays,
            1 => Self::Automatic,
            2 => Self::Outside,
            _ => Self::Switchover,
        }
    }

    /// The seed that is nearest to this one and says this change.
    #[must_use]
    pub fn seeded(self, seed: u64) -> u64 {
        let first = seed - seed % 4;
        (first..=first + 3).find(|seed| Self::of(*seed) == self).unwrap_or(seed)
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|change| change.name() == name)
    }

    /// What the one router does that may promote.
    #[must_use]
    pub const fn mode(self) -> FailoverMode {
        match self {
            Self::Stays | Self::Outside => FailoverMode::Follow,
            Self::Automatic => FailoverMode::Automatic,
            Self::Switchover => FailoverMode::Manual,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Stays => "none",
            Self::Automatic => "automatic-promotion",
            Self::Outside => "outside-promotion",
            Self::Switchover => "switchover",
        }
    }
}

/// The names of all that can be done to servers.
pub fn names() -> impl Iterator<Item = &'static str> {
    let changes = Change::ALL.into_iter().filter(|change| *change != Change::Stays);
    Kind::ALL.into_iter().map(Kind::name).chain(changes.map(Change::name))
}

/// Who is disturbed, and what was done.
#[derive(Debug)]
pub struct Scene<'r> {
    /// The servers.
    pub cluster: &'r Cluster,
    /// The router that may promote.
    pub elector: &'r Db,
    /// The clients of this process, and the other one.
    pub shared: &'r Shared,
    /// The other process.
    pub peer: &'r mut Peer,
    /// How the primary changes.
    pub change: Change,
    /// Which server is the primary.
    pub leader: String,
    /// What was done.
    pub done: Vec<Fault>,
}

impl Scene<'_> {
    fn leader(&self) -> Result<&Node, Error> {
        Ok(self.cluster.node(&self.leader)?)
    }

    fn standbys(&self) -> Vec<&Node> {
        self.cluster.nodes().iter().filter(|node| node.name() != self.leader && node.is_running()).collect()
    }

    fn note(&mut self, kind: &str, node: &str) {
        self.done.push(Fault { at: now(), kind: kind.to_owned(), node: node.to_owned() });
    }

    /// Disturbs until it is `until`, and in every way that there is; once in between, the primary changes.
    ///
    /// # Errors
    /// When a server does not do as it is told.
    pub async fn play(&mut self, rng: &mut Rng, from: u64, until: u64) -> Result<(), Error> {
        let change_at = from + (until - from) / 4 + rng.u64(0..=(until - from) / 4);
        let mut to_change = self.change != Change::Stays;
        let mut deck = Deck::new(rng.fork(), self.change);
        while now() < until || to_change || !deck.is_through() {
            if to_change && now() >= change_at {
                to_change = false;
                self.change_primary(rng).await?;
                continue;
            }
            let kind = deck.draw();
            let hold = Duration::from_millis(rng.u64(100..900));
            self.disturb(kind, rng, hold).await?;
            pause(Duration::from_millis(rng.u64(20..200))).await;
        }
        Ok(())
    }

    async fn disturb(&mut self, kind: Kind, rng: &mut Rng, hold: Duration) -> Result<(), Error> {
        let standbys: Vec<Node> = self.standbys().into_iter().cloned().collect();
        let standby = rng.choice(&standbys).ok_or("no standby")?.clone();
        let leader = self.leader()?.clone();
        let any = if rng.u8(0..3) == 0 { leader.clone() } else { standby.clone() };
        let node = match kind {
            Kind::ReplayPause | Kind::ApplyDelay | Kind::ReplicaKill => &standby,
            Kind::PrimaryKill | Kind::PageBoundary => &leader,
            Kind::ConnectionKill | Kind::Freeze | Kind::Cut | Kind::HalfOpen | Kind::SlowLink => &any,
        };
        self.note(kind.name(), node.name());
        match kind {
            Kind::ReplayPause => {
                node.pause_replay().await?;
                pause(hold).await;
                node.resume_replay().await?;
            }
            Kind::ApplyDelay => {
                node.apply_delay(Duration::from_millis(rng.u64(50..600))).await?;
                pause(hold).await;
                node.apply_delay(Duration::ZERO).await?;
            }
            Kind::ReplicaKill => {
                node.crash().await?;
                pause(hold).await;
                node.start().await?;
                node.wait_streaming().await?;
            }
            Kind::ConnectionKill => drop(node.kill_client_connections().await?),
            Kind::Freeze => {
                node.sigstop(Part::Everything)?;
                pause(hold).await;
                node.sigcont(Part::Everything)?;
            }
            Kind::Cut => {
                node.link().cut().await?;
                pause(hold).await;
                node.link().heal().await?;
            }
            Kind::HalfOpen => {
                node.link().blackhole().await?;
                pause(hold).await;
                node.link().heal().await?;
            }
            Kind::SlowLink => {
                node.link().delay(Duration::from_millis(rng.u64(5..60))).await?;
                if rng.bool() {
                    node.link().rate(NonZeroU64::new(64 * 1024).ok_or("no rate")?).await?;
                }
                pause(hold).await;
                node.link().heal().await?;
            }
            Kind::PrimaryKill => {
                node.crash().await?;
                pause(hold / 2).await;
                node.start().await?;
                for standby in &standbys {
                    standby.wait_streaming().await?;
                }
            }
            Kind::PageBoundary => self.end_with_a_page(hold).await?,
        }
        Ok(())
    }

    /// Reads go on meanwhile, of whatever was written before.
    async fn end_with_a_page(&mut self, hold: Duration) -> Result<(), Error> {
        let _held = self.shared.gate.write().await;
        self.peer.hold().await?;
        let commit = "SELECT pg_logical_emit_message(true, '', '')";
        self.leader()?.commit_at_boundary(commit, Boundary::Page).await?;
        pause(hold / 2).await;
        self.peer.go().await
    }

    /// Changes the primary in the way of this round.
    ///
    /// # Errors
    /// When a server does not do as it is told.
    pub async fn change_primary(&mut self, rng: &mut Rng) -> Result<(), Error> {
        let change = self.change;
        let old = self.leader()?.clone();
        self.note(change.name(), old.name());
        let new = match change {
            Change::Stays => return Ok(()),
            Change::Outside => {
                old.crash().await?;
                pause(Duration::from_millis(rng.u64(0..500))).await;
                let standbys: Vec<Node> = self.standbys().into_iter().cloned().collect();
                let new = rng.choice(&standbys).ok_or("no standby")?.clone();
                new.promote().await?;
                for standby in standbys.iter().filter(|standby| standby.name() != new.name()) {
                    follow(standby, &new, Box::pin(standby.repoint(&new))).await?;
                }
                new
            }
            Change::Automatic => {
                old.crash().await?;
                let report = self.report().await?;
                self.promoted(&report, &old).await?
            }
            Change::Switchover => {
                let Db::Diesel(pool) = self.elector else { return Err("the elector is Diesel's".into()) };
                let report = pool.router().failover().initiate("torture", None, false).await?;
                let new = self.promoted(&report, &old).await?;
                old.stop(Mode::Fast).await?;
                new
            }
        };
        self.leader = new.name().to_owned();
        pause(Duration::from_millis(rng.u64(0..1000))).await;
        old.rebuild(&new).await?;
        Ok(())
    }

    async fn report(&self) -> Result<Arc<Report>, Error> {
        let Db::Diesel(pool) = self.elector else { return Err("the elector is Diesel's".into()) };
        let ended = async || Ok::<_, Error>(pool.router().failover().history().pop());
        Ok(wait_for(PATIENCE, "the promotion to end", ended).await?)
    }

    async fn promoted(&self, report: &Report, old: &Node) -> Result<Node, Error> {
        let to = report.to.as_deref().filter(|_| report.succeeded()).ok_or_else(|| report.to_string())?;
        let new = self.cluster.node(to)?.clone();
        for standby in self.standbys().into_iter().cloned().collect::<Vec<_>>() {
            if standby.name() != to && standby.name() != old.name() {
                follow(&standby, &new, Box::pin(standby.repointed(&new))).await?;
            }
        }
        Ok(new)
    }
}

/// One that has more than the new primary cannot follow it, and is made anew.
async fn follow(
    standby: &Node,
    new: &Node,
    following: impl Future<Output = Result<(), ClusterError>>,
) -> Result<(), Error> {
    let followed = async {
        following.await?;
        // It may have got what both have in common, and no more.
        pause(SETTLES).await;
        standby.wait_streaming().await
    };
    if let Ok(followed) = tokio::time::timeout(FOLLOWS, followed).await {
        return Ok(followed?);
    }
    standby.crash().await?;
    Ok(standby.rebuild(new).await?)
}

/// What a fault lasts; nothing is waited for.
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_rounds_in_a_row_have_every_change_and_a_seed_says_which() {
        let mut rng = Rng::with_seed(7);
        for first in 0..8 {
            let turns =
                (first..first + 4).map(|turn| Change::of(Change::of(turn).seeded(rng.u64(..1 << 32))));
            let turns: Vec<Change> = turns.collect();
            assert!(Change::ALL.iter().all(|change| turns.contains(change)), "{turns:?}");
        }
    }
}
