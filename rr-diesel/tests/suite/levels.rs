//! At which level a read runs, and for whom. The servers say who answered, and with what.

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use rr_core::config::{CausalElse, Config, Unscoped};
use rr_core::{Consistency, Session};
use rr_diesel::{RouteHints, RoutedPgConnection, RoutedPool};
use rr_tests::cluster::Cluster;

use crate::support::{Result, Seen, boot, config, note, place, until};

/// How many notes there are, and whether a standby says so.
pub(crate) const NOTES: &str = "SELECT (SELECT count(*) FROM note) AS n, standby FROM here";

/// The write, told by the primary; and what a standby says that has not replayed it.
pub(crate) const FRESH: (i64, bool) = (1, false);
pub(crate) const STALE: (i64, bool) = (0, true);

/// A standby that replays nothing more.
async fn paused(change: impl FnOnce(&mut Config)) -> Result<(Cluster, RoutedPool)> {
    let cluster = boot(1).await?;
    let pool = RoutedPool::start(config(&cluster).with(change).build()?).await?;
    let scope = Session::new();
    until("the standby to serve", async || Ok(scope.scope(place(&mut pool.handle())).await?.standby)).await?;
    cluster.replica(1)?.pause_replay().await?;
    Ok((cluster, pool))
}

async fn write(mut conn: RoutedPgConnection) -> QueryResult<usize> {
    diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut conn).await
}

async fn look(mut conn: RoutedPgConnection) -> QueryResult<(i64, bool)> {
    let seen: Seen = sql_query(NOTES).get_result(&mut conn).await?;
    Ok((seen.n, seen.standby))
}

async fn look_at(mut conn: RoutedPgConnection, level: Consistency) -> QueryResult<(i64, bool)> {
    let seen: Seen = sql_query(NOTES).consistency(level).get_result(&mut conn).await?;
    Ok((seen.n, seen.standby))
}

#[tokio::test]
async fn the_nearest_level_counts() -> Result {
    use Consistency::{Bounded, Eventual, ReadAfterWrite, Strong};
    let (_cluster, pool) = paused(|_| {}).await?;
    let db = || pool.handle();
    let session = Session::new();
    session.scope(write(db())).await?;
    // The router's, `session`.
    assert_eq!(session.scope(look(db())).await?, FRESH);
    // The scope's.
    assert_eq!(session.scope_at(Eventual, look(db())).await?, STALE);
    assert_eq!(Eventual.scope(session.scope(look(db()))).await?, STALE);
    assert_eq!(session.scope_at(ReadAfterWrite, look(db())).await?, FRESH);
    // The handle's goes before it.
    assert_eq!(session.scope_at(Eventual, look(db().consistency(Strong))).await?, FRESH);
    assert_eq!(
        session.scope(look(db().consistency(Bounded(std::time::Duration::from_secs(600))))).await?,
        STALE
    );
    assert_eq!(look(db().consistency(Eventual)).await?, STALE);
    // The query's before that one.
    let strong = db().consistency(Strong);
    assert_eq!(session.scope_at(Strong, look_at(strong, Eventual)).await?, STALE);
    assert_eq!(session.scope_at(Eventual, look_at(db(), Strong)).await?, FRESH);
    // The last one of a chain, and the comment of a text.
    let conn = &mut db();
    let seen: Seen = sql_query(NOTES).consistency(Strong).consistency(Eventual).get_result(conn).await?;
    assert!(seen.standby);
    let text = format!("{NOTES} /* rr:consistency=eventual */");
    assert!(sql_query(&text).get_result::<Seen>(conn).await?.standby);
    assert!(!sql_query(&text).consistency(Strong).get_result::<Seen>(conn).await?.standby);
    assert!(!sql_query(&text).use_primary().get_result::<Seen>(conn).await?.standby);
    // Anywhere in a chain, and for a query whose type is known from before.
    for (level, expected) in [(Strong, 1), (Eventual, 0), (Strong, 1)] {
        let ids = note::table.consistency(level).filter(note::id.gt(0)).select(note::id);
        assert_eq!(ids.load::<i32>(conn).await?.len(), expected, "{level}");
    }
    Ok(())
}

#[tokio::test]
async fn a_handle_works_for_the_scope_in_which_it_is_used() -> Result {
    let (_cluster, pool) = paused(|_| {}).await?;
    let db = || pool.handle();
    let (mine, yours) = (Session::new(), Session::new());
    mine.scope(write(db())).await?;
    assert_eq!(mine.scope(look(db())).await?, FRESH);
    assert_eq!(yours.scope(look(db())).await?, STALE);
    assert_eq!(look(db()).await?, FRESH, "the same process wrote it");
    // A handle's own session goes before the scope's, and an inner scope before an outer one.
    assert_eq!(yours.scope(look(db().with_session(&mine))).await?, FRESH);
    assert_eq!(mine.scope(look(db().with_session(&yours))).await?, STALE);
    assert_eq!(mine.scope(yours.scope(look(db()))).await?, STALE);
    // Spawned tasks work for whom they are told to.
    let (own, other, alone) = mine
        .scope(async {
            let own = Session::current().ok_or("a session")?.spawn(look(db()));
            let other = yours.spawn(look(db()));
            let alone = tokio::spawn(look(db().consistency(Consistency::Eventual)));
            Ok::<_, Box<dyn std::error::Error>>((own.await??, other.await??, alone.await??))
        })
        .await?;
    assert_eq!((own, other, alone), (FRESH, STALE, STALE));
    Ok(())
}

#[tokio::test]
async fn reads_outside_of_any_scope_see_what_the_configuration_says() -> Result {
    for (unscoped, expected) in
        [(Unscoped::Router, FRESH), (Unscoped::Eventual, STALE), (Unscoped::Primary, FRESH)]
    {
        let (_cluster, pool) = paused(|config| config.unscoped = unscoped).await?;
        let before = look(pool.handle()).await?;
        assert_eq!(before, (0, unscoped != Unscoped::Primary), "{unscoped:?}");
        write(pool.handle()).await?;
        assert_eq!(look(pool.handle()).await?, expected, "{unscoped:?}");
        let somebody = Session::new();
        assert_eq!(somebody.scope(look(pool.handle())).await?, STALE, "{unscoped:?}: there is a session");
    }
    Ok(())
}

#[tokio::test]
async fn what_no_replica_can_serve_goes_where_the_configuration_says() -> Result {
    for otherwise in [CausalElse::Primary, CausalElse::Stale, CausalElse::Error] {
        let (_cluster, pool) = paused(|config| config.causal_else = otherwise).await?;
        let session = Session::new();
        session.scope(write(pool.handle())).await?;
        let seen = session.scope(look(pool.handle())).await;
        match otherwise {
            CausalElse::Primary => assert_eq!(seen?, FRESH),
            CausalElse::Stale => assert_eq!(seen?, STALE),
            _ => {
                let error = seen.expect_err("no replica has it").to_string();
                assert!(error.contains("causal_else") && error.contains("`replica-1` behind by"), "{error}");
            }
        }
        assert_eq!(Session::new().scope(look(pool.handle())).await?, STALE, "who needs nothing is served");
    }
    Ok(())
}
