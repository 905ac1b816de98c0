//! Errors that are understood by their text, on servers that speak another language.

use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use rr_core::{Connector as _, RouteReason};
use rr_diesel::RoutedPool;
use rr_diesel::retry::{self, Policy};
use rr_tests::cluster::{Builder, Cluster};
use tokio::sync::Barrier;

use crate::standbys::{Standby, scratch};
use crate::support::{MARK, PATIENCE, Result, config, patient, prepare};

/// So often a replica fails a statement before the primary is asked first.
pub(crate) const OFTEN: usize = 3;

/// `moody` fails on standbys while the mark is set, and `circle` on one of them as the server does when it breaks a deadlock
/// with its replay.
const MOODS: &str = "\
    CREATE FUNCTION mood() RETURNS bool STABLE LANGUAGE plpgsql AS \
    'BEGIN IF pg_is_in_recovery() AND EXISTS (SELECT FROM mark WHERE n = 1) THEN RAISE ''not today''; END IF; \
     RETURN pg_is_in_recovery(); END'; \
    CREATE VIEW moody AS SELECT mood() AS standby; \
    CREATE FUNCTION circle() RETURNS bool STABLE LANGUAGE plpgsql AS \
    'BEGIN IF current_setting(''cluster_name'') = ''replica-1'' THEN \
     RAISE ''canceling statement due to conflict with recovery'' USING ERRCODE = ''40P01''; END IF; \
     RETURN pg_is_in_recovery(); END'; \
    CREATE VIEW circular AS SELECT circle() AS standby; \
    CREATE UNLOGGED TABLE scratch (id int); INSERT INTO scratch VALUES (7)";

