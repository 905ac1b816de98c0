//! SeaORM's traits.

use std::pin::Pin;

use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    StatementBuilder, StreamTrait, TransactionError, TransactionOptions, TransactionTrait,
};

use super::{Kind, RoutedConnection};
use crate::job::{All, Execute, One, Unprepared};
use crate::stream::RoutedStream;
use crate::transaction::RoutedTransaction;

/// What all nodes are.
pub(crate) const BACKEND: DbBackend = DbBackend::Postgres;

#[async_trait::async_trait]
impl ConnectionTrait for RoutedConnection {
    fn get_database_backend(&self) -> DbBackend {
        BACKEND
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        self.run(Kind::Text, &Execute(&stmt)).await
    }

    async fn execute<S: StatementBuilder>(&self, stmt: &S) -> Result<ExecResult, DbErr> {
        let stmt = BACKEND.build(stmt);
        self.run(Kind::of::<S>(), &Execute(&stmt)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.run(Kind::Text, &Unprepared(sql)).await
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.run(Kind::Text, &One(&stmt)).await
    }

    async fn query_one<S: StatementBuilder>(&self, stmt: &S) -> Result<Option<QueryResult>, DbErr> {
        let stmt = BACKEND.build(stmt);
        self.run(Kind::of::<S>(), &One(&stmt)).await
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(Kind::Text, &All(&stmt)).await
    }

    async fn query_all<S: StatementBuilder>(&self, stmt: &S) -> Result<Vec<QueryResult>, DbErr> {
        let stmt = BACKEND.build(stmt);
        self.run(Kind::of::<S>(), &All(&stmt)).await
    }
}

impl StreamTrait for RoutedConnection {
    type Stream<'a> = RoutedStream;

    fn get_database_backend(&self) -> DbBackend {
        BACKEND
    }

    fn stream_raw<'a>(
        &'a self,
        stmt: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<RoutedStream, DbErr>> + 'a + Send>> {
        Box::pin(self.rows(Kind::Text, stmt))
    }

    fn stream<'a, S: StatementBuilder + Sync>(
        &'a self,
        stmt: &S,
    ) -> Pin<Box<dyn Future<Output = Result<RoutedStream, DbErr>> + 'a + Send>> {
        Box::pin(self.rows(Kind::of::<S>(), BACKEND.build(stmt)))
    }
}

#[async_trait::async_trait]
impl TransactionTrait for RoutedConnection {
    type Transaction = RoutedTransaction;

    async fn begin(&self) -> Result<RoutedTransaction, DbErr> {
        self.begin_transaction(TransactionOptions::default()).await
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<RoutedTransaction, DbErr> {
        let options = TransactionOptions { isolation_level, access_mode, sqlite_transaction_mode: None };
        self.begin_transaction(options).await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<RoutedTransaction, DbErr> {
        self.begin_transaction(options).await
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c RoutedTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
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
        F: for<'c> FnOnce(&'c RoutedTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        self.begin_with_config(isolation_level, access_mode).await?.run(callback).await
    }
}
