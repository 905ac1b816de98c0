//! Futures that are dropped at each of their awaits: no connection stays busy, nothing counts as in flight, and nothing
//! runs on.

use std::sync::atomic::{AtomicU32, Ordering};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel::sql_types::Integer;
use diesel_async::{AsyncConnection, RunQueryDsl, SaveChangesDsl, SimpleAsyncConnection, TransactionManager};
use futures_util::{StreamExt, TryStreamExt};
use rr_core::config::ConfigBuilder;
use rr_core::{Request, Requirement};
use rr_diesel::retry::{self, Policy};
use rr_diesel::{RoutedPgConnection, RoutedPool};
use rr_tests::cluster::Cluster;
use rr_tests::giving_up::at_each_await;
use rr_tests::wait::polled;
use tokio_postgres::Client;

use crate::promotions::boot_with_touch;
use crate::support::{Place, Result, config, note, place, until};

mod waits;

/// Takes the connection away from whoever asks a standby.
const LOST: &str = "\
    CREATE FUNCTION lost() RETURNS int STABLE LANGUAGE plpgsql AS \
    'BEGIN IF pg_is_in_recovery() THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60); END IF; \
     RETURN 1; END'";

/// As the server refuses a transaction that is in conflict with another one.
const CONFLICT: &str = "DO 'BEGIN RAISE EXCEPTION ''conflict'' USING ERRCODE = ''40001''; END'";

type Manager = <RoutedPgConnection as AsyncConnection>::TransactionManager;

/// A router with one connection to each node: whoever keeps it, keeps it from all.
struct Narrow {
    cluster: Cluster,
    pool: RoutedPool,
    admins: Vec<Client>,
}

impl Narrow {
    async fn boot() -> Result<Self> {
        Self::of(|config| config).await
    }

