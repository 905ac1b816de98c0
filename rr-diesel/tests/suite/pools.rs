//! Foreign pools of handles, and what all handles of the same nodes share.

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8, deadpool};
use diesel_async::{AsyncConnection, RunQueryDsl};
use rr_diesel::RoutedPgConnection;
use rr_tests::cluster::{Cluster, Node};

use crate::support::{PLACE, Place, Result, boot, note, place, until};

pub(crate) fn urls(cluster: &Cluster) -> String {
    cluster.nodes().iter().map(Node::url).collect::<Vec<_>>().join(",")
}

/// The connections of clients that a server has, without the one that asks and the monitor's.
async fn clients(node: &Node) -> Result<i64> {
    let count = "SELECT count(*)::text FROM pg_stat_activity WHERE backend_type = 'client backend' \
                 AND pid <> pg_backend_pid()";
    Ok(node.admin_query_text(count).await?.parse()?)
}

#[tokio::test]
async fn pools_of_bb8_and_deadpool_route_and_share_their_nodes() -> Result {
    let cluster = boot(1).await?;
    let manager = || AsyncDieselConnectionManager::<RoutedPgConnection>::new(urls(&cluster));
    let bb8: bb8::Pool<RoutedPgConnection> =
        bb8::Pool::builder().max_size(20).min_idle(20).build(manager()).await?;
    let deadpool: deadpool::Pool<RoutedPgConnection> =
        deadpool::Pool::builder(manager()).max_size(20).build()?;
    let replica = cluster.replica(1)?;
    for _ in 0..10 {
        let mut one = bb8.get().await?;
        let mut two = deadpool.get().await?;
        let there: Place = sql_query(PLACE).get_result(&mut one).await?;
        assert!(there.standby);
        let there: Place = sql_query(PLACE).get_result(&mut two).await?;
        assert!(there.standby);
    }
    assert!(clients(replica).await? <= 3, "the monitor, and a connection for one read at a time");
    let mut one = bb8.get().await?;
    diesel::insert_into(note::table).values(note::text.eq("seen")).execute(&mut one).await?;
    let mut two = deadpool.get().await?;
    assert_eq!(
        note::table.count().get_result::<i64>(&mut two).await?,
        1,
        "what one pool wrote the other reads"
    );
    one.transaction::<_, diesel::result::Error, _>(async |conn| {
        diesel::insert_into(note::table).values(note::text.eq("inside")).execute(conn).await
    })
    .await?;
    drop(one);
    assert_eq!(note::table.count().get_result::<i64>(&mut two).await?, 2);
    sql_query("SET application_name = 'kept'").execute(&mut two).await?;
    drop(two);
    for _ in 0..20 {
        let mut handle = deadpool.get().await?;
        let name = "SELECT current_setting('application_name') = 'kept' AS standby";
        assert!(!crate::support::standby_says(&mut *handle, name).await?, "a session is not handed on");
    }
    drop((bb8, deadpool));
    until("everything to be closed", async || Ok(clients(replica).await? == 0)).await?;
    Ok(())
}

#[tokio::test]
async fn a_handle_can_be_established_alone() -> Result {
    let cluster = boot(1).await?;
    let mut conn = RoutedPgConnection::establish(&urls(&cluster)).await?;
    assert!(place(&mut conn).await?.standby);
    let mut alone = RoutedPgConnection::establish(&cluster.primary().url()).await?;
    assert!(!place(&mut alone).await?.standby);
    for wrong in ["", "nonsense", "mysql://root@127.0.0.1/x"] {
        assert!(RoutedPgConnection::establish(wrong).await.is_err(), "{wrong:?}");
    }
    Ok(())
}

/// Each server has the parameters of its own URL.
#[tokio::test]
async fn a_list_of_urls_may_have_parameters() -> Result {
    let cluster = boot(1).await?;
    let url = |node: &Node, name: &str| {
        let url = node.url().replace("app@", "app:hush@");
        format!("{url}?application_name={name}&options=-c%20lock_timeout%3D44s&sslmode=prefer")
    };
    let urls = format!("{},{}", url(cluster.primary(), "writes"), url(cluster.replica(1)?, "reads"));
    let mut conn = RoutedPgConnection::establish(&urls).await?;
    let told = "current_setting('lock_timeout') = '44s' AND current_setting('application_name')";
    let reads = format!("SELECT {told} = 'reads' AS standby");
    until("the standby to serve", async || Ok(crate::support::standby_says(&mut conn, &reads).await?))
        .await?;
    let writes = format!("/* rr:primary */ SELECT {told} = 'writes' AS standby");
    assert!(crate::support::standby_says(&mut conn, &writes).await?);
    for node in cluster.nodes() {
        let names =
            "SELECT string_agg(DISTINCT application_name, ' ') FROM pg_stat_activity WHERE usename = 'app'";
        let names = node.admin_query_text(names).await?;
        assert!(["reads", "writes"].contains(&names.as_str()), "{names}");
    }
    Ok(())
}

#[tokio::test]
async fn a_pool_starts_with_notifiers() -> Result {
    let (sender, mut heard) = tokio::sync::mpsc::channel(64);
    let config = rr_core::Config::builder().primary("postgres://app@127.0.0.1:1/shop");
    let config = config.with(|config| config.startup_wait = std::time::Duration::ZERO).build()?;
    let pool = rr_diesel::RoutedPool::start_as(config, |router| {
        router.on_notice(move |told| drop(sender.blocking_send(told.text.clone())))
    })
    .await?;
    let first = tokio::time::timeout(rr_tests::wait::PATIENCE, heard.recv()).await?;
    assert_eq!(first.as_deref(), Some("`primary` joined"));
    pool.router().shutdown().await;
    Ok(())
}
