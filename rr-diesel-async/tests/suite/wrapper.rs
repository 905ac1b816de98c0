//! Diesel's synchronous interface over the swapped connection.

use diesel::Connection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use plain_diesel_async as plain;
use rr_diesel_async::AsyncPgConnection;
use rr_diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use rr_tests::cluster::{Cluster, Node};

use crate::{Error, PATIENCE};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../rr-diesel/tests/application/migrations");

/// The replica shows for ever that nothing has been run.
#[tokio::test(flavor = "multi_thread")]
async fn migrations_through_the_wrapper_run_on_the_primary() -> Result<(), Error> {
    let cluster = Cluster::builder().replicas(1).start().await?;
    // Where migrations are written down is there already, and empty.
    let table = "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
                 run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";
    cluster.primary().sql(table).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.replica(1)?.pause_replay().await?;
    let urls: Vec<String> = cluster.nodes().iter().map(Node::url).collect();
    let migrating = tokio::task::spawn_blocking(move || {
        let mut other = AsyncConnectionWrapper::<plain::AsyncPgConnection>::establish(&urls[0])?;
        let all = other.run_pending_migrations(MIGRATIONS)?.len();
        let mut conn = AsyncConnectionWrapper::<AsyncPgConnection>::establish(&urls.join(","))?;
        assert_eq!(conn.run_pending_migrations(MIGRATIONS)?.len(), 0, "the other one ran them");
        assert_eq!(conn.revert_all_migrations(MIGRATIONS)?.len(), all);
        let mut again = AsyncConnectionWrapper::<AsyncPgConnection>::establish(&urls.join(","))?;
        assert_eq!(again.run_pending_migrations(MIGRATIONS)?.len(), all);
        assert_eq!(conn.run_pending_migrations(MIGRATIONS)?.len(), 0);
        Ok::<_, Error>(all)
    });
    let count = "SELECT count(*)::text FROM __diesel_schema_migrations";
    assert_eq!(migrating.await??.to_string(), cluster.primary().query_text(count).await?);
    Ok(())
}
