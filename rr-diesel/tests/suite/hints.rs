//! Hints anywhere in a query, on a handle that would otherwise read from a replica.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Bool, Integer};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use futures_util::TryStreamExt;
use rr_core::Consistency;
use rr_core::config::{GroupConfig, GroupFallback, NodeConfig};
use rr_diesel::{RouteHints, RoutedPool};

use crate::support::{PATIENCE, PLACE, Place, Result, boot, note, patient, server_port, until};

diesel::table! {
    comment (id) {
        id -> Integer,
        note_id -> Integer,
    }
}
diesel::joinable!(comment -> note (note_id));
diesel::allow_tables_to_appear_in_same_query!(note, comment);

/// A note with a comment.
const NOTES: &str = "INSERT INTO note (text) VALUES ('a'); \
                     CREATE TABLE comment (id serial PRIMARY KEY, note_id int NOT NULL); \
                     INSERT INTO comment (note_id) VALUES (1)";

fn on_standby() -> diesel::expression::SqlLiteral<Bool> {
    sql::<Bool>("on_standby()")
}

#[tokio::test]
async fn a_hint_may_stand_anywhere() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql(NOTES).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = RoutedPool::start(patient(&cluster).build()?).await?;
    let conn = &mut pool.get().await?;
    let from = note::table;
    macro_rules! goes_to {
        ($standby:expr, $($query:expr),+ $(,)?) => {$(
            let standby: bool = $query.get_result(conn).await?;
            assert_eq!(standby, $standby, stringify!($query));
        )+};
    }
    goes_to!(true, from.select(on_standby()), from.use_replica().select(on_standby()));
    goes_to!(
        false,
        from.use_primary().select(on_standby()),
        from.select(on_standby()).use_primary(),
        from.filter(note::id.gt(0)).use_primary().select(on_standby()).limit(1).offset(0),
        from.use_primary()
            .select(on_standby())
            .filter(note::id.gt(0))
            .or_filter(note::id.lt(0))
            .order(note::id),
        from.use_primary().find(1).select(on_standby()),
        from.use_primary().inner_join(comment::table).select(on_standby()),
        from.use_primary().left_join(comment::table).filter(comment::id.gt(0)).select(on_standby()),
        from.use_primary().inner_join(comment::table.on(comment::note_id.eq(note::id))).select(on_standby()),
        from.inner_join(comment::table).use_primary().select(on_standby()).distinct(),
        from.into_boxed().use_primary().select(on_standby()),
        from.use_primary().into_boxed().filter(note::id.eq(1)).select(on_standby()),
        from.use_primary().group_by(note::id).having(note::id.gt(0)).select(on_standby()),
        from.use_primary().use_replica().select(on_standby()),
        from.select(on_standby()).use_primary().for_update().skip_locked(),
        diesel::select(on_standby()).use_primary(),
        from.select(on_standby()).union(from.select(on_standby())).use_primary(),
        from.select(on_standby()).union(from.select(on_standby()).use_primary()),
    );
    let place: Place = sql_query(PLACE).use_primary().get_result(conn).await?;
    assert!(!place.standby);
    let streamed: Vec<bool> =
        from.select(on_standby()).use_primary().load_stream::<bool>(conn).await?.try_collect().await?;
    assert_eq!(streamed, [false]);
    assert_eq!(from.use_primary().count().get_result::<i64>(conn).await?, 1);
    assert_eq!(from.count().use_primary().first::<i64>(conn).await?, 1);
    let mut guard = conn.on_primary();
    until("the replica to have what was locked", async || {
        Ok(from.select(on_standby()).use_replica().get_result::<bool>(&mut guard).await?)
    })
    .await?;
    assert!(!from.select(on_standby()).get_result::<bool>(&mut guard).await?);
    let plain = &mut AsyncPgConnection::establish(&cluster.replica(1)?.url()).await?;
    assert!(from.use_primary().select(on_standby()).first::<bool>(plain).await?, "nobody listens");
    let strong = from.select(on_standby()).consistency(Consistency::Strong);
    assert!(strong.first::<bool>(plain).await?, "nobody listens");
    let plain = &mut AsyncPgConnection::establish(&cluster.primary().url()).await?;
    assert!(!from.use_replica().select(on_standby()).first::<bool>(plain).await?, "nobody listens");
    Ok(())
}

