//! What is done to the servers of a round: everything, in an order that is drawn by lot.

use std::time::Duration;

use fastrand::Rng;
use rr_core::failover::{Ending, Report};
use rr_core::router::Failover;
use rr_diesel::DieselConnector;
use rr_tests::cluster::{Boundary, Cluster, ClusterError, Mode, Node, Part};
use rr_tests::wait::{PATIENCE, wait_for};

use crate::Error;
use crate::client::Db;
use crate::history::{Fault, now};
use crate::load::Shared;
use crate::peer::Peer;

mod change;
mod deck;
mod lasting;

pub use change::{Change, disturbed, seeded};
use deck::Deck;
pub use deck::Kind;
use lasting::Lasting;

/// Within this time a standby has begun to follow a new primary, if it can.
const FOLLOWS: Duration = Duration::from_secs(5);

/// The timeline that a standby receives, and the one that a primary writes.
const RECEIVED: &str = "SELECT coalesce(max(received_tli), 0)::text FROM pg_stat_wal_receiver";
const WRITTEN: &str =
    "SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int::text";

/// The names of all that can be done to servers.
pub fn names() -> impl Iterator<Item = &'static str> {
    let changes = Change::ALL.into_iter().filter(|change| *change != Change::Stays);
    Kind::ALL.into_iter().map(Kind::name).chain(changes.map(Change::name))
}

/// How often a switchover is asked for.
const SWITCHOVERS: usize = 5;

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
    /// Whether it does so while a standby is disturbed.
    pub disturbed: bool,
    /// Which server is the primary.
    pub leader: String,
    /// What was done.
    pub done: Vec<Fault>,
    /// When the old primary was dead, if it died: what was asked for later it can have answered no more, nor lost.
    pub dead: Option<u64>,
}

