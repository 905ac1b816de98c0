//! The hints are the same ones.

use diesel::connection::DefaultLoadingMode;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Bool, Integer};
use rr_core::Consistency;
use rr_core::config::{GroupConfig, GroupFallback, NodeConfig};
use rr_diesel::RouteHints;

use super::{RoutedPool, place};
use crate::hints::here;
use crate::support::{PATIENCE, PLACE, Place, Result, boot, note, patient, server_port};

#[tokio::test(flavor = "multi_thread")]
async fn hints_count_each_time_also_for_queries_whose_type_is_known() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql("INSERT INTO note (text) VALUES ('a')").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = RoutedPool::start(patient(&cluster).build()?)?;
    let conn = &mut pool.handle();
    let on_standby = || sql::<Bool>("on_standby()");
    let from = note::table;
    for _ in 0..3 {
        // All of one statement, the same text and the same type.
        assert!(from.select(on_standby()).get_result::<bool>(conn)?);
        assert!(!from.select(on_standby()).use_primary().get_result::<bool>(conn)?);
        assert!(!from.use_primary().select(on_standby()).get_result::<bool>(conn)?);
        assert!(!from.filter(note::id.gt(0)).use_primary().select(on_standby()).get_result::<bool>(conn)?);
        assert!(
            !from
                .select(on_standby())
                .union(from.select(on_standby()))
                .use_primary()
                .get_result::<bool>(conn)?
        );
        assert!(!sql_query(PLACE).use_primary().get_result::<Place>(conn)?.standby);
        assert!(place(conn)?.standby);
        // Without a literal, whose text could be anything, the type says what the text is.
        let typed = from.select((note::id, note::text)).order(note::id);
        let served = || ["primary", "replica-1"].map(|name| total(&pool, name));
        let before = served();
        typed.first::<(i32, String)>(conn)?;
        typed.use_primary().first::<(i32, String)>(conn)?;
        let after = served();
        assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 1]);
    }
    assert!(!place(conn.use_primary())?.standby);
    assert!(place(conn)?.standby, "for one statement");
    {
        let mut conn = conn.on_primary();
        assert!(!place(&mut conn)?.standby);
        assert!(place(conn.use_replica())?.standby);
        assert!(!place(&mut conn)?.standby);
    }
    assert!(place(conn)?.standby, "until the guard is dropped");
    assert!(sql_query(PLACE).get_result::<Place>(conn.replica()?)?.standby);
    let nobody_listens = "nobody listens";
    let plain = &mut PgConnection::establish(&cluster.replica(1)?.url())?;
    assert!(from.use_primary().select(on_standby()).first::<bool>(plain)?, "{nobody_listens}");
    let strong = from.select(on_standby()).consistency(Consistency::Strong);
    assert!(strong.first::<bool>(plain)?, "{nobody_listens}");
    assert!(from.use_group("none").select(on_standby()).first::<bool>(plain)?, "{nobody_listens}");
    let plain = &mut PgConnection::establish(&cluster.primary().url())?;
    assert!(!from.use_replica().select(on_standby()).first::<bool>(plain)?, "{nobody_listens}");
    Ok(())
}

/// Its member serves nothing else, and nobody else serves in its place: a hint that is not heard shows at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_serves_what_asks_for_it() -> Result {
    let cluster = boot(2).await?;
    cluster.primary().sql("INSERT INTO note (text) VALUES ('a')").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let analytics = NodeConfig::new(cluster.replica(2)?.url().as_str())?.with_name("big");
    let settings = patient(&cluster).with(|config| {
        config.replicas[1] = analytics.with_group("analytics");
        config.groups.insert("analytics".into(), GroupConfig::new(GroupFallback::Error, true));
    });
    let pool = RoutedPool::start(settings.build()?)?;
    let conn = &mut pool.handle();
    let [other, member] = [server_port(cluster.replica(1)?)?, server_port(cluster.replica(2)?)?];
    let (from, on_port) = (note::table, || sql::<Integer>("on_port()"));
    macro_rules! gives {
        ($type:ty: $expected:expr, $($query:expr),+ $(,)?) => {$(
            assert_eq!($query.get_result::<$type>(conn)?, $expected, stringify!($query));
            let each: QueryResult<Vec<$type>> = $query.load_iter::<$type, DefaultLoadingMode>(conn)?.collect();
            assert_eq!(each?, [$expected], "one by one: {}", stringify!($query));
        )+};
    }
    let counted = || here::table.filter(here::port.eq(member));
    gives!(i32: other, from.select(on_port()));
    gives!(
        i32: member,
        from.select(on_port()).use_group("analytics"),
        from.use_group("analytics").find(1).select(on_port()),
        from.use_group("analytics").into_boxed().filter(note::id.eq(1)).select(on_port()),
        diesel::select(on_port()).use_group("analytics"),
    );
    gives!(i64: 0, counted().count());
    gives!(i64: 1, counted().count().use_group("analytics"), counted().use_group("analytics").count());
    gives!(Place: Place { standby: true, port: member }, sql_query(PLACE).use_group("analytics"));
    Ok(())
}

fn total(pool: &RoutedPool, node: &str) -> u64 {
    rr_core::RouteReason::ALL.into_iter().map(|reason| pool.router().routed(node, reason)).sum()
}
