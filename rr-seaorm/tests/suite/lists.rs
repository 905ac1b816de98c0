//! Lists of URLs: each server has the parameters of its own URL, and no password shows.

use rr_core::Config;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::{Cluster, Node};
use sea_orm::{ConnectOptions, ConnectionTrait};

use crate::support::{Result, ask, boot, standby_serves};

const SECRET: &str = "hush";

fn url(node: &Node, parameters: &str) -> String {
    let url = node.url().replace("app@", &format!("app:{SECRET}@"));
    if parameters.is_empty() { url } else { format!("{url}?{parameters}") }
}

fn parameters(name: &str, lock_timeout: u32) -> String {
    format!("sslmode=prefer&application_name={name}&options=-c%20lock_timeout%3D{lock_timeout}s")
}

/// Every server shows nothing but the names of its clients in their names.
async fn no_name_tells(cluster: &Cluster) -> Result {
    for node in cluster.nodes() {
        let names = "SELECT string_agg(application_name, ' ') FROM pg_stat_activity WHERE usename = 'app'";
        let names = node.admin_query_text(names).await?;
        assert!(!names.contains(SECRET) && !names.contains("://"), "{names}");
    }
    Ok(())
}

/// Where a standby and the primary are, and what they were told.
async fn told(db: &RoutedConnection, setting: &str) -> Result<[String; 2]> {
    standby_serves(db).await?;
    let ask = async |db: RoutedConnection| {
        ask::<String>(&db, &format!("SELECT current_setting('{setting}')")).await
    };
    Ok([ask(db.use_replica()).await?, ask(db.use_primary()).await?])
}

#[tokio::test]
async fn each_url_has_parameters_of_its_own() -> Result {
    let cluster = boot(1).await?;
    let (primary, replica) = (
        url(cluster.primary(), &parameters("writes", 41)),
        url(cluster.replica(1)?, &parameters("reads", 42)),
    );
    let environment = [("RR_PRIMARY_URL", &primary), ("RR_REPLICA_URLS", &replica)];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.clone()));
    let urls = format!("{primary}, {replica}");
    for db in [
        RoutedConnection::connect(urls.as_str()).await?,
        RoutedConnection::connect(urls).await?,
        RoutedConnection::start(Config::default().overlay_env(environment)?).await?,
    ] {
        assert_eq!(told(&db, "application_name").await?, ["reads", "writes"]);
        assert_eq!(told(&db, "lock_timeout").await?, ["42s", "41s"]);
        assert_eq!(ask::<String>(&*db, "SELECT current_setting('lock_timeout')").await?, "41s");
        no_name_tells(&cluster).await?;
    }
    Ok(())
}

/// What stands behind a comma belongs to the next server, whatever is before it.
#[tokio::test]
async fn the_last_parameter_of_a_url_ends_at_the_comma() -> Result {
    let cluster = boot(1).await?;
    for (primary, replica) in [
        ("sslmode=prefer", "sslmode=disable"),
        ("application_name=shop", ""),
        ("application_name=shop", "sslmode=prefer"),
        ("application_name=shop&options=-c%20lock_timeout%3D44s", "application_name=shop"),
        ("statement-cache-capacity=10", "application_name=shop"),
    ] {
        let urls = format!("{},{}", url(cluster.primary(), primary), url(cluster.replica(1)?, replica));
        let db = RoutedConnection::connect(urls).await?;
        let names = told(&db, "application_name").await?;
        assert!(
            names.iter().all(|name| name.is_empty() || name == "shop"),
            "{primary}, {replica}: {names:?}"
        );
        let limits = told(&db, "lock_timeout").await?;
        assert!(
            limits.iter().all(|limit| limit == "0" || limit == "44s"),
            "{primary}, {replica}: {limits:?}"
        );
        no_name_tells(&cluster).await?;
    }
    Ok(())
}

#[tokio::test]
async fn options_may_have_a_list_and_hooks() -> Result {
    let cluster = boot(1).await?;
    let urls = format!("{},{}", url(cluster.primary(), ""), url(cluster.replica(1)?, ""));
    let mut options = ConnectOptions::new(urls);
    options
        .set_application_name("shop")
        .map_sqlx_postgres_opts(|options| options.options([("lock_timeout", "44s")]))
        .after_connect(|db| {
            let made = "CREATE TABLE made_first AS SELECT current_database()::text AS place";
            Box::pin(async move { db.execute_unprepared(made).await.map(drop) })
        });
    let db = RoutedConnection::connect(options).await?;
    assert_eq!(ask::<String>(&db, "SELECT place FROM made_first").await?, "app");
    assert_eq!(told(&db, "application_name").await?, ["shop", "shop"]);
    assert_eq!(told(&db, "lock_timeout").await?, ["44s", "44s"]);
    no_name_tells(&cluster).await
}

/// SeaORM has taken them for something else already.
#[tokio::test]
async fn options_have_no_list_with_parameters() -> Result {
    let cluster = boot(1).await?;
    for (primary, replica) in [("sslmode=prefer", ""), ("", "application_name=x"), ("application_name=x", "")]
    {
        let urls = format!("{},{}", url(cluster.primary(), primary), url(cluster.replica(1)?, replica));
        let error = RoutedConnection::connect(ConnectOptions::new(urls)).await.unwrap_err().to_string();
        assert!(error.contains("RR_REPLICA_URLS") && !error.contains(SECRET), "{error}");
    }
    Ok(())
}
