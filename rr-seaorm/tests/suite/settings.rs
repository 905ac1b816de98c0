//! SeaORM's own settings, for all nodes or for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rr_core::config::{Config, ConfigBuilder};
use rr_core::{Request, Requirement};
use rr_seaorm::{RoutedConnection, routing_error};
use rr_tests::wait::wait_for;
use sea_orm::sqlx::Executor as _;
use sea_orm::{AccessMode, ConnectOptions, ConnectionTrait, DatabaseConnection, TransactionTrait};

use crate::support::{PATIENCE, Result, ask, boot, on_standby, standby_serves, until};

/// What a server's session says of its settings.
async fn setting(db: &impl ConnectionTrait, name: &str) -> Result<String> {
    Ok(ask(db, &format!("SELECT current_setting('{name}')")).await?)
}

#[tokio::test]
async fn options_hold_for_all_nodes() -> Result {
    let cluster = boot(1).await?;
    let mut options = ConnectOptions::new(cluster.primary().url());
    options
        .max_connections(3)
        .set_application_name("shop")
        .set_schema_search_path("audit")
        .statement_timeout(Duration::from_secs(33))
        .sqlx_logging(false)
        .map_sqlx_postgres_opts(|options| options.options([("lock_timeout", "44s")]));
    cluster.primary().sql("CREATE SCHEMA audit; CREATE TABLE audit.here AS SELECT 1 AS n").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let replica = cluster.replica(1)?.url();
    let db = RoutedConnection::connect_with(options, |config| config.replica(replica.as_str())).await?;
    until("the standby to serve", async || Ok(ask::<bool>(&db, "SELECT public.on_standby()").await?)).await?;
    for db in [db.clone(), db.use_primary()] {
        assert_eq!(setting(&db, "application_name").await?, "shop");
        assert_eq!(setting(&db, "statement_timeout").await?, "33s");
        assert_eq!(setting(&db, "lock_timeout").await?, "44s");
        assert_eq!(ask::<i32>(&db, "SELECT n FROM here").await?, 1);
    }
    assert_eq!(setting(&*db, "application_name").await?, "shop", "and for plain references");
    assert_eq!(ask::<i32>(&*db, "SELECT n FROM here").await?, 1);
    assert_eq!(db.router().config().pool.primary.max, 3);
    assert_eq!(
        db.router().config().pool.primary.checkout_timeout,
        Config::default().pool.primary.checkout_timeout
    );
    Ok(())
}

#[tokio::test]
async fn a_list_of_urls_has_all_nodes() -> Result {
    let cluster = boot(1).await?;
    let urls = format!("{},{}", cluster.primary().url(), cluster.replica(1)?.url());
    let db = RoutedConnection::connect(urls).await?;
    standby_serves(&db).await?;
    assert!(!on_standby(&db.use_primary()).await?);
    assert!(!on_standby(&*db).await?);
    Ok(())
}

#[tokio::test]
async fn options_may_differ_from_node_to_node() -> Result {
    let cluster = boot(1).await?;
    let mut primary = ConnectOptions::new(cluster.primary().url());
    primary.set_application_name("writes");
    let mut replica = ConnectOptions::new(cluster.replica(1)?.url());
    replica.set_application_name("reads").max_connections(2).idle_timeout(None);
    let db = RoutedConnection::connect_nodes(primary, [replica]).await?;
    standby_serves(&db).await?;
    assert_eq!(setting(&db, "application_name").await?, "reads");
    assert_eq!(setting(&db.use_primary(), "application_name").await?, "writes");
    let node = &db.router().config().replicas[0].pool;
    assert_eq!((node.max, node.idle_timeout), (Some(2), Some(Duration::MAX)));
    Ok(())
}

