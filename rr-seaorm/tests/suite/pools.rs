//! SeaORM's pools behind the router, on real servers.

use rr_core::connector::PoolState;
use rr_core::engine::Fault;
use rr_core::topology::Role;
use rr_core::{Connector, Outcome, Request, Requirement, Route, Router};
use rr_seaorm::{NodePool, RoutedConnection, SeaOrmConnector, fault};
use rr_tests::cluster::Cluster;
use rr_tests::wait::wait_until;
use sea_orm::ActiveValue::Set;
use sea_orm::TransactionTrait;
use sea_orm::entity::prelude::*;

use crate::support::{PATIENCE, Result, boot, config, note, until};

async fn routed(replicas: usize) -> Result<(Cluster, Router<SeaOrmConnector>)> {
    let cluster = boot(replicas).await?;
    let router = Router::builder(SeaOrmConnector::new()).config(config(&cluster).build()?).start().await?;
    Ok((cluster, router))
}

fn read() -> Request<'static> {
    Request::read(Requirement::NONE)
}

async fn in_recovery(route: Route<NodePool>) -> Result<bool> {
    let row = route.pool().query_one_raw(sea_orm::Statement::from_string(
        sea_orm::DbBackend::Postgres,
        "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')",
    ));
    let row = row.await?.ok_or("a row")?;
    let (replica, read_only): (bool, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    assert_eq!(read_only == "on", replica, "a replica's sessions are read-only, the primary's are not");
    route.finish(Outcome::Answered);
    Ok(replica)
}

#[tokio::test]
async fn entities_are_read_from_replicas_and_written_to_the_primary() -> Result {
    let (_cluster, router) = routed(2).await?;
    let route = router.route(&Request::write())?;
    let written = note::ActiveModel { text: Set("hello".into()), ..Default::default() };
    let written = written.insert(route.pool().database()).await?;
    route.finish(Outcome::Answered);
    router.process_session().wrote_unplaced(router.now());

    let request = Request::read(router.requirement(None, None));
    let route = router.route_within(&request, PATIENCE).await?;
    assert_eq!(route.role(), Role::Replica);
    assert_eq!(note::Entity::find_by_id(written.id).one(route.pool().database()).await?, Some(written));
    route.finish(Outcome::Answered);

    assert!(in_recovery(router.route(&read())?).await?);
    assert!(!in_recovery(router.route(&Request::write())?).await?);
    Ok(())
}

#[tokio::test]
async fn errors_say_what_they_mean_for_the_node() -> Result {
    let (cluster, router) = routed(1).await?;
    let route = router.route(&read())?;
    let pool = route.pool().database().clone();
    let write = note::ActiveModel { text: Set("refused".into()), ..Default::default() };
    let refused = write.insert(&pool).await.unwrap_err();
    assert_eq!(fault(&refused, Role::Replica), Some(Fault::ReadOnly));
    let missing = pool.execute_unprepared("SELECT * FROM nowhere").await.unwrap_err();
    assert_eq!(fault(&missing, Role::Replica), Some(Fault::NotThereYet));
    assert_eq!(fault(&missing, Role::Primary), None, "on the primary it is the application's mistake");
    let violation = pool.execute_unprepared("SELECT 1 / 0").await.unwrap_err();
    assert_eq!(fault(&violation, Role::Replica), None);
    drop(route);

    let idle = || {
        std::future::ready(Ok::<_, std::convert::Infallible>(
            pool.get_postgres_connection_pool().num_idle() > 0,
        ))
    };
    wait_until(PATIENCE, "the connection to be back in its pool", idle).await?;
    cluster.replica(1)?.kill9().await?;
    let lost = pool.execute_unprepared("SELECT 1").await.unwrap_err();
    assert!(
        matches!(fault(&lost, Role::Replica), Some(Fault::Lost | Fault::ShuttingDown | Fault::Refused)),
        "{lost}"
    );
    let to_primary = || {
        let served = router.route(&read()).is_ok_and(|route| route.role() == Role::Primary);
        std::future::ready(Ok::<_, std::convert::Infallible>(served))
    };
    wait_until(PATIENCE, "reads to leave the dead replica", to_primary).await?;
    assert!(!in_recovery(router.route(&read())?).await?);
    Ok(())
}

#[tokio::test]
async fn a_transaction_waits_for_a_connection_where_none_is_idle() -> Result {
    let cluster = boot(0).await?;
    let settings = config(&cluster).with(|config| config.pool.primary.max = 1);
    let db = RoutedConnection::start(settings.build()?).await?;
    let router = db.router();
    let state = || -> Result<PoolState> {
        let route = router.route(&Request::write())?;
        Ok(router.connector().pool_state(route.pool()).ok_or("a pool has a state")?)
    };
    for _ in 0..3 {
        db.begin().await?.commit().await?;
        until("the connection to be back in its pool", async || Ok(state()?.idle == 1)).await?;
        assert_eq!(state()?.waits, Some(1), "for the first one it was opened");
    }
    let begun = db.begin().await?;
    let (next, ended) = tokio::join!(db.begin(), begun.commit());
    ended?;
    next?.commit().await?;
    assert_eq!(state()?.waits, Some(2));
    Ok(())
}
