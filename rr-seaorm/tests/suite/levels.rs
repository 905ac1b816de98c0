//! At which level a read runs, and for whom. The servers say who answered, and with what.

use std::time::Duration;

use rr_core::config::{CausalElse, Config, Unscoped};
use rr_core::{Consistency, Session};
use rr_seaorm::{RouteHints, RoutedConnection};
use rr_tests::cluster::Cluster;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, Select};

use crate::support::{Result, boot, config, notes, on_standby, raw, seen, until};

/// How many notes there are, and who says so.
const COUNTED: &str =
    "CREATE VIEW counted AS SELECT (SELECT count(*) FROM note) AS n, on_standby() AS standby";

/// The write, told by the primary; and what a standby says that has not replayed it.
const FRESH: (i64, bool) = (1, false);
const STALE: (i64, bool) = (0, true);

/// A standby that replays nothing more.
async fn paused(change: impl FnOnce(&mut Config)) -> Result<(Cluster, RoutedConnection)> {
    let cluster = boot(1).await?;
    cluster.primary().sql(COUNTED).await?;
    cluster.wait_caught_up(crate::support::PATIENCE).await?;
    let db = RoutedConnection::start(config(&cluster).with(change).build()?).await?;
    let scope = Session::new();
    until("the standby to serve", async || Ok(scope.scope(on_standby(&db)).await?)).await?;
    cluster.replica(1)?.pause_replay().await?;
    Ok((cluster, db))
}

async fn write(db: RoutedConnection) -> Result<(), DbErr> {
    use sea_orm::ConnectionTrait;
    db.execute_unprepared("INSERT INTO note (text) VALUES ('x')").await.map(drop)
}

async fn look(db: RoutedConnection) -> Result<(i64, bool), DbErr> {
    use sea_orm::ConnectionTrait;
    let row = db.query_one_raw(raw("SELECT n, standby FROM counted")).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("counted".to_owned()))?;
    Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))
}

/// Whether a standby answers a query.
async fn by_standby(db: &RoutedConnection, query: Select<seen::Entity>) -> Result<bool, DbErr> {
    Ok(query.all(db).await?.len() == 2)
}

#[tokio::test]
async fn the_nearest_level_counts() -> Result {
    use Consistency::{Bounded, Eventual, ReadAfterWrite, Strong};
    let (_cluster, db) = paused(|_| {}).await?;
    let session = Session::new();
    session.scope(write(db.clone())).await?;
    let at = |level| db.consistency(level);
    // The router's, `session`.
    assert_eq!(session.scope(look(db.clone())).await?, FRESH);
    // The scope's.
    assert_eq!(session.scope_at(Eventual, look(db.clone())).await?, STALE);
    assert_eq!(Eventual.scope(session.scope(look(db.clone()))).await?, STALE);
    assert_eq!(session.scope_at(ReadAfterWrite, look(db.clone())).await?, FRESH);
    // The handle's goes before it.
    assert_eq!(session.scope_at(Eventual, look(at(Strong))).await?, FRESH);
    assert_eq!(session.scope(look(at(Bounded(Duration::from_secs(600))))).await?, STALE);
    assert_eq!(look(at(Eventual)).await?, STALE);
    // The query's before that one.
    let find = seen::Entity::find;
    let strong = at(Strong);
    assert!(session.scope(by_standby(&strong, find().consistency(Eventual))).await?);
    assert!(!session.scope_at(Eventual, by_standby(&db, find().consistency(Strong))).await?);
    let bounded = Bounded(Duration::from_millis(600_500));
    assert!(by_standby(&strong, find().consistency(bounded)).await?);
    assert!(!by_standby(&db, find().consistency(Eventual).consistency(bounded)).await?, "which of them?");
    assert!(!by_standby(&db, find().consistency(Eventual).use_primary()).await?);
    assert_eq!(find().filter(seen::Column::Id.gt(0)).consistency(Eventual).count(&strong).await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_handle_works_for_the_scope_in_which_it_is_used() -> Result {
    let (_cluster, db) = paused(|_| {}).await?;
    let (mine, yours) = (Session::new(), Session::new());
    mine.scope(write(db.clone())).await?;
    assert_eq!(mine.scope(look(db.clone())).await?, FRESH);
    assert_eq!(yours.scope(look(db.clone())).await?, STALE);
    assert_eq!(look(db.clone()).await?, FRESH, "the same process wrote it");
    // A handle's own session goes before the scope's, and an inner scope before an outer one.
    assert_eq!(yours.scope(look(db.with_session(&mine))).await?, FRESH);
    assert_eq!(mine.scope(look(db.with_session(&yours))).await?, STALE);
    assert_eq!(mine.scope(yours.scope(look(db.clone()))).await?, STALE);
    // Spawned tasks work for whom they are told to.
    let (own, other, alone) = mine
        .scope(async {
            let own = Session::current().ok_or("a session")?.spawn(look(db.clone()));
            let other = yours.spawn(look(db.clone()));
            let alone = tokio::spawn(look(db.consistency(Consistency::Eventual)));
            Ok::<_, Box<dyn std::error::Error>>((own.await??, other.await??, alone.await??))
        })
        .await?;
    assert_eq!((own, other, alone), (FRESH, STALE, STALE));
    Ok(())
}

/// A transaction is for the session for which it was begun, wherever it ends.
#[tokio::test]
async fn a_transaction_belongs_to_the_scope_in_which_it_began() -> Result {
    use sea_orm::{ConnectionTrait, TransactionTrait};
    let (_cluster, db) = paused(|_| {}).await?;
    let (mine, yours) = (Session::new(), Session::new());
    let transaction = mine.scope(db.begin()).await?;
    yours
        .scope(async {
            transaction.execute_unprepared("INSERT INTO note (text) VALUES ('x')").await?;
            transaction.commit().await
        })
        .await?;
    assert_eq!(mine.scope(notes(&db)).await?, 1);
    assert_eq!(yours.scope(notes(&db)).await?, 0);
    Ok(())
}

#[tokio::test]
async fn reads_outside_of_any_scope_see_what_the_configuration_says() -> Result {
    for (unscoped, expected) in
        [(Unscoped::Router, FRESH), (Unscoped::Eventual, STALE), (Unscoped::Primary, FRESH)]
    {
        let (_cluster, db) = paused(|config| config.unscoped = unscoped).await?;
        assert_eq!(look(db.clone()).await?, (0, unscoped != Unscoped::Primary), "{unscoped:?}");
        write(db.clone()).await?;
        assert_eq!(look(db.clone()).await?, expected, "{unscoped:?}");
        let somebody = Session::new();
        assert_eq!(somebody.scope(look(db.clone())).await?, STALE, "{unscoped:?}: there is a session");
    }
    Ok(())
}

#[tokio::test]
async fn what_no_replica_can_serve_goes_where_the_configuration_says() -> Result {
    for otherwise in [CausalElse::Primary, CausalElse::Stale, CausalElse::Error] {
        let (_cluster, db) = paused(|config| config.causal_else = otherwise).await?;
        let session = Session::new();
        session.scope(write(db.clone())).await?;
        let seen = session.scope(look(db.clone())).await;
        match otherwise {
            CausalElse::Primary => assert_eq!(seen?, FRESH),
            CausalElse::Stale => assert_eq!(seen?, STALE),
            _ => {
                let error = seen.expect_err("no replica has it").to_string();
                assert!(error.contains("causal_else"), "{error}");
            }
        }
        assert_eq!(Session::new().scope(look(db.clone())).await?, STALE, "who needs nothing is served");
    }
    Ok(())
}
