//! What a statement costs its server: itself, and nothing beside it. The server writes down each message that it works on.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8, deadpool};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rr_diesel::{RoutedPgConnection, RoutedPool};
use rr_tests::cluster::{Cluster, Node};

use crate::pools::urls;
use crate::support::{MARK, PATIENCE, Result, Seen, boot_with, config, mark, pool, until};

/// Statements of each kind.
const TIMES: usize = 40;

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

/// The messages of pools since the log was so long. Those of the monitor are left out, and what sets up a new connection.
fn messages(node: &Node, from: usize) -> Counts {
    let log = node.log();
    let lines = log[from..].lines().filter_map(|line| line.strip_prefix("app LOG:  duration: "));
    let mut counts = Counts::new();
    for (kind, text) in lines.filter_map(|line| line.split_once(" ms  ")?.1.split_once(": ")) {
        if text.contains("pg_is_in_recovery()") || text.starts_with("SET ") {
            continue;
        }
        let about = match text {
            _ if text.contains("mark") => "asked",
            _ if text.starts_with("/*rr*/ SELECT pg_current_wal_insert_lsn()") => "question",
            _ => "other",
        };
        // The name of what is prepared stands behind the kind.
        let kind = kind.split(' ').next().unwrap_or(kind);
        *counts.entry(format!("{about} {kind}")).or_default() += 1;
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
