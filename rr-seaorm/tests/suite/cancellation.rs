//! Futures that are dropped at each of their awaits: no connection is handed on busy, nothing counts as in flight, and no
//! server keeps a connection that the pool does not know.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::TryStreamExt;
use rr_core::config::ConfigBuilder;
use rr_core::{Request, Requirement};
use rr_seaorm::retry::{self, Attempt, Policy};
use rr_seaorm::{RoutedConnection, RoutedTransaction};
use rr_tests::cluster::Cluster;
use rr_tests::giving_up::at_each_await;
use rr_tests::wait::polled;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, StreamTrait, TransactionTrait};
use tokio_postgres::Client;

use crate::support::{
    Result, ask, boot, config, in_flight, note, notes, raw, standby_serves, started, until,
};

mod waits;

/// `touch()` is a write that looks like a read; `lost()` takes the connection away from whoever asks a standby.
const FUNCTIONS: &str = "\
    CREATE FUNCTION touch() RETURNS int LANGUAGE sql AS 'INSERT INTO note (text) VALUES (''x''); SELECT 1'; \
    CREATE FUNCTION lost() RETURNS int STABLE LANGUAGE plpgsql AS \
    'BEGIN IF pg_is_in_recovery() THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60); END IF; \
     RETURN 1; END'";

/// As the server refuses a transaction that is in conflict with another one.
const CONFLICT: &str = "DO 'BEGIN RAISE EXCEPTION ''conflict'' USING ERRCODE = ''40001''; END'";

/// What the application has running on a server, the monitor's questions left aside.
const BUSY: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = 'app' \
                    AND state <> 'idle' AND query NOT LIKE '%pg_is_in_recovery%'";

/// The monitor's connection and the pool's only one, and nothing beside them.
const CONNECTIONS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = 'app'";

/// A router with one connection to each node: whoever keeps it, keeps it from all.
struct Narrow {
    cluster: Cluster,
    db: RoutedConnection,
    admins: Vec<Client>,
}

impl Narrow {
    async fn boot() -> Result<Self> {
        Self::of(|config| config).await
    }

