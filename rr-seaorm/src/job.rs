//! What can be asked of one connection, as data: it may be asked of several, one after the other.

use sea_orm::sqlx::postgres::{PgConnection, Postgres};
use sea_orm::sqlx::{self, AssertSqlSafe, Connection as _, Executor};
use sea_orm::{DbErr, ExecResult, QueryResult, Statement, Values};
use sea_query_sqlx::SqlxValues;

use crate::connection::Taken;
use crate::error;

/// Something to run on a connection, and perhaps again on another.
pub(crate) trait Job: Sync {
    /// What it gives.
    type Out: Send;

    /// Its text.
    fn sql(&self) -> &str;

    /// The statement, if it is one that is prepared.
    fn statement(&self) -> Option<&Statement>;

    /// Runs it.
    fn run(&self, conn: &mut PgConnection) -> impl Future<Output = Result<Self::Out, DbErr>> + Send;
}

/// The number of rows that it changes.
pub(crate) struct Execute<'a>(pub(crate) &'a Statement);

/// Text that may hold several statements.
pub(crate) struct Unprepared<'a>(pub(crate) &'a str);

/// The first row.
pub(crate) struct One<'a>(pub(crate) &'a Statement);

/// All rows.
pub(crate) struct All<'a>(pub(crate) &'a Statement);

pub(crate) fn prepared(statement: &Statement) -> sqlx::query::Query<'_, Postgres, SqlxValues> {
    let values = statement.values.clone().unwrap_or(Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values))
}

/// How a transaction begins in which nothing can be written.
pub(crate) const READ_ONLY: &str = "BEGIN READ ONLY";

/// Runs it where nothing can be written, on whatever server.
///
/// The driver forgets a BEGIN whose future is dropped, and would hand the connection on with the transaction open: then it is
/// closed instead.
pub(crate) async fn reading_only<J: Job>(job: &J, conn: &mut Taken) -> Result<J::Out, DbErr> {
    let mut closing = CloseUnlessDone { conn, done: false };
    let result = read_only(job, closing.conn).await;
    closing.done = true;
    result
}

async fn read_only<J: Job>(job: &J, conn: &mut PgConnection) -> Result<J::Out, DbErr> {
    let mut transaction = conn.begin_with(READ_ONLY).await.map_err(error::query)?;
    let out = job.run(&mut transaction).await?;
    transaction.commit().await.map_err(error::query)?;
    Ok(out)
}

struct CloseUnlessDone<'a> {
    conn: &'a mut Taken,
    done: bool,
}

impl Drop for CloseUnlessDone<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.conn.close_on_drop();
        }
    }
}

impl Job for Execute<'_> {
    type Out = ExecResult;

    fn sql(&self) -> &str {
        &self.0.sql
    }

    fn statement(&self) -> Option<&Statement> {
        Some(self.0)
    }

    async fn run(&self, conn: &mut PgConnection) -> Result<ExecResult, DbErr> {
        prepared(self.0).execute(conn).await.map(Into::into).map_err(error::exec)
    }
}

impl Job for Unprepared<'_> {
    type Out = ExecResult;

    fn sql(&self) -> &str {
        self.0
    }

    fn statement(&self) -> Option<&Statement> {
        None
    }

    async fn run(&self, conn: &mut PgConnection) -> Result<ExecResult, DbErr> {
        conn.execute(AssertSqlSafe(self.0)).await.map(Into::into).map_err(error::exec)
    }
}

impl Job for One<'_> {
    type Out = Option<QueryResult>;

    fn sql(&self) -> &str {
        &self.0.sql
    }

    fn statement(&self) -> Option<&Statement> {
        Some(self.0)
    }

    async fn run(&self, conn: &mut PgConnection) -> Result<Option<QueryResult>, DbErr> {
        match prepared(self.0).fetch_one(conn).await {
            Ok(row) => Ok(Some(row.into())),
            Err(sqlx::Error::RowNotFound) => Ok(None),
            Err(error) => Err(error::query(error)),
        }
    }
}

impl Job for All<'_> {
    type Out = Vec<QueryResult>;

    fn sql(&self) -> &str {
        &self.0.sql
    }

    fn statement(&self) -> Option<&Statement> {
        Some(self.0)
    }

    async fn run(&self, conn: &mut PgConnection) -> Result<Vec<QueryResult>, DbErr> {
        let rows = prepared(self.0).fetch_all(conn).await.map_err(error::query)?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}
