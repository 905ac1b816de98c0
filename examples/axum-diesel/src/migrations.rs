//! The database is brought up to date when a process starts.

use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use rr_diesel::RoutedPool;
use rr_example::BoxError;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Several processes may start at once, and only one at a time may do this. The lock is the session's, so that it and the
/// migrations are on one connection to the primary; it ends with that connection.
pub(crate) async fn run(pool: &RoutedPool) -> Result<(), BoxError> {
    let mut conn = pool.get().await?;
    conn.batch_execute("SELECT pg_advisory_lock(20261121)").await?;
    AsyncMigrationHarness::new(conn).run_pending_migrations(MIGRATIONS)?;
    Ok(())
}