/// Makes what these tests use.
async fn with_moods(cluster: Cluster) -> Result<Cluster> {
    prepare(&cluster).await?;
    cluster.primary().sql(MARK).await?;
    cluster.primary().sql("INSERT INTO mark VALUES (2, 0)").await?;
    cluster.primary().sql(MOODS).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

fn servers() -> Builder {
    Cluster::builder().replicas(1).setting("deadlock_timeout", "50ms")
}

/// Servers of both languages, or only of ours where there are no others.
pub(crate) async fn boot_both() -> Result<Vec<(&'static str, Cluster)>> {
    let mut clusters = vec![("English", with_moods(servers().start().await?).await?)];
    if let Some(german) = servers().start_in_german().await? {
        clusters.push(("German", with_moods(german).await?));
    }
    Ok(clusters)
}

pub(crate) async fn boot_moody(replicas: usize) -> Result<Cluster> {
    with_moods(Cluster::builder().replicas(replicas).start().await?).await
}

/// How often the replica was asked for the table that it does not have.
pub(crate) fn refused(cluster: &Cluster) -> Result<usize> {
    let log = cluster.replica(1)?.log();
    let texts = ["cannot access temporary or unlogged relations", "nicht auf temporäre oder ungeloggte"];
    Ok(texts.iter().map(|text| log.matches(text).count()).sum())
}

#[tokio::test]
async fn what_standbys_refuse_is_learned_in_every_language() -> Result {
    for (language, cluster) in boot_both().await? {
        let pool = RoutedPool::start(patient(&cluster).build()?).await?;
        let (tries, misroutes) = if language == "English" { (1, 2) } else { (OFTEN, 0) };
        for number in 1..=2 * OFTEN {
            let ids: Vec<i32> = scratch::table.select(scratch::id).load(&mut pool.handle()).await?;
            assert_eq!(ids, [7]);
            assert_eq!(refused(&cluster)?, number.min(tries), "{language}");
        }
        for number in 1..=2 * OFTEN {
            let text = "SELECT on_standby() AS standby FROM scratch";
            let there: Standby = sql_query(text).get_result(&mut pool.handle()).await?;
            assert!(!there.standby);
            assert_eq!(refused(&cluster)?, tries + number.min(tries), "{language}");
        }
        assert_eq!(pool.router().connector().misroutes(), Some(misroutes), "{language}");
    }
    Ok(())
}

#[tokio::test]
async fn what_replicas_fail_for_a_while_goes_to_the_primary_only_while_there_is_one() -> Result {
    let cluster = boot_moody(1).await?;
    let pool = RoutedPool::start(patient(&cluster).build()?).await?;
    let ask = async || sql_query("SELECT standby FROM moody").get_result::<Standby>(&mut pool.handle()).await;
    let failures = || -> Result<usize> { Ok(cluster.replica(1)?.log().matches("not today").count()) };
    assert!(ask().await?.standby);
    cluster.primary().sql("UPDATE mark SET n = 1 WHERE id = 1").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    for number in 1..=2 * OFTEN {
        assert!(!ask().await?.standby);
        assert_eq!(failures()?, number.min(OFTEN));
    }
    cluster.primary().sql("UPDATE mark SET n = 0 WHERE id = 1").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    assert!(!ask().await?.standby, "for a minute");
    let explained = pool.handle().explain_route(&sql_query("SELECT standby FROM moody"))?;
    assert_eq!(explained.outcome.as_ref().ok(), Some(&RouteReason::PrimaryPreferred), "{explained}");
    assert!(pool.router().routed("primary", RouteReason::PrimaryPreferred) > 0);
    cluster.primary().kill9().await?;
    assert!(ask().await?.standby, "a replica is better than nobody");
    Ok(())
}

#[tokio::test]
async fn what_may_come_is_not_held_against_replicas() -> Result {
    let cluster = boot_moody(1).await?;
    let pool = RoutedPool::start(config(&cluster).build()?).await?;
    let replica = cluster.replica(1)?;
    replica.pause_replay().await?;
    cluster.primary().sql("CREATE TABLE late (standby bool); INSERT INTO late VALUES (false)").await?;
    let text = "SELECT standby FROM late";
    for number in 1..=2 * OFTEN {
        assert!(!sql_query(text).get_result::<Standby>(&mut pool.handle()).await?.standby);
        assert_eq!(replica.log().matches("\"late\" does not exist").count(), number);
    }
    Ok(())
}

#[tokio::test]
async fn a_deadlock_with_replay_is_answered_by_another_replica() -> Result {
    let cluster = boot_moody(2).await?;
    let pool = RoutedPool::start(config(&cluster).build()?).await?;
    let mut met = 0;
    while met < 2 * OFTEN {
        let text = "SELECT standby FROM circular";
        assert!(sql_query(text).get_result::<Standby>(&mut pool.handle()).await?.standby);
        met = cluster.replica(1)?.log().matches("ERROR:  canceling statement due to conflict").count();
    }
    assert_eq!(pool.router().connector().misroutes(), Some(0));
    Ok(())
}

pub(crate) fn raise(id: i32) -> String {
    format!("UPDATE mark SET n = n + 1 WHERE id = {id}")
}

#[tokio::test]
async fn the_victim_of_a_deadlock_is_run_again_in_every_language() -> Result {
    for (language, cluster) in boot_both().await? {
        let pool = RoutedPool::start(config(&cluster).build()?).await?;
        let both = Barrier::new(2);
        let run = async |first: i32, second: i32| {
            let policy = Policy::new().within(PATIENCE);
            retry::transaction(&mut pool.handle(), policy, async |conn, attempt| {
                sql_query(raise(first)).execute(conn).await?;
                if attempt.is_first() {
                    both.wait().await;
                }
                sql_query(raise(second)).execute(conn).await?;
                Ok::<_, Error>(attempt.number)
            })
            .await
        };
        let (one, other) = tokio::join!(run(1, 2), run(2, 1));
        let (one, other) = (
            one.map_err(|error| format!("{language}: {error}"))?,
            other.map_err(|error| format!("{language}: {error}"))?,
        );
        // More than once, where the victim was back before the other one had got what it had waited for.
        assert!(one + other >= 3, "{language}: one of them was the victim");
        let sum = cluster.primary().query_text("SELECT sum(n)::text FROM mark").await?;
        assert_eq!(sum, "4", "{language}");
    }
    Ok(())
}