diesel::table! {
    /// The view of who answers.
    here (port) {
        port -> Integer,
    }
}

/// Its member serves nothing else, and nobody else serves in its place: a hint that is not heard shows at once.
#[tokio::test]
async fn a_group_serves_what_asks_for_it_and_that_may_stand_anywhere() -> Result {
    let cluster = boot(2).await?;
    cluster.primary().sql(NOTES).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let analytics =
        NodeConfig::new(cluster.replica(2)?.url().as_str())?.with_name("big").with_group("analytics");
    let settings = patient(&cluster).with(|config| {
        config.replicas.pop();
        config.replicas.push(analytics);
        config.groups.insert("analytics".into(), GroupConfig::new(GroupFallback::Error, true));
    });
    let pool = RoutedPool::start(settings.build()?).await?;
    let conn = &mut pool.get().await?;
    let from = note::table;
    let [other, member] = [server_port(cluster.replica(1)?)?, server_port(cluster.replica(2)?)?];
    let on_port = || sql::<Integer>("on_port()");
    let counted = || here::table.filter(here::port.eq(member));
    macro_rules! gives {
        ($type:ty: $expected:expr, $($query:expr),+ $(,)?) => {$(
            assert_eq!($query.get_result::<$type>(conn).await?, $expected, stringify!($query));
            let streamed: Vec<$type> = $query.load_stream::<$type>(conn).await?.try_collect().await?;
            assert_eq!(streamed, [$expected], "streamed: {}", stringify!($query));
        )+};
    }
    gives!(i32: other, from.select(on_port()), from.use_replica().select(on_port()));
    gives!(
        i32: member,
        from.select(on_port()).use_group("analytics"),
        from.use_group("analytics").select(on_port()),
        from.use_group("analytics").find(1).select(on_port()),
        from.filter(note::id.gt(0)).use_group("analytics").select(on_port()).order(note::id).limit(1).offset(0),
        from.use_group("analytics").inner_join(comment::table).select(on_port()),
        from.use_group("analytics").left_join(comment::table).filter(comment::id.gt(0)).select(on_port()),
        from.use_group("analytics")
            .inner_join(comment::table.on(comment::note_id.eq(note::id)))
            .select(on_port()),
        from.inner_join(comment::table).use_group("analytics").select(on_port()).distinct(),
        from.into_boxed().use_group("analytics").select(on_port()),
        from.use_group("analytics").into_boxed().filter(note::id.eq(1)).select(on_port()),
        from.use_group("analytics").group_by(note::id).having(note::id.gt(0)).select(on_port()),
        from.use_replica().use_group("analytics").select(on_port()),
        diesel::select(on_port()).use_group("analytics"),
    );
    // A count tells where it was taken by what it counts.
    gives!(i64: 0, counted().count());
    gives!(
        i64: 1,
        counted().count().use_group("analytics"),
        counted().use_group("analytics").count(),
        counted().into_boxed().use_group("analytics").count(),
    );
    gives!(Place: Place { standby: true, port: other }, sql_query(PLACE));
    gives!(Place: Place { standby: true, port: member }, sql_query(PLACE).use_group("analytics"));
    // It is the primary that has to serve these, whoever asks for them.
    gives!(
        i32: server_port(cluster.primary())?,
        from.use_group("analytics").use_primary().select(on_port()),
        from.use_group("analytics").select(on_port()).for_update(),
    );
    let plain = &mut AsyncPgConnection::establish(&cluster.replica(1)?.url()).await?;
    let port: i32 = from.use_group("analytics").select(on_port()).first(plain).await?;
    assert_eq!(port, other, "nobody listens");
    Ok(())
}
