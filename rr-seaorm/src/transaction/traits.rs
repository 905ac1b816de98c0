//! SeaORM's traits.

use std::fmt;
use std::pin::Pin;

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseExecutor, DbBackend, DbErr, ExecResult, IntoDatabaseExecutor,
    IsolationLevel, QueryResult, Schema, SchemaBuilder, Statement, StatementBuilder, StreamTrait,
    TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};

use super::{RoutedTransaction, RoutedTransactionStream};
use crate::connection::{BACKEND, Kind};

#[async_trait::async_trait]
impl ConnectionTrait for RoutedTransaction {
    fn get_database_backend(&self) -> DbBackend {
        BACKEND
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        self.root.note(Kind::Text, &stmt.sql)?;
        self.root.in_turn(self.inner().execute_raw(stmt)).await
    }

    async fn execute<S: StatementBuilder>(&self, stmt: &S) -> Result<ExecResult, DbErr> {
        let stmt = self.noted(stmt)?;
        self.root.in_turn(self.inner().execute_raw(stmt)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.root.note(Kind::Text, sql)?;
        self.root.in_turn(self.inner().execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.root.note(Kind::Text, &stmt.sql)?;
        self.root.in_turn(self.inner().query_one_raw(stmt)).await
    }

    async fn query_one<S: StatementBuilder>(&self, stmt: &S) -> Result<Option<QueryResult>, DbErr> {
        let stmt = self.noted(stmt)?;
        self.root.in_turn(self.inner().query_one_raw(stmt)).await
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.root.note(Kind::Text, &stmt.sql)?;
        self.root.in_turn(self.inner().query_all_raw(stmt)).await
    }

    async fn query_all<S: StatementBuilder>(&self, stmt: &S) -> Result<Vec<QueryResult>, DbErr> {
        let stmt = self.noted(stmt)?;
        self.root.in_turn(self.inner().query_all_raw(stmt)).await
    }
}

impl StreamTrait for RoutedTransaction {
    type Stream<'a> = RoutedTransactionStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        BACKEND
    }

    fn stream_raw<'a>(
        &'a self,
        stmt: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        let noted = self.root.note(Kind::Text, &stmt.sql);
        Box::pin(self.rows(noted.map(|()| stmt)))
    }

    fn stream<'a, S: StatementBuilder + Sync>(
        &'a self,
        stmt: &S,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        Box::pin(self.rows(self.noted(stmt)))
    }
}

#[async_trait::async_trait]
impl TransactionTrait for RoutedTransaction {
    type Transaction = Self;

    async fn begin(&self) -> Result<Self, DbErr> {
        self.savepoint(TransactionOptions::default()).await
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<Self, DbErr> {
        self.savepoint(TransactionOptions { isolation_level, access_mode, sqlite_transaction_mode: None })
            .await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        self.savepoint(options).await
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        self.begin().await?.run(callback).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        self.begin_with_config(isolation_level, access_mode).await?.run(callback).await
    }
}

#[async_trait::async_trait]
impl TransactionSession for RoutedTransaction {
    async fn commit(self) -> Result<(), DbErr> {
        Self::commit(self).await
    }

    async fn rollback(self) -> Result<(), DbErr> {
        Self::rollback(self).await
    }
}

impl RoutedTransaction {
    /// What its node is.
    #[must_use]
    pub const fn get_database_backend(&self) -> DbBackend {
        BACKEND
    }

    /// Begins to describe a schema for the database.
    #[must_use]
    pub fn get_schema_builder(&self) -> SchemaBuilder {
        Schema::new(BACKEND).builder()
    }

    fn noted<S: StatementBuilder>(&self, stmt: &S) -> Result<Statement, DbErr> {
        let stmt = BACKEND.build(stmt);
        self.root.note(Kind::of::<S>(), &stmt.sql)?;
        Ok(stmt)
    }
}

impl<'c> IntoDatabaseExecutor<'c> for &'c RoutedTransaction {
    fn into_database_executor(self) -> DatabaseExecutor<'c> {
        DatabaseExecutor::Transaction(self)
    }
}

impl<'c> From<&'c RoutedTransaction> for DatabaseExecutor<'c> {
    fn from(transaction: &'c RoutedTransaction) -> Self {
        Self::Transaction(transaction)
    }
}
