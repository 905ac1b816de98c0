//! Levels and scopes are the same ones.

use diesel::prelude::*;
use diesel::sql_query;
use rr_core::config::{CausalElse, Config, Unscoped};
use rr_core::{Consistency, Session};
use rr_diesel::RouteHints;
use rr_tests::cluster::Cluster;

use super::{RoutedConnection, RoutedPool, place};
use crate::levels::{FRESH, NOTES, STALE};
use crate::support::{Result, Seen, boot, config, note, until};

async fn paused(change: impl FnOnce(&mut Config)) -> Result<(Cluster, RoutedPool)> {
    let cluster = boot(1).await?;
    let pool = RoutedPool::start(config(&cluster).with(change).build()?)?;
    let scope = Session::new();
    until("the standby to serve", async || Ok(scope.enter(|| place(&mut pool.handle()))?.standby)).await?;
    cluster.replica(1)?.pause_replay().await?;
    Ok((cluster, pool))
}

fn write(mut conn: RoutedConnection) -> QueryResult<usize> {
    diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut conn)
}

fn look(mut conn: RoutedConnection) -> QueryResult<(i64, bool)> {
    let seen: Seen = sql_query(NOTES).get_result(&mut conn)?;
    Ok((seen.n, seen.standby))
}

fn look_at(mut conn: RoutedConnection, level: Consistency) -> QueryResult<(i64, bool)> {
    let seen: Seen = sql_query(NOTES).consistency(level).get_result(&mut conn)?;
    Ok((seen.n, seen.standby))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_level_counts() -> Result {
    use Consistency::{Eventual, Strong};
    let (_cluster, pool) = paused(|_| {}).await?;
    let db = || pool.handle();
    let session = Session::new();
    session.enter(|| write(db()))?;
    assert_eq!(session.enter(|| look(db()))?, FRESH);
    assert_eq!(session.enter(|| look(db().consistency(Eventual)))?, STALE);
    // A scope's level is set in async code, and holds for blocking code inside of it.
    let at = async |level, work: &dyn Fn() -> QueryResult<(i64, bool)>| {
        session.scope_at(level, async { work() }).await
    };
    assert_eq!(at(Eventual, &|| look(db())).await?, STALE);
    assert_eq!(at(Eventual, &|| look(db().consistency(Strong))).await?, FRESH);
    assert_eq!(at(Strong, &|| look_at(db().consistency(Strong), Eventual)).await?, STALE);
    assert_eq!(at(Eventual, &|| look_at(db(), Strong)).await?, FRESH);
    let text = format!("{NOTES} /* rr:consistency=eventual */");
    assert!(sql_query(&text).get_result::<Seen>(&mut db())?.standby);
    assert!(!sql_query(&text).consistency(Strong).get_result::<Seen>(&mut db())?.standby);
    for (level, expected) in [(Strong, 1), (Eventual, 0), (Strong, 1)] {
        let ids = note::table.consistency(level).filter(note::id.gt(0)).select(note::id);
        assert_eq!(ids.load::<i32>(&mut db())?.len(), expected, "{level}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_works_for_the_scope_in_which_it_is_used() -> Result {
    let (_cluster, pool) = paused(|_| {}).await?;
    let db = || pool.handle();
    let (mine, yours) = (Session::new(), Session::new());
    mine.enter(|| write(db()))?;
    assert_eq!(mine.enter(|| look(db()))?, FRESH);
    assert_eq!(yours.enter(|| look(db()))?, STALE);
    assert_eq!(look(db())?, FRESH, "the same process wrote it");
    assert_eq!(yours.enter(|| look(db().with_session(&mine)))?, FRESH);
    assert_eq!(mine.enter(|| look(db().with_session(&yours)))?, STALE);
    assert_eq!(mine.enter(|| yours.enter(|| look(db())))?, STALE);
    // A thread belongs to nobody unless it is told.
    let seen = std::thread::scope(|threads| {
        let alone = threads.spawn(|| (Session::current().is_none(), mine.enter(|| look(db()))));
        alone.join().map_err(|_| "it panicked")
    })?;
    assert!(seen.0);
    assert_eq!(seen.1?, FRESH);
    // Blocking code of an async handler is told the same way.
    let (session, handle) = (yours.clone(), db());
    assert_eq!(tokio::task::spawn_blocking(move || session.enter(|| look(handle))).await??, STALE);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_outside_of_any_scope_see_what_the_configuration_says() -> Result {
    for (unscoped, expected) in
        [(Unscoped::Router, FRESH), (Unscoped::Eventual, STALE), (Unscoped::Primary, FRESH)]
    {
        let (_cluster, pool) = paused(|config| config.unscoped = unscoped).await?;
        assert_eq!(look(pool.handle())?, (0, unscoped != Unscoped::Primary), "{unscoped:?}");
        write(pool.handle())?;
        assert_eq!(look(pool.handle())?, expected, "{unscoped:?}");
        assert_eq!(Session::new().enter(|| look(pool.handle()))?, STALE, "{unscoped:?}: there is a session");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_replica_can_serve_goes_where_the_configuration_says() -> Result {
    for otherwise in [CausalElse::Primary, CausalElse::Stale, CausalElse::Error] {
        let (_cluster, pool) = paused(|config| config.causal_else = otherwise).await?;
        let session = Session::new();
        session.enter(|| write(pool.handle()))?;
        let seen = session.enter(|| look(pool.handle()));
        match otherwise {
            CausalElse::Primary => assert_eq!(seen?, FRESH),
            CausalElse::Stale => assert_eq!(seen?, STALE),
            _ => {
                let error = seen.expect_err("no replica has it").to_string();
                assert!(error.contains("causal_else") && error.contains("`replica-1` behind by"), "{error}");
            }
        }
    }
    Ok(())
}
