//! Many reads and few writes: every read is right, and the standbys serve them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rr_core::Config;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::{Cluster, Node};
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, QuerySelect};
use tokio::time::{MissedTickBehavior, interval};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const PATIENCE: Duration = Duration::from_secs(20);

mod counter {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "counter")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub n: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// As many read at a time …
const READERS: u64 = 8;
/// … and so often that all of them together make a thousand reads in a second.
const PACE: Duration = Duration::from_millis(READERS);

/// What everybody knows of the counter.
#[derive(Debug, Default)]
struct Known {
    /// The highest value that was asked to be written.
    asked: AtomicI64,
    /// The highest value whose commit has returned.
    written: AtomicI64,
    /// Reads that standbys have answered, as they say themselves.
    standbys: AtomicU64,
    /// Reads that the primary has answered.
    primary: AtomicU64,
}

async fn boot() -> Result<Cluster> {
    let cluster = Cluster::builder().replicas(2).start().await?;
    let setup = "CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO counter VALUES (1, 0); \
                 CREATE FUNCTION on_standby() RETURNS bool STABLE LANGUAGE sql AS 'SELECT pg_is_in_recovery()'";
    cluster.primary().sql(setup).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

async fn connect(cluster: &Cluster) -> Result<RoutedConnection> {
    let config = Config::builder().primary(cluster.primary().url());
    let config = cluster.replicas().iter().map(Node::url).fold(config, |config, url| config.replica(url));
    Ok(RoutedConnection::start(config.build()?).await?)
}

/// Reads `count` times at the pace, and is never told less than what was written before, nor less than it saw.
async fn read(db: RoutedConnection, known: Arc<Known>, count: u64) -> Result<(), String> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = 0;
    for _ in 0..count {
        pace.tick().await;
        let least = known.written.load(Ordering::SeqCst).max(seen);
        let row: Option<(i64, bool)> = counter::Entity::find_by_id(1)
            .select_only()
            .column(counter::Column::N)
            .column_as(Expr::cust("on_standby()"), "standby")
            .into_tuple()
            .one(&db)
            .await
            .map_err(|error| error.to_string())?;
        let most = known.asked.load(Ordering::SeqCst);
        let (n, standby) = row.ok_or("the counter is gone")?;
        if !(least..=most).contains(&n) {
            return Err(format!("read {n}, which is not in {least}..={most} (on a standby: {standby})"));
        }
        seen = n;
        let served = if standby { &known.standbys } else { &known.primary };
        served.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Lets the readers read `count` times each, and writes once for every thousand of their reads.
async fn run(db: &RoutedConnection, count: u64, writes: bool) -> Result<Arc<Known>> {
    let known = Arc::<Known>::default();
    let readers: Vec<_> = (0..READERS).map(|_| tokio::spawn(read(db.clone(), Arc::clone(&known), count))).collect();
    let reads = || known.standbys.load(Ordering::Relaxed) + known.primary.load(Ordering::Relaxed);
    let mut pace = interval(PACE);
    let mut written = 0;
    while writes && !readers.iter().any(tokio::task::JoinHandle::is_finished) {
        pace.tick().await;
        if reads() < 1000 * written.unsigned_abs() {
            continue;
        }
        written += 1;
        known.asked.store(written, Ordering::SeqCst);
        let next = counter::ActiveModel { id: Set(1), n: Set(written) };
        next.update(db).await?;
        known.written.store(written, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await??;
    }
    Ok(known)
}

/// How many in a thousand reads were the standbys'.
fn share(known: &Known) -> u64 {
    let (standbys, primary) = (known.standbys.load(Ordering::Relaxed), known.primary.load(Ordering::Relaxed));
    println!("{standbys} reads on standbys, {primary} on the primary, {} writes", known.written.load(Ordering::Relaxed));
    standbys * 1000 / (standbys + primary)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_write_in_a_thousand_reads() -> Result {
    let cluster = boot().await?;
    let db = connect(&cluster).await?;
    let known = run(&db, 5000 / READERS, true).await?;
    assert!(known.written.load(Ordering::SeqCst) >= 5, "it wrote as it read");
    assert!(share(&known) >= 950);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_reads() -> Result {
    let cluster = boot().await?;
    let db = connect(&cluster).await?;
    let known = run(&db, 3000 / READERS, false).await?;
    assert!(share(&known) >= 990);
    Ok(())
}
