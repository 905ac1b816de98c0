//! Errors that are understood by their text, on servers that speak another language.

use std::sync::Barrier;
use std::time::Duration;

use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use rr_core::{Connector as _, RouteReason};
use rr_diesel::blocking::retry::{self, Policy};
use rr_tests::cluster::Node;

use super::RoutedPool;
use crate::language::{OFTEN, boot_both, boot_moody, raise, refused};
use crate::standbys::{Standby, scratch};
use crate::support::{PATIENCE, Result, config, patient};

#[tokio::test(flavor = "multi_thread")]
async fn what_standbys_refuse_is_learned_in_every_language() -> Result {
    for (language, cluster) in boot_both().await? {
        let pool = RoutedPool::start(patient(&cluster).build()?)?;
        let (tries, misroutes) = if language == "English" { (1, 2) } else { (OFTEN, 0) };
        for number in 1..=2 * OFTEN {
            assert_eq!(scratch::table.select(scratch::id).load::<i32>(&mut pool.handle())?, [7]);
            assert_eq!(refused(&cluster)?, number.min(tries), "{language}");
        }
        for number in 1..=2 * OFTEN {
            let mut conn = pool.handle();
            let rows = sql_query("SELECT on_standby() AS standby FROM scratch")
                .load_iter::<Standby, PgRowByRowLoadingMode>(&mut conn)?;
            assert_eq!(rows.collect::<QueryResult<Vec<_>>>()?, [Standby { standby: false }]);
            assert_eq!(refused(&cluster)?, tries + number.min(tries), "{language}");
        }
        assert_eq!(pool.router().connector().misroutes(), Some(misroutes), "{language}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replicas_fail_for_a_while_goes_to_the_primary_only_while_there_is_one() -> Result {
    let cluster = boot_moody(1).await?;
    let pool = RoutedPool::start(patient(&cluster).build()?)?;
    let ask = || sql_query("SELECT standby FROM moody").get_result::<Standby>(&mut pool.handle());
    cluster.primary().sql("UPDATE mark SET n = 1 WHERE id = 1").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    for number in 1..=2 * OFTEN {
        assert!(!ask()?.standby);
        assert_eq!(cluster.replica(1)?.log().matches("not today").count(), number.min(OFTEN));
    }
    cluster.primary().sql("UPDATE mark SET n = 0 WHERE id = 1").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    assert!(!ask()?.standby, "for a minute");
    let explained = pool.handle().explain_route(&sql_query("SELECT standby FROM moody"))?;
    assert_eq!(explained.outcome.as_ref().ok(), Some(&RouteReason::PrimaryPreferred), "{explained}");
    cluster.primary().kill9().await?;
    assert!(ask()?.standby, "a replica is better than nobody");
    Ok(())
}

/// The primary would have to find out once more.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_was_told_to_stop_is_not_run_again_in_any_language() -> Result {
    for (language, cluster) in boot_both().await? {
        let settings = config(&cluster).with(|config| {
            config.pool.replica.statement_timeout = Some(Duration::from_millis(100));
            config.pool.primary.statement_timeout = Some(Duration::from_millis(100));
        });
        let pool = RoutedPool::start(settings.build()?)?;
        let text = "SELECT standby FROM (SELECT pg_sleep(600) IS NULL AS standby) AS late";
        assert!(sql_query(text).get_result::<Standby>(&mut pool.handle()).is_err());
        let mut conn = pool.handle();
        let rows = sql_query(text).load_iter::<Standby, PgRowByRowLoadingMode>(&mut conn);
        assert!(rows.and_then(Iterator::collect::<QueryResult<Vec<_>>>).is_err());
        let stopped = |node: &Node| node.log().matches("pg_sleep(600)").count();
        assert_eq!((stopped(cluster.replica(1)?), stopped(cluster.primary())), (2, 0), "{language}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_replay_is_answered_by_another_replica() -> Result {
    let cluster = boot_moody(2).await?;
    let pool = RoutedPool::start(config(&cluster).build()?)?;
    let mut met = 0;
    while met < 2 * OFTEN {
        let text = "SELECT standby FROM circular";
        assert!(sql_query(text).get_result::<Standby>(&mut pool.handle())?.standby);
        met = cluster.replica(1)?.log().matches("ERROR:  canceling statement due to conflict").count();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_victim_of_a_deadlock_is_run_again_in_every_language() -> Result {
    for (language, cluster) in boot_both().await? {
        let pool = RoutedPool::start(config(&cluster).build()?)?;
        let both = Barrier::new(2);
        let run = |first: i32, second: i32| {
            retry::transaction(&mut pool.handle(), Policy::new().within(PATIENCE), |conn, attempt| {
                sql_query(raise(first)).execute(conn)?;
                if attempt.is_first() {
                    both.wait();
                }
                sql_query(raise(second)).execute(conn)?;
                Ok::<_, Error>(attempt.number)
            })
        };
        let tries = std::thread::scope(|scope| {
            let other = scope.spawn(|| run(2, 1));
            [run(1, 2), other.join().expect("it does not panic")]
        });
        let tries = tries.into_iter().collect::<QueryResult<Vec<_>>>();
        let sum: u32 = tries.map_err(|error| format!("{language}: {error}"))?.iter().sum();
        // More than once, where the victim was back before the other one had got what it had waited for.
        assert!(sum >= 3, "{language}: one of them was the victim");
        let sum = cluster.primary().query_text("SELECT sum(n)::text FROM mark").await?;
        assert_eq!(sum, "4", "{language}");
    }
    Ok(())
}
