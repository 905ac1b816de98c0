//! One round: a fresh cluster, two processes of clients, faults, and the history of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rr_core::config::AskPositions;
use rr_tests::cluster::{Cluster, Node};
use rr_tests::plain::promoting;
use rr_tests::wait::{PATIENCE, wait_until};
use tokio::sync::mpsc;

use crate::Error;
use crate::client::{Db, SETUP};
use crate::faults::{Change, Scene, disturbed, fault};
use crate::history::{Facts, History, Item, Key, Orm, now};
use crate::load::{BOUND, KEYS, Lie, Load};
use crate::peer::{Peer, follower, nodes, tune};

/// What a round is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// Decides what is done.
    pub seed: u64,
    /// How long clients work, at least.
    pub time: Duration,
    /// What is switched off.
    pub lie: Lie,
    /// What is done to the servers.
    pub script: Script,
    /// The program of the second process: this one, or `rr-torture`.
    pub program: PathBuf,
}

/// What is done to the servers of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Script {
    /// Whatever the seed says.
    Drawn,
    /// The primary changes so; all else is what the seed says.
    Changing(Change),
    /// The first standby replays so much later, the second one so much.
    Delays(Duration, Duration),
    /// The log comes so late to the standbys, and in the middle somebody promotes one.
    Losing(Duration),
}

impl Script {
    /// What brings it to light that this is switched off.
    #[must_use]
    pub const fn exposing(lie: Lie) -> Self {
        match lie {
            Lie::None => Self::Drawn,
            Lie::Eventual | Lie::Strong | Lie::DropsToken => late(300, 300),
            Lie::ForgetsReads | Lie::Patches => late(0, 300),
            Lie::Bounded => late(3 * BOUND, 3 * BOUND),
            // Some appends are answered whose log is still on its way.
            Lie::HidesLoss | Lie::CallsItSafe => Self::Losing(Duration::from_millis(300)),
        }
    }
}

const fn late(first: u64, second: u64) -> Script {
    Script::Delays(Duration::from_millis(first), Duration::from_millis(second))
}

impl Plan {
    /// An honest round of whatever the seed says.
    #[must_use]
    pub fn new(seed: u64, time: Duration, program: &Path) -> Self {
        Self { seed, time, lie: Lie::None, script: Script::Drawn, program: program.to_owned() }
    }

    /// One in which the primary changes so.
    #[must_use]
    pub const fn changing(mut self, change: Change) -> Self {
        self.script = Script::Changing(change);
        self
    }

    /// One that lies, while what brings that to light is done to the servers.
    #[must_use]
    pub const fn lying(mut self, lie: Lie) -> Self {
        (self.lie, self.script) = (lie, Script::exposing(lie));
        self
    }
}

/// Plays a round.
///
/// # Errors
/// When it is not consistency that fails, but the servers or the processes.
pub async fn play(plan: &Plan) -> Result<History, Error> {
    // A round is long, and its future large.
    Box::pin(played(plan)).await
}

async fn played(plan: &Plan) -> Result<History, Error> {
    let mut rng = Rng::with_seed(plan.seed);
    let change = match plan.script {
        Script::Drawn => Change::of(plan.seed),
        Script::Changing(change) => change,
        Script::Delays(..) => Change::Stays,
        Script::Losing(_) => Change::Outside,
    };
    let cluster = boot().await?;
    let folder = tempfile::tempdir()?;
    let mut config = promoting(&cluster, change.mode());
    tune(&mut config, plan.lie);
    // All others ask, since they read.
    if plan.seed % 2 == 1 {
        config.ask_positions = AskPositions::Never;
    }
    let elector = Db::start(Orm::Diesel, config).await?;
    let dbs = vec![elector.clone(), follower(Orm::Seaorm, &nodes(&cluster), plan.lie).await?];
    let (outbox, outgoing) = mpsc::channel(16);
    let load = Load::start(0, dbs, plan.seed, plan.lie, outbox);
    let shared = Arc::clone(load.shared());
    let seeds = (plan.seed, plan.lie);
    let mut peer =
        Peer::start(&plan.program, folder.path(), &cluster, seeds, Arc::clone(&shared), outgoing).await?;
    let begun = now();
    let until = begun + u64::try_from(plan.time.as_nanos())?;
    let mut scene = Scene {
        cluster: &cluster,
        elector: &elector,
        shared: &shared,
        peer: &mut peer,
        change,
        disturbed: matches!(plan.script, Script::Drawn | Script::Changing(_)) && disturbed(plan.seed),
        leader: cluster.primary().name().to_owned(),
        done: Vec::new(),
        dead: None,
    };
    match plan.script {
        Script::Drawn | Script::Changing(_) => scene.play(&mut rng, begun, until).await?,
        Script::Delays(first, second) => {
            for (node, delay) in cluster.replicas().iter().zip([first, second]) {
                node.apply_delay(delay).await?;
                scene.done.push(fault("apply-delay", node));
            }
            tokio::time::sleep(plan.time).await;
        }
        Script::Losing(distance) => {
            for replica in cluster.replicas() {
                replica.upstream_link().ok_or("a standby without a link")?.delay(distance).await?;
            }
            tokio::time::sleep(plan.time / 2).await;
            scene.change_primary(&mut rng).await?;
            tokio::time::sleep(plan.time / 2).await;
        }
    }
    let (faults, lossy_until, leader) = (scene.done, scene.dead, cluster.node(&scene.leader)?);
    let mut ops = load.end().await?;
    ops.extend(peer.end().await?);
    let lossy = matches!(change, Change::Automatic | Change::Outside) && plan.lie != Lie::CallsItSafe;
    let facts = Facts { seed: plan.seed, lossy, lossy_until, faults, finals: finals(leader).await? };
    Ok(History { facts, ops })
}

async fn boot() -> Result<Cluster, Error> {
    let cluster = Cluster::builder().replicas(2).start().await?;
    let rows = format!("{SETUP} INSERT INTO register SELECT generate_series(0, {})", KEYS - 1);
    cluster.primary().sql(&rows).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

/// The lists in the end. What a client has given up may still be under way: it is ended first.
async fn finals(leader: &Node) -> Result<BTreeMap<Key, Vec<Item>>, Error> {
    let ended = async || {
        leader.kill_client_connections().await?;
        let others =
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND pid <> pg_backend_pid()";
        Ok::<_, Error>(leader.admin_query_text(others).await? == "0")
    };
    wait_until(PATIENCE, "the last statements to end", ended).await?;
    let lists = "SELECT string_agg(key || ':' || array_to_string(items, ','), ';') FROM register";
    let lists = leader.query_text(lists).await?;
    let list = |list: &str| {
        let (key, items) = list.split_once(':').ok_or("a list has a key")?;
        let items = items.split(',').filter(|item| !item.is_empty());
        Ok((key.parse()?, items.map(str::parse).collect::<Result<_, _>>()?))
    };
    lists.split(';').map(list).collect()
}