#[tokio::test]
async fn a_replicas_url_says_how_many_statements_its_connections_keep() -> Result {
    let cluster = boot(1).await?;
    let replica = format!("{}?statement-cache-capacity=1", cluster.replica(1)?.url());
    let settings = |config: ConfigBuilder| {
        let single = |config: &mut Config| (config.pool.primary.max, config.pool.replica.max) = (1, 1);
        config.replica(replica.as_str()).with(single)
    };
    let config = settings(Config::builder().primary(cluster.primary().url())).build()?;
    for db in [
        RoutedConnection::start(config).await?,
        RoutedConnection::connect_with(cluster.primary().url(), settings).await?,
    ] {
        let kept = async |db: &RoutedConnection| -> Result<(bool, i64)> {
            let transaction = db.begin_with_config(None, Some(AccessMode::ReadOnly)).await?;
            ask::<i32>(&transaction, "SELECT 1").await?;
            let kept = ask::<i64>(&transaction, "SELECT count(*) FROM pg_prepared_statements").await?;
            Ok((on_standby(&transaction).await?, kept))
        };
        // The primary may have to stand in for a moment.
        let standby =
            async || Ok::<_, Box<dyn std::error::Error>>(Some(kept(&db).await?).filter(|kept| kept.0));
        assert_eq!(wait_for(PATIENCE, "a standby to serve", standby).await?.1, 1);
        assert!(kept(&db.use_primary()).await?.1 > 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_says_why() -> Result {
    let cluster = boot(1).await?;
    let missing = format!("{}_not", cluster.primary().url());
    let error = RoutedConnection::connect_nodes(missing.as_str(), [] as [&str; 0]).await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    let mut lazy = ConnectOptions::new(missing);
    lazy.connect_lazy(true);
    RoutedConnection::connect_nodes(lazy, [] as [&str; 0]).await?;
    let standby =
        RoutedConnection::connect_with(cluster.replica(1)?.url(), |config| config.write_wait(Duration::ZERO));
    let error = standby.await.unwrap_err();
    assert!(routing_error(&error).is_some(), "a standby is no primary: {error}");
    let error = RoutedConnection::connect("postgres://app:secret@[broken/shop").await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_is_to_be_done_after_connecting_is_done() -> Result {
    let cluster = boot(1).await?;
    let mut options = ConnectOptions::new(cluster.primary().url());
    options.after_connect(|db| {
        Box::pin(
            async move { db.execute_unprepared("CREATE TABLE made_first AS SELECT 8 AS n").await.map(drop) },
        )
    });
    let replica = cluster.replica(1)?.url();
    let db = RoutedConnection::connect_with(options, |config| config.replica(replica.as_str())).await?;
    assert_eq!(ask::<i32>(&db, "SELECT n FROM made_first").await?, 8);
    Ok(())
}

#[tokio::test]
async fn a_dead_replica_keeps_nobody_from_starting() -> Result {
    let cluster = boot(1).await?;
    cluster.replica(1)?.kill9().await?;
    let mut replica = ConnectOptions::new(cluster.replica(1)?.url());
    replica.after_connect(|db| Box::pin(async move { db.execute_unprepared("SELECT 1").await.map(drop) }));
    let db = RoutedConnection::connect_nodes(cluster.primary().url(), [replica]).await?;
    assert_eq!(ask::<i32>(&db, "SELECT 7").await?, 7);
    Ok(())
}

#[tokio::test]
async fn what_a_pool_does_to_each_connection_is_done_to_all() -> Result {
    let cluster = boot(1).await?;
    let replica = cluster.replica(1)?.url();
    let mut options = ConnectOptions::new(cluster.primary().url());
    options.max_connections(3).map_sqlx_postgres_pool_opts(|pool| {
        pool.after_connect(|connection, _| {
            Box::pin(async move { connection.execute("SET lock_timeout = '44s'").await.map(drop) })
        })
    });
    let routed = RoutedConnection::connect_with(options, |config| config.replica(replica.as_str()));
    let db = routed.await?;
    standby_serves(&db).await?;
    for handle in [db.use_replica(), db.use_primary()] {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(handle.begin_with_config(None, Some(AccessMode::ReadOnly)).await?);
        }
        for transaction in held {
            assert_eq!(setting(&transaction, "lock_timeout").await?, "44s");
        }
    }
    let plain: &DatabaseConnection = &db;
    for transaction in [plain.begin().await?, plain.begin().await?] {
        assert_eq!(setting(&transaction, "lock_timeout").await?, "44s");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_to_be_done_before_a_connection_is_used_is_done_each_time() -> Result {
    let cluster = boot(1).await?;
    let replica = cluster.replica(1)?.url();
    let used = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&used);
    let mut options = ConnectOptions::new(cluster.primary().url());
    options.max_connections(1).map_sqlx_postgres_before_acquire(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(true) })
    });
    let routed = RoutedConnection::connect_with(options, |config| config.replica(replica.as_str()));
    let db = routed.await?;
    standby_serves(&db).await?;
    for (handle, request) in
        [(db.use_replica(), Request::read(Requirement::NONE)), (db.use_primary(), Request::write())]
    {
        on_standby(&handle).await?;
        let before = used.load(Ordering::SeqCst);
        for _ in 0..4 {
            let back = async || Ok(db.router().route(&request)?.pool().connections().1 == 1);
            until("the connection to be back", back).await?;
            on_standby(&handle).await?;
        }
        assert_eq!(used.load(Ordering::SeqCst) - before, 4);
    }
    Ok(())
}

#[test]
fn connections_are_shared_by_tasks() {
    fn is_shared<T: Clone + std::fmt::Debug + Send + Sync + 'static>() {}
    fn is_sent<T: std::fmt::Debug + Send + Sync + 'static>() {}
    is_shared::<RoutedConnection>();
    is_sent::<rr_seaorm::RoutedTransaction>();
}

#[tokio::test]
async fn a_connection_starts_with_notifiers() -> Result {
    let (sender, mut heard) = tokio::sync::mpsc::channel(64);
    let config = Config::builder().primary("postgres://app@127.0.0.1:1/shop");
    let config = config.with(|config| config.startup_wait = Duration::ZERO).build()?;
    let db = RoutedConnection::start_as(config, |router| {
        router.on_notice(move |told| drop(sender.blocking_send(told.text.clone())))
    })
    .await?;
    let first = tokio::time::timeout(PATIENCE, heard.recv()).await?;
    assert_eq!(first.as_deref(), Some("`primary` joined"));
    db.router().shutdown().await;
    Ok(())
}