    /// With other settings.
    async fn of(with: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Result<Self> {
        let cluster = boot(1).await?;
        cluster.primary().sql(FUNCTIONS).await?;
        let settings = with(config(&cluster)).with(|config| {
            config.pool.primary.max = 1;
            config.pool.replica.max = 1;
        });
        let db = started(settings).await?;
        let mut admins = Vec::new();
        for node in cluster.nodes() {
            admins.push(node.admin().await?);
        }
        Ok(Self { cluster, db, admins })
    }

    /// Waits until everything that was given up has ended, and asks whether all is well.
    async fn settles(&self) -> Result {
        until("nothing to be in flight", async || Ok(in_flight(&self.db) == [Some(0); 2])).await?;
        for admin in &self.admins {
            let count =
                async |sql: &str| Result::<i64>::Ok(admin.query_one(sql, &[]).await?.get::<_, i64>(0));
            until("the servers to be quiet", async || Ok(count(BUSY).await? == 0)).await?;
            until("the servers to have few connections", async || Ok(count(CONNECTIONS).await? <= 2)).await?;
        }
        for request in [Request::write(), Request::read(Requirement::NONE)] {
            until("connections to be given back", async || {
                let (all, idle) = self.db.router().route(&request)?.pool().connections();
                Ok(usize::try_from(all)? == idle)
            })
            .await?;
        }
        assert_eq!(ask::<i32>(&self.db, "SELECT 4711").await?, 4711, "nobody else's answer");
        // What was given up may have been done: then it is seen.
        let read = notes(&self.db).await?;
        let there: i64 =
            self.cluster.primary().query_text("SELECT count(*)::text FROM note").await?.parse()?;
        assert_eq!(read, there);
        Ok(())
    }

    /// The connections in the primary's pool, and how many of them nobody uses.
    fn pooled(&self) -> Result<(u32, usize)> {
        Ok(self.db.router().route(&Request::write())?.pool().connections())
    }

    /// Drops what `work` does at each of its awaits.
    async fn sweep(&self, what: &str, work: impl AsyncFn(&RoutedConnection) -> Result<(), DbErr>) -> Result {
        at_each_await(what, async || work(&self.db).await, async || self.settles().await).await
    }
}

async fn insert(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let new = note::ActiveModel { text: sea_orm::Set("x".to_owned()), ..Default::default() };
    note::Entity::insert(new).exec(db).await.map(drop)
}

async fn read(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    note::Entity::find_by_id(1).one(db).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_streams() -> Result {
    let narrow = Narrow::boot().await?;
    narrow.sweep("a read", async |db| read(db).await).await?;
    narrow.sweep("a read of a text", async |db| ask::<i32>(db, "SELECT 1").await.map(drop)).await?;
    narrow.sweep("reads at the same time", async |db| tokio::try_join!(read(db), read(db)).map(drop)).await?;
    narrow
        .sweep("a stream", async |db| {
            let rows = db.stream_raw(raw("SELECT generate_series(1, 20000)")).await?;
            rows.try_for_each(async |_| Ok(())).await
        })
        .await?;
    narrow
        .sweep("a stream that is given up", async |db| {
            let mut rows = db.stream_raw(raw("SELECT generate_series(1, 20000)")).await?;
            for _ in 0..20 {
                rows.try_next().await?;
                tokio::task::yield_now().await;
            }
            Ok(())
        })
        .await
}

/// The replica takes the statement and ends the connection: it is asked again elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn reads_that_go_on_elsewhere() -> Result {
    let narrow = Narrow::boot().await?;
    let (mut first, mut again) = (0_u32, 0_u32);
    for polls in 1.. {
        standby_serves(&narrow.db).await?;
        let done = polled(polls, ask::<i32>(&narrow.db, "SELECT lost()")).await.transpose()?;
        narrow.settles().await.map_err(|error| format!("polled {polls} times: {error}"))?;
        match done {
            None => first += 1,
            Some(answer) => {
                assert_eq!(answer, 1);
                again += 1;
                if again == 2 {
                    break;
                }
            }
        }
    }
    assert!(first > 0, "it never waited");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn writes() -> Result {
    let narrow = Narrow::boot().await?;
    narrow.sweep("a write", async |db| insert(db).await).await?;
    narrow
        .sweep("a write of a text", async |db| {
            db.execute_unprepared("INSERT INTO note (text) VALUES ('x'), ('y')").await.map(drop)
        })
        .await?;
    let number = AtomicU32::new(0);
    narrow
        .sweep("a write that looks like a read", async |db| {
            // No replica has refused this text yet.
            let number = number.fetch_add(1, Ordering::Relaxed);
            ask::<i32>(db, &format!("SELECT touch() AS n{number}")).await.map(drop)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_are_run_again() -> Result {
    let narrow = Narrow::boot().await?;
    let (runs, again) = (AtomicU32::new(0), AtomicU32::new(0));
    narrow
        .sweep("a transaction that is run again", async |db| {
            let body = async |transaction: &RoutedTransaction, attempt: Attempt| {
                runs.fetch_add(1, Ordering::Relaxed);
                insert(transaction).await?;
                if attempt.is_first() {
                    transaction.execute_unprepared(CONFLICT).await?;
                }
                again.fetch_add(u32::from(!attempt.is_first()), Ordering::Relaxed);
                read(transaction).await
            };
            let done = retry::transaction(db, Policy::new(), body).await;
            done.map_err(|error| DbErr::Custom(error.to_string()))
        })
        .await?;
    let (runs, again) = (runs.into_inner(), again.into_inner());
    assert!(again >= 2 && runs > 2 * again, "{again} of {runs} runs were second ones");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions() -> Result {
    let narrow = Narrow::boot().await?;
    narrow
        .sweep("a transaction", async |db| {
            let transaction = db.begin().await?;
            insert(&transaction).await?;
            read(&transaction).await?;
            transaction.commit().await
        })
        .await?;
    narrow
        .sweep("a transaction that is rolled back", async |db| {
            let transaction = db.begin().await?;
            insert(&transaction).await?;
            transaction.rollback().await
        })
        .await?;
    narrow
        .sweep("a transaction that is forgotten", async |db| {
            let transaction = db.begin().await?;
            insert(&transaction).await
        })
        .await?;
    narrow
        .sweep("a nested transaction", async |db| {
            let transaction = db.begin().await?;
            let inner = transaction.begin().await?;
            insert(&inner).await?;
            inner.commit().await?;
            transaction.commit().await
        })
        .await?;
    narrow
        .sweep("a transaction in a closure", async |db| {
            let done = db.transaction::<_, (), DbErr>(|transaction| {
                Box::pin(async move { insert(transaction).await })
            });
            done.await.map_err(|error| DbErr::Custom(error.to_string()))
        })
        .await?;
    narrow
        .sweep("a transaction that only reads", async |db| {
            let access = Some(sea_orm::AccessMode::ReadOnly);
            let transaction = db.begin_with_config(None, access).await?;
            read(&transaction).await?;
            transaction.commit().await
        })
        .await
}

/// The server process of the primary's only pooled connection, and what it was last asked.
const LAST: &str = "SELECT pid, query FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = 'app' \
                    AND query NOT LIKE '%pg_is_in_recovery%'";

/// Whoever gives up waiting for a connection leaves the line: nobody waits behind a transaction that nobody wants.
#[tokio::test(flavor = "multi_thread")]
async fn a_begin_that_waits_in_line_leaves_it() -> Result {
    let narrow = Narrow::boot().await?;
    let primary = narrow.admins.first().ok_or("the primary")?;
    let holder = narrow.db.begin().await?;
    insert(&holder).await?;
    let before: i32 = primary.query_one(LAST, &[]).await?.get("pid");
    for _ in 0..20 {
        assert!(polled(1, narrow.db.begin()).await.is_none(), "the only connection is taken");
    }
    holder.commit().await?;
    until("the connection to be given back", async || Ok(narrow.pooled()? == (1, 1))).await?;
    let last = primary.query_one(LAST, &[]).await?;
    assert_eq!(last.get::<_, String>("query"), "COMMIT", "somebody came after it");
    assert_eq!(last.get::<_, i32>("pid"), before, "it cost the connection");
    narrow.settles().await
}

/// While BEGIN is answered, and while a connection is opened, that is nobody else's: given up, it leaves room for another one
/// at once, however long the server takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_begin_that_waits_for_a_server_leaves_its_place() -> Result {
    let narrow = Narrow::boot().await?;
    insert(&narrow.db).await?;
    until("the connection to be given back", async || Ok(narrow.pooled()? == (1, 1))).await?;
    let link = narrow.cluster.primary().link();
    link.blackhole().await?;
    for what in ["begins", "connects"] {
        assert!(polled(1, narrow.db.begin()).await.is_none());
        assert_eq!(narrow.pooled()?, (0, 0), "whoever {what}");
    }
    link.heal().await?;
    insert(&narrow.db).await?;
    narrow.settles().await
}

/// The driver rolls everything back when a savepoint is given up, and commits what comes after one by one.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_without_its_savepoint_is_kept_as_a_whole_or_not_at_all() -> Result {
    let narrow = Narrow::boot().await?;
    let (mut given_up, mut kept) = (0, 0);
    for polls in 1.. {
        let transaction = narrow.db.begin().await?;
        insert(&transaction).await?;
        let nested = async {
            let inner = transaction.begin().await?;
            insert(&inner).await?;
            inner.commit().await
        };
        let nested = polled(polls, nested).await.transpose()?;
        let goes_on = insert(&transaction).await;
        let committed = transaction.commit().await;
        narrow.settles().await.map_err(|error| format!("polled {polls} times: {error}"))?;
        let expected = match (&goes_on, &committed) {
            (Ok(()), Ok(())) => 2 + i64::from(nested.is_some()),
            (Err(_), Err(_)) => 0,
            other => return Err(format!("polled {polls} times: {other:?}").into()),
        };
        let there = notes(&narrow.db.use_primary()).await?;
        assert_eq!(there - kept, expected, "polled {polls} times: {goes_on:?}, {committed:?}");
        kept = there;
        if nested.is_some() {
            break;
        }
        given_up += 1;
    }
    assert!(given_up > 0, "it never waited");
    Ok(())
}
