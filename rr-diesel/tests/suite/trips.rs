//! What a statement costs its server: itself, and nothing beside it. The server writes down each message that it works on.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8, deadpool};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, TransactionManager};
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, TryStreamExt};
use rr_diesel::{RouteHints, RoutedPgConnection, RoutedPool};
use rr_tests::cluster::{Cluster, Node};

use crate::kinds::on_standby;
use crate::pools::urls;
use crate::support::{MARK, PATIENCE, Result, Seen, boot_with, config, mark, pool, until};

/// Statements of each kind.
const TIMES: usize = 40;

/// Longer than any test: as long as a limit may be.
const ENDLESS: Duration = Duration::from_secs(60);

/// How often messages came: what they are about (`asked` by the test, the `question` where a write has ended, or `other`), and
/// their kind (`parse`, `bind`, `execute`, or `statement` for a simple query).
type Counts = BTreeMap<String, usize>;

/// Servers that log each message with who sent it.
async fn talkative() -> Result<Cluster> {
    let builder = Cluster::builder().replicas(1).setting("log_min_duration_statement", "0");
    let cluster = boot_with(builder.setting("log_line_prefix", "%u ")).await?;
    cluster.primary().sql(MARK).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

/// The messages of pools since the log was so long, in their order. Those of the monitor are left out, and what sets up a new
/// connection.
fn said(node: &Node, from: usize) -> Vec<String> {
    let log = node.log();
    let lines = log[from..].lines().filter_map(|line| line.strip_prefix("app LOG:  duration: "));
    let messages = lines.filter_map(|line| line.split_once(" ms  ")?.1.split_once(": "));
    let ours =
        messages.filter(|(_, text)| !text.contains("pg_is_in_recovery()") && !text.starts_with("SET "));
    ours.map(|(kind, text)| {
        let about = match text {
            _ if text.contains("mark") => "asked",
            _ if text.starts_with("/*rr*/ SELECT pg_current_wal_insert_lsn()") => "question",
            _ => "other",
        };
        // The name of what is prepared stands behind the kind.
        format!("{about} {}", kind.split(' ').next().unwrap_or(kind))
    })
    .collect()
}

/// How often each of them came.
fn messages(node: &Node, from: usize) -> Counts {
    let mut counts = Counts::new();
    for message in said(node, from) {
        *counts.entry(message).or_default() += 1;
    }
    counts
}

fn each<const N: usize>(kinds: [&str; N]) -> Counts {
    kinds.into_iter().map(|kind| (kind.to_owned(), TIMES)).collect()
}

/// Runs a statement on a connection that the pool gives for each time, and has the node tell its messages from the second on.
macro_rules! told {
    ($node:expr, $pool:expr, $conn:ident => $statement:expr) => {{
        let mut from = 0;
        for time in 0..=TIMES {
            let $conn = &mut *$pool.get().await.map_err(|error| error.to_string())?;
            $statement.await?;
            if time == 0 {
                from = $node.log().len();
            }
        }
        until("all of them in the log", async || {
            Ok(messages($node, from).get("asked execute").is_some_and(|&there| there >= TIMES))
        })
        .await?;
        messages($node, from)
    }};
}

/// A handle is a pool's connection by itself.
struct Handles(RoutedPool);

impl Handles {
    async fn get(&self) -> Result<Box<RoutedPgConnection>, rr_diesel::PoolError> {
        self.0.get().await.map(Box::new)
    }
}

#[tokio::test]
async fn a_read_sends_what_it_asks_and_no_ping_before_it() -> Result {
    let cluster = talkative().await?;
    let (primary, replica) = (cluster.primary(), cluster.replica(1)?);
    let manager = || AsyncDieselConnectionManager::<RoutedPgConnection>::new(urls(&cluster));
    let plain = AsyncDieselConnectionManager::<AsyncPgConnection>::new(replica.url());
    let plain: bb8::Pool<AsyncPgConnection> = bb8::Pool::builder().max_size(1).build(plain).await?;
    let handles = Handles(pool(&cluster).await?);
    let foreign: bb8::Pool<RoutedPgConnection> = bb8::Pool::builder().build(manager()).await?;
    let deadpool: deadpool::Pool<RoutedPgConnection> = deadpool::Pool::builder(manager()).build()?;
    let silent = primary.log().len();
    macro_rules! reads {
        ($kinds:expr, $conn:ident => $statement:expr) => {
            let mut pinging = each($kinds);
            pinging.extend(each(["other bind", "other execute"]));
            assert_eq!(told!(replica, plain, $conn => $statement), pinging, "a pool that pings");
            assert_eq!(told!(replica, handles, $conn => $statement), each($kinds));
            assert_eq!(told!(replica, foreign, $conn => $statement), each($kinds), "bb8");
            assert_eq!(told!(replica, deadpool, $conn => $statement), each($kinds), "deadpool");
        };
    }
    // What is prepared is kept, and what is not known to be always the same is not.
    reads!(["asked bind", "asked execute"], conn => mark::table.find(1).select(mark::n).first::<i64>(conn));
    let text = "SELECT n, on_standby() AS standby FROM mark";
    let kinds = ["asked parse", "asked bind", "asked execute"];
    reads!(kinds, conn => sql_query(text).get_result::<Seen>(conn));
    assert_eq!(messages(primary, silent), Counts::new(), "nobody else is asked anything");
    Ok(())
}

/// The question where it has ended, which is sent with it, is all that is said beside a write.
#[tokio::test]
async fn a_write_sends_what_it_asks_and_where_it_has_ended() -> Result {
    let cluster = talkative().await?;
    let (primary, replica) = (cluster.primary(), cluster.replica(1)?);
    // The question may still be under way when the next write comes, which would take another connection.
    let settings = config(&cluster).with(|config| config.pool.primary.max = 1);
    let pool = RoutedPool::start(settings.build()?).await?;
    let (from, silent) = (primary.log().len(), replica.log().len());
    for _ in 0..TIMES {
        let conn = &mut pool.get().await?;
        diesel::update(mark::table.find(1)).set(mark::n.eq(mark::n + 1)).execute(conn).await?;
    }
    let questions =
        async || Ok(messages(primary, from).get("question execute").is_some_and(|&there| there >= TIMES));
    until("all questions", questions).await?;
    let mut kinds = each(["asked parse", "asked bind", "asked execute", "question bind", "question execute"]);
    // At first it also asks for what stays as it is.
    kinds.insert(String::from("question parse"), 2);
    assert_eq!(messages(primary, from), kinds);
    assert_eq!(messages(replica, silent), Counts::new(), "nobody else is asked anything");
    Ok(())
}

/// What has been done since the log was so long, in its order.
fn done(node: &Node, from: usize) -> Vec<String> {
    let done = |message: &String| message.ends_with(" execute") || message.ends_with(" statement");
    said(node, from).into_iter().filter(done).collect()
}

/// Works while the primary hears everything and its answers stay away, until it has done all this; then they may come.
async fn unheard<T>(primary: &Node, all: &[&str], work: impl Future<Output = T>) -> Result<T> {
    let from = primary.log().len();
    primary.link().delay_ways(Duration::ZERO, ENDLESS).await?;
    let mut work = pin!(work);
    let logged = pin!(until("all of it in the log", async || Ok(done(primary, from) == all)));
    match select(work.as_mut(), logged).await {
        Either::Left(_) => return Err("it has ended, and nothing was answered".into()),
        Either::Right((logged, _)) => {
            logged.map_err(|error| format!("{error}: {:?}", said(primary, from)))?
        }
    }
    primary.link().heal().await?;
    Ok(work.await)
}

/// The order alone tells, and no clock: the server has done the last before the client hears of the first. They are deletions,
/// because Diesel keeps those prepared: an update's server is asked to prepare it each time, and has to answer that first.
#[tokio::test]
async fn what_is_sent_at_once_waits_for_no_answer() -> Result {
    type Manager = <RoutedPgConnection as AsyncConnection>::TransactionManager;
    let cluster = talkative().await?;
    let primary = cluster.primary();
    primary.sql("INSERT INTO mark SELECT n, n FROM generate_series(2, 9) n").await?;
    let settings = config(&cluster).with(|config| {
        // All of it on one connection, which has prepared what can be prepared.
        config.pool.primary.max = 1;
        // Nobody takes the silence for a server that is gone.
        (config.monitor.timeout, config.monitor.connect_timeout) = (ENDLESS, ENDLESS);
    });
    let pool = RoutedPool::start(settings.build()?).await?;
    let delete = |id: i32| diesel::delete(mark::table.find(id));
    let conn = &mut pool.handle();
    delete(1).execute(conn).await?;
    for id in [2, 3] {
        conn.transaction::<_, Error, _>(async |conn| delete(id).execute(conn).await).await?;
    }
    // It gets the connection when the last question has been answered.
    let left = || mark::table.select(mark::id).order(mark::id).use_primary();
    left().load::<i32>(conn).await?;

    let written = unheard(primary, &["asked execute", "question execute"], delete(4).execute(conn)).await?;
    assert_eq!(written?, 1);

    Manager::begin_transaction(conn).await?;
    let shared = &*conn;
    let deletions = [5, 6, 7].map(|id| async move { delete(id).execute(&mut &*shared).await });
    let mut deletions: FuturesUnordered<_> = deletions.into_iter().collect();
    let first = unheard(primary, &["asked execute"; 3], deletions.next()).await?;
    assert_eq!(first, Some(Ok(1)));
    assert_eq!(deletions.try_collect::<Vec<_>>().await?, [1, 1]);
    let committing = Manager::commit_transaction(conn);
    unheard(primary, &["other statement", "question execute"], committing).await??;

    assert_eq!(left().load::<i32>(conn).await?, [8, 9]);
    Ok(())
}

/// At first somebody may. When so many writes were not read, nobody is expected to, until somebody does.
#[tokio::test]
async fn where_a_write_has_ended_is_asked_while_somebody_wants_to_know() -> Result {
    let cluster = talkative().await?;
    let (primary, replica) = (cluster.primary(), cluster.replica(1)?);
    let settings = config(&cluster).with(|config| config.pool.primary.max = 1);
    let pool = RoutedPool::start(settings.build()?).await?;
    let conn = &mut pool.handle();
    let seen = async || {
        mark::table.find(1).select((mark::n, on_standby())).first::<(i64, bool)>(&mut pool.handle()).await
    };
    let add = || diesel::update(mark::table.find(1)).set(mark::n.eq(mark::n + 1));
    until("the replica to serve", async || Ok(seen().await?.1)).await?;
    replica.pause_replay().await?;
    let (before, _) = seen().await?;
    for _ in 0..1000 {
        add().execute(conn).await?;
    }
    // Another one gets the connection when the last question was answered.
    add().execute(conn).await?;
    let from = primary.log().len();
    add().execute(conn).await?;
    let _: i64 = add().returning(mark::n).get_result(conn).await?;
    sql_query("UPDATE mark SET n = n + 1 WHERE id = 1").execute(conn).await?;
    conn.transaction::<_, Error, _>(async |conn| add().execute(conn).await).await?;
    let came = |about: &str| messages(primary, from).get(about).copied().unwrap_or_default();
    let several = "INSERT INTO mark SELECT id, 0 FROM generate_series(2, 9) id RETURNING n, false AS standby";
    assert_eq!(sql_query(several).load::<Seen>(conn).await?.len(), 8);
    until("it in the log", async || Ok(came("asked execute") == 5)).await?;
    assert_eq!(came("question execute"), 0);
    // Here nobody sees the end when the first row is handed over.
    let long =
        "INSERT INTO mark SELECT id, 0 FROM generate_series(10, 9999) id RETURNING n, false AS standby";
    assert_eq!(sql_query(long).load::<Seen>(conn).await?.len(), 9990);
    until("the question", async || Ok(came("question execute") == 1)).await?;
    // Whoever reads at once has to know. A moment later a sample has told.
    let mut written = before + 1005;
    let asked = async || {
        assert_eq!(seen().await?, (written, false), "what was not asked is known all the same");
        add().execute(conn).await?;
        written += 1;
        Ok(came("question execute") > 1)
    };
    until("it to be asked again", asked).await?;
    Ok(())
}