impl Scene<'_> {
    fn leader(&self) -> Result<&Node, Error> {
        Ok(self.cluster.node(&self.leader)?)
    }

    fn standbys(&self) -> Vec<&Node> {
        self.cluster.nodes().iter().filter(|node| node.name() != self.leader && node.is_running()).collect()
    }

    fn note(&mut self, kind: Kind, node: &Node) {
        self.done.push(fault(kind.name(), node));
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
            Kind::ReplayPause
            | Kind::ApplyDelay
            | Kind::ReplicaKill
            | Kind::ReplicationCut
            | Kind::ReplicationDelay => &standby,
            Kind::PrimaryKill | Kind::PageBoundary => &leader,
            Kind::ConnectionKill | Kind::Freeze | Kind::Cut | Kind::HalfOpen | Kind::SlowLink => &any,
        };
        self.note(kind, node);
        match kind {
            Kind::ReplayPause
            | Kind::ApplyDelay
            | Kind::SlowLink
            | Kind::ReplicationCut
            | Kind::ReplicationDelay => {
                let lasting = Lasting::begin(kind, node, rng).await?;
                pause(hold).await;
                lasting.end().await?;
                if kind == Kind::ReplicationCut {
                    node.wait_streaming().await?;
                }
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

    /// Changes the primary in the way of this round, while a standby is disturbed if the round has it so.
    ///
    /// # Errors
    /// When a server does not do as it is told, or the router not what it must.
    pub async fn change_primary(&mut self, rng: &mut Rng) -> Result<(), Error> {
        let old = self.leader()?.clone();
        let standbys: Vec<Node> = self.standbys().into_iter().cloned().collect();
        let any = |rng: &mut Rng| rng.choice(&standbys).cloned().ok_or("no standby");
        let mut lasting = None;
        if self.disturbed {
            let (kind, standby) = (*rng.choice(&Lasting::OF_STANDBYS).ok_or("nothing lasts")?, any(rng)?);
            self.note(kind, &standby);
            lasting = Some(Lasting::begin(kind, &standby, rng).await?);
            pause(Duration::from_millis(rng.u64(50..600))).await;
        }
        let during = lasting.as_ref().map(|lasting| lasting.kind().name().to_owned());
        self.done.push(Fault { during, ..fault(self.change.name(), &old) });
        let new = match self.change {
            Change::Stays => return Ok(()),
            Change::Outside => {
                self.kill(&old).await?;
                pause(Duration::from_millis(rng.u64(0..500))).await;
                let new = any(rng)?;
                new.promote().await?;
                new
            }
            Change::Automatic => {
                let before = self.failover()?.history();
                if let Some(report) = before.iter().find(|report| report.succeeded()) {
                    return Err(format!("the primary was well: {report}").into());
                }
                self.kill(&old).await?;
                self.elected().await?
            }
            Change::Switchover => self.switched(&old, &mut lasting, rng.bool()).await?,
        };
        if let Some(lasting) = lasting {
            // What it has not heard of is read there meanwhile.
            pause(Duration::from_millis(rng.u64(0..500))).await;
            lasting.end().await?;
        }
        for standby in standbys.iter().filter(|standby| standby.name() != new.name()) {
            match self.change {
                Change::Outside => follow(standby, &new, Box::pin(standby.repoint(&new))).await?,
                _ => follow(standby, &new, Box::pin(standby.repointed(&new))).await?,
            }
        }
        if self.change == Change::Switchover {
            old.stop(Mode::Fast).await?;
        }
        self.leader = new.name().to_owned();
        pause(Duration::from_millis(rng.u64(0..1000))).await;
        old.rebuild(&new).await?;
        Ok(())
    }

    /// For good: nobody reaches it any more, and it is made anew when it comes back.
    async fn kill(&mut self, old: &Node) -> Result<(), Error> {
        old.crash().await?;
        self.dead = Some(now());
        Ok(())
    }

    fn failover(&self) -> Result<Failover<'_, DieselConnector>, Error> {
        let Db::Diesel(pool) = self.elector else { return Err("the elector is Diesel's".into()) };
        Ok(pool.router().failover())
    }

    /// Whom the router promotes by itself, now that the primary is dead: whatever else is wrong, one standby is well.
    async fn elected(&self) -> Result<Node, Error> {
        let failover = self.failover()?;
        let ended = async || {
            let reports = failover.history();
            Ok::<_, Error>(reports.into_iter().rfind(|report| report.succeeded()))
        };
        let report = wait_for(PATIENCE, "the promotion to end", ended).await?;
        self.promoted(&report)
    }

    /// Who has taken over as planned. That may be stopped, while a standby is disturbed and when servers answer late, the more so
    /// when the disturbed one is to take over: then all is as before, and once everybody is well it is asked for again.
    async fn switched(
        &mut self,
        old: &Node,
        lasting: &mut Option<Lasting>,
        by_disturbed: bool,
    ) -> Result<Node, Error> {
        let disturbed = lasting.as_ref().map(|lasting| lasting.node().name().to_owned());
        let mut target = disturbed.filter(|_| by_disturbed);
        let mut why = String::new();
        for _ in 0..SWITCHOVERS {
            why = match self.failover()?.initiate("torture", target.as_deref(), false).await {
                Ok(report) if matches!(report.ending, Ending::Stopped(_)) => report.to_string(),
                Ok(report) => return self.promoted(&report),
                Err(refused) => refused.to_string(),
            };
            if let Some(fault) = self.done.last_mut() {
                fault.stopped = Some(why.clone());
            }
            let writes =
                "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'";
            if old.admin_query_text(writes).await? != "t" {
                return Err("a switchover was stopped, and the primary does not write on".into());
            }
            if let Some(lasting) = lasting.take() {
                lasting.end().await?;
            }
            for standby in self.standbys() {
                standby.wait_streaming().await?;
            }
            target = None;
            self.done.push(fault(self.change.name(), old));
        }
        Err(format!("no switchover was done: {why}").into())
    }

    fn promoted(&self, report: &Report) -> Result<Node, Error> {
        let to = report.to.as_deref().filter(|_| report.succeeded()).ok_or_else(|| report.to_string())?;
        Ok(self.cluster.node(to)?.clone())
    }
}

/// What is done now.
pub(crate) fn fault(kind: &str, node: &Node) -> Fault {
    Fault { at: now(), kind: kind.to_owned(), node: node.name().to_owned(), during: None, stopped: None }
}

/// One that has more than the new primary cannot follow it, and is made anew.
async fn follow(
    standby: &Node,
    new: &Node,
    following: impl Future<Output = Result<(), ClusterError>>,
) -> Result<(), Error> {
    let followed = async {
        following.await?;
        // It may get what both have in common, again and again, and no more.
        while standby.admin_query_text(RECEIVED).await? != new.admin_query_text(WRITTEN).await? {
            pause(Duration::from_millis(20)).await;
        }
        Ok::<_, ClusterError>(())
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
