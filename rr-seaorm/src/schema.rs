//! Schema sync looks at the schema where it will change it: on the primary, or in the transaction.

use sea_orm::sea_query::SelectStatement;
use sea_orm::sqlx::Error;
use sea_orm::{DatabaseConnection, DatabaseTransaction};
use sea_schema::Connection;
use sea_schema::sqlx_types::SqlxRow;

use crate::{RoutedConnection, RoutedTransaction};

/// What schema sync asks first, as if it were any read. It must be answered where the schema is changed: a replica may not yet
/// have the schema that another process has made.
pub(crate) fn begins_sync(sql: &str) -> bool {
    sql.eq_ignore_ascii_case("SELECT CURRENT_SCHEMA()")
}

#[async_trait::async_trait]
impl Connection for RoutedConnection {
    async fn query_all(&self, select: SelectStatement) -> Result<Vec<SqlxRow>, Error> {
        <DatabaseConnection as Connection>::query_all(self, select).await
    }

    async fn query_all_raw(&self, sql: String) -> Result<Vec<SqlxRow>, Error> {
        <DatabaseConnection as Connection>::query_all_raw(self, sql).await
    }
}

#[async_trait::async_trait]
impl Connection for RoutedTransaction {
    async fn query_all(&self, select: SelectStatement) -> Result<Vec<SqlxRow>, Error> {
        <DatabaseTransaction as Connection>::query_all(self, select).await
    }

    async fn query_all_raw(&self, sql: String) -> Result<Vec<SqlxRow>, Error> {
        <DatabaseTransaction as Connection>::query_all_raw(self, sql).await
    }
}