    /// With other settings.
    async fn of(with: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Result<Self> {
        let cluster = boot_with_touch().await?;
        cluster.primary().sql(LOST).await?;
        let settings = with(config(&cluster)).with(|config| {
            config.pool.primary.max = 1;
            config.pool.replica.max = 1;
        });
        let pool = RoutedPool::start(settings.build()?).await?;
        let mut admins = Vec::new();
        for node in cluster.nodes() {
            admins.push(node.admin().await?);
        }
        Ok(Self { cluster, pool, admins })
    }

    /// Waits until everything that was given up has ended, and asks whether all is well.
    async fn settles(&self) -> Result {
        let router = self.pool.router();
        until("nothing to be in flight", async || {
            Ok(["primary", "replica-1"].iter().all(|node| router.in_flight(node) == Some(0)))
        })
        .await?;
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = 'app' \
                    AND state <> 'idle' AND query NOT LIKE '%pg_is_in_recovery%'";
        for admin in &self.admins {
            let quiet = async || Ok(admin.query_one(busy, &[]).await?.get::<_, i64>(0) == 0);
            until("the servers to be quiet", quiet).await?;
        }
        for request in [Request::write(), Request::read(Requirement::NONE)] {
            until("connections to be given back", async || {
                let (all, idle) = router.route(&request)?.pool().connections();
                Ok(all == idle)
            })
            .await?;
        }
        // What was given up may have been done: then it is seen.
        let read: i64 = note::table.count().get_result(&mut self.pool.handle()).await?;
        let there: i64 =
            self.cluster.primary().query_text("SELECT count(*)::text FROM note").await?.parse()?;
        assert_eq!(read, there);
        Ok(())
    }

    /// Drops what `work` does at each of its awaits.
    async fn sweep(&self, what: &str, work: impl AsyncFn(&RoutedPool) -> QueryResult<()>) -> Result {
        at_each_await(what, async || work(&self.pool).await, async || self.settles().await).await
    }
}

async fn insert(conn: &mut RoutedPgConnection) -> QueryResult<usize> {
    diesel::insert_into(note::table).values(note::text.eq("x")).execute(conn).await
}

async fn insert_returning(conn: &mut RoutedPgConnection) -> QueryResult<i32> {
    diesel::insert_into(note::table).values(note::text.eq("x")).returning(note::id).get_result(conn).await
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_streams() -> Result {
    let narrow = Narrow::boot().await?;
    narrow.sweep("a read", async |pool| place(&mut pool.handle()).await.map(drop)).await?;
    narrow
        .sweep("a read of a text", async |pool| {
            sql_query("SELECT 1").execute(&mut pool.handle()).await.map(drop)
        })
        .await?;
    let many = "SELECT on_standby() AS standby, n AS port FROM generate_series(1, 20000) n";
    narrow
        .sweep("a stream", async |pool| {
            let mut conn = pool.handle();
            let rows = sql_query(many).load_stream::<Place>(&mut conn).await?;
            rows.try_for_each(async |_| Ok(())).await
        })
        .await?;
    narrow
        .sweep("a stream that is given up", async |pool| {
            let mut conn = pool.handle();
            let mut rows = sql_query(many).load_stream::<Place>(&mut conn).await?;
            for _ in 0..20 {
                rows.next().await.transpose()?;
                tokio::task::yield_now().await;
            }
            Ok(())
        })
        .await?;
    narrow
        .sweep("a lent replica", async |pool| {
            let mut conn = pool.handle();
            sql_query("SELECT 1").execute(conn.replica().await?).await.map(drop)
        })
        .await?;
    narrow
        .sweep("reads at the same time", async |pool| {
            let conn = pool.handle();
            let read = async |id: i32| note::table.find(id).select(note::id).load::<i32>(&mut &conn).await;
            futures_util::try_join!(read(1), read(2)).map(drop)
        })
        .await
}

/// The replica takes the statement and ends the connection: it is asked again elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn reads_that_go_on_elsewhere() -> Result {
    let narrow = Narrow::boot().await?;
    let (mut first, mut again) = (0_u32, 0_u32);
    for polls in 1.. {
        let serves = async || Ok(place(&mut narrow.pool.handle()).await?.standby);
        until("the standby to serve", serves).await?;
        let mut conn = narrow.pool.handle();
        let reading = diesel::select(sql::<Integer>("lost()")).get_result::<i32>(&mut conn);
        let done = polled(polls, reading).await.transpose()?;
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
    narrow.sweep("a write", async |pool| insert(&mut pool.handle()).await.map(drop)).await?;
    narrow
        .sweep("a write that returns", async |pool| insert_returning(&mut pool.handle()).await.map(drop))
        .await?;
    narrow
        .sweep("a batch", async |pool| {
            pool.handle().batch_execute("INSERT INTO note (text) VALUES ('x'), ('y')").await
        })
        .await?;
    narrow
        .sweep("a change", async |pool| {
            let conn = &mut pool.handle();
            let id = insert_returning(conn).await?;
            Stars { id, stars: 5 }.save_changes::<(i32, String, i32)>(conn).await.map(drop)
        })
        .await?;
    let number = AtomicU32::new(0);
    narrow
        .sweep("a write that looks like a read", async |pool| {
            // No replica has refused this text yet.
            let number = number.fetch_add(1, Ordering::Relaxed);
            sql_query(format!("SELECT touch() AS n{number}")).execute(&mut pool.handle()).await.map(drop)
        })
        .await
}

#[derive(Clone, Copy, Identifiable, AsChangeset)]
#[diesel(table_name = note)]
struct Stars {
    id: i32,
    stars: i32,
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_are_run_again() -> Result {
    let narrow = Narrow::boot().await?;
    let (runs, again) = (AtomicU32::new(0), AtomicU32::new(0));
    narrow
        .sweep("a transaction that is run again", async |pool| {
            let mut conn = pool.handle();
            retry::transaction(&mut conn, Policy::new(), async |conn, attempt| {
                runs.fetch_add(1, Ordering::Relaxed);
                insert(conn).await?;
                if attempt.is_first() {
                    sql_query(CONFLICT).execute(conn).await?;
                }
                again.fetch_add(u32::from(!attempt.is_first()), Ordering::Relaxed);
                place(conn).await.map(drop)
            })
            .await
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
        .sweep("a transaction", async |pool| {
            let body = async |conn: &mut RoutedPgConnection| {
                insert(conn).await?;
                place(conn).await.map(drop)
            };
            pool.handle().transaction::<_, Error, _>(body).await
        })
        .await?;
    narrow
        .sweep("a transaction that is rolled back", async |pool| {
            let body = async |conn: &mut RoutedPgConnection| {
                insert_returning(conn).await?;
                Err::<(), _>(Error::RollbackTransaction)
            };
            match pool.handle().transaction::<_, Error, _>(body).await {
                Err(Error::RollbackTransaction) => Ok(()),
                other => other,
            }
        })
        .await?;
    narrow
        .sweep("a nested transaction", async |pool| {
            let body = async |conn: &mut RoutedPgConnection| {
                insert(conn).await?;
                conn.transaction::<_, Error, _>(async |conn| insert(conn).await).await.map(drop)
            };
            pool.handle().transaction::<_, Error, _>(body).await
        })
        .await?;
    narrow
        .sweep("a transaction by hand", async |pool| {
            let mut conn = pool.handle();
            Manager::begin_transaction(&mut conn).await?;
            insert(&mut conn).await?;
            Manager::commit_transaction(&mut conn).await
        })
        .await?;
    narrow
        .sweep("a transaction that only reads", async |pool| {
            let mut conn = pool.handle();
            let mut transaction = conn.build_transaction().read_only().repeatable_read();
            transaction.run::<_, Error, _>(async |conn| place(conn).await.map(drop)).await
        })
        .await?;
    narrow
        .sweep("a serializable transaction", async |pool| {
            let mut conn = pool.handle();
            let mut transaction = conn.build_transaction().serializable();
            transaction.run::<_, Error, _>(async |conn| insert(conn).await.map(drop)).await
        })
        .await?;
    narrow
        .sweep("a test transaction", async |pool| {
            let mut conn = pool.handle();
            conn.begin_test_transaction().await?;
            insert(&mut conn).await.map(drop)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_connections() -> Result {
    let narrow = Narrow::boot().await?;
    narrow
        .sweep("a setting", async |pool| {
            let mut conn = pool.handle();
            sql_query("SET application_name = 'kept'").execute(&mut conn).await?;
            insert(&mut conn).await?;
            place(&mut conn).await.map(drop)
        })
        .await?;
    narrow
        .sweep("a batch with a setting", async |pool| {
            pool.handle().batch_execute("SET application_name = 'kept'; SELECT 1").await
        })
        .await?;
    narrow
        .sweep("a lent primary", async |pool| {
            let mut conn = pool.handle();
            sql_query("SELECT 1").execute(conn.primary().await?).await.map(drop)
        })
        .await?;
    narrow
        .sweep("a notification", async |pool| {
            let mut conn = pool.handle();
            sql_query("LISTEN news").execute(&mut conn).await?;
            sql_query("NOTIFY news, 'hello'").execute(&mut conn).await?;
            let mut news = std::pin::pin!(conn.notifications_stream());
            news.next().await.transpose().map(drop)
        })
        .await?;
    narrow
        .sweep("a pipeline", async |pool| {
            let mut conn = pool.handle();
            sql_query("SET application_name = 'kept'").execute(&mut conn).await?;
            let shared = &conn;
            let read = async |id: i32| note::table.find(id).select(note::id).load::<i32>(&mut &*shared).await;
            futures_util::try_join!(read(1), read(2)).map(drop)
        })
        .await
}

/// A handle goes on after what was dropped on it: nobody reads the answer to somebody else's question.
#[tokio::test(flavor = "multi_thread")]
async fn the_handle_itself_goes_on() -> Result {
    let narrow = Narrow::boot().await?;
    let mut conn = narrow.pool.handle();
    for polls in 1..8 {
        let read = sql_query("SELECT on_standby() AS standby, 1 AS port").get_result::<Place>(&mut conn);
        polled(polls, read).await.transpose()?;
        polled(polls, insert(&mut conn)).await.transpose()?;
        let next: Place =
            sql_query("SELECT on_standby() AS standby, 2 AS port").get_result(&mut conn).await?;
        assert_eq!(next.port, 2);
        narrow.settles().await?;
    }
    // Also on a connection that it keeps.
    for polls in 1..8 {
        sql_query("SET application_name = 'kept'").execute(&mut conn).await?;
        let read = sql_query("SELECT on_standby() AS standby, 1 AS port").get_result::<Place>(&mut conn);
        polled(polls, read).await.transpose()?;
        polled(polls, insert(&mut conn)).await.transpose()?;
        let next: Place =
            sql_query("SELECT on_standby() AS standby, 2 AS port").get_result(&mut conn).await?;
        assert_eq!(next.port, 2);
        conn.reset_session();
        narrow.settles().await?;
    }
    Ok(())
}
