//! Handles and queries that say where they want to go.

use futures_util::TryStreamExt;
use rr_core::Consistency;
use rr_core::config::NodeConfig;
use rr_seaorm::RouteHints;
use sea_orm::{
    ColumnTrait, ConnectionTrait, Database, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::support::{
    Result, boot, config, connect, on_port, on_standby, raw, seen, server_port, standby_serves,
};

#[tokio::test]
async fn a_query_may_say_where_it_wants_to_go() -> Result {
    let cluster = boot(1).await?;
    let db = &connect(&cluster).await?;
    let find = seen::Entity::find;
    assert_eq!(find().all(db).await?.len(), 2);
    assert_eq!(find().use_primary().all(db).await?.len(), 1);
    assert_eq!(
        find()
            .order_by_asc(seen::Column::Id)
            .filter(seen::Column::Id.gt(0))
            .use_primary()
            .all(db)
            .await?
            .len(),
        1
    );
    assert_eq!(find().use_primary().count(db).await?, 1);
    assert_eq!(find().use_primary().paginate(db, 5).num_items().await?, 1);
    assert_eq!(find().use_primary().paginate(db, 5).fetch().await?.len(), 1);
    assert_eq!(find().use_primary().cursor_by(seen::Column::Id).first(5).all(db).await?.len(), 1);
    assert_eq!(find().use_primary().stream(db).await?.try_collect::<Vec<_>>().await?.len(), 1);
    let tuples = find().select_only().column(seen::Column::Id).use_primary().into_tuple::<i32>();
    assert_eq!(tuples.all(db).await?, [1]);
    assert_eq!(find().use_primary().use_replica().all(db).await?.len(), 1, "the primary wins");
    let on_primary = &db.use_primary();
    assert_eq!(find().all(on_primary).await?.len(), 1);
    assert_eq!(find().use_replica().all(on_primary).await?.len(), 2, "the query goes before the handle");
    assert_eq!(find().all(db).await?.len(), 2, "and the handle that it was made from is as it was");
    assert_eq!(db.query_all_raw(raw("/* rr:primary */ SELECT * FROM seen")).await?.len(), 1);
    assert_eq!(on_primary.query_all_raw(raw("SELECT * FROM seen /* rr:replica */")).await?.len(), 2);
    let plain = &Database::connect(cluster.replica(1)?.url()).await?;
    assert_eq!(find().use_primary().all(plain).await?.len(), 2, "nobody listens");
    Ok(())
}

#[tokio::test]
async fn a_handle_may_have_a_level_of_its_own() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    assert!(!on_standby(&db.consistency(Consistency::Strong)).await?);
    cluster.replica(1)?.pause_replay().await?;
    db.execute_unprepared("CREATE TABLE fresh (n int)").await?;
    assert!(!on_standby(&db).await?);
    assert!(on_standby(&db.consistency(Consistency::Eventual)).await?);
    Ok(())
}

#[tokio::test]
async fn replicas_are_asked_for_what_does_not_look_like_a_read() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let described = "SELECT pg_is_in_recovery()";
    assert!(!crate::support::ask::<bool>(&db, described).await?);
    standby_serves(&db).await?;
    assert!(crate::support::ask::<bool>(&db.use_replica(), described).await?);
    // What it refuses is run where it belongs.
    let done = db.use_replica().execute_unprepared("INSERT INTO note (text) VALUES ('x')").await?;
    assert_eq!(done.rows_affected(), 1);
    assert_eq!(crate::support::notes(&db).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_group_serves_what_asks_for_it() -> Result {
    let cluster = boot(2).await?;
    let analytics =
        NodeConfig::new(cluster.replica(2)?.url().as_str())?.with_name("big").with_group("analytics");
    let settings = config(&cluster).with(|config| {
        config.replicas.pop();
        config.replicas.push(analytics);
    });
    let db = crate::support::started(settings).await?.use_group("analytics");
    for _ in 0..20 {
        assert_eq!(on_port(&db).await?, server_port(cluster.replica(2)?)?);
    }
    Ok(())
}
