//! What code that was written for a plain connection expects of one.

use std::future;

use diesel::associations::{HasTable, Identifiable};
use diesel::connection::{CacheSize, DynInstrumentation, Instrumentation, TransactionManagerStatus};
use diesel::pg::Pg;
use diesel::query_builder::{
    AsChangeset, AsQuery, IntoUpdateTarget, QueryFragment, QueryId, UpdateStatement,
};
use diesel::query_dsl::methods::FindDsl;
use diesel::{ConnectionResult, QueryResult, Table};
use diesel_async::methods::LoadQuery;
use diesel_async::pooled_connection::{PoolableConnection, RecyclingMethod};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
    UpdateAndFetchResults,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use rr_core::adapter::Way;

use super::RoutedPgConnection;
use super::read::{Answer, Read};
use crate::instrument::Shared;
use crate::lower::Lowered;
use crate::run::Want;
use crate::stream::{PgRow, RoutedStream};
use crate::transaction::RoutedTransactionManager;

impl RoutedPgConnection {
    #[inline]
    fn start_load<'a>(
        &'a self,
        lowered: QueryResult<Lowered<'a>>,
    ) -> BoxFuture<'a, QueryResult<RoutedStream>> {
        self.start(lowered, Want::Rows, |answer| match answer {
            Answer::Rows(rows) => rows,
            Answer::Count(_) => unreachable!("rows were asked for"),
        })
    }

    #[inline]
    fn start_execute<'a>(&'a self, lowered: QueryResult<Lowered<'a>>) -> BoxFuture<'a, QueryResult<usize>> {
        self.start(lowered, Want::Count, |answer| match answer {
            Answer::Count(count) => count,
            Answer::Rows(_) => unreachable!("a count was asked for"),
        })
    }

    /// What is run often has a future of its own, without room for what is rare: it is small enough to be allocated cheaply.
    fn start<'a, T: Send + 'a>(
        &'a self,
        lowered: QueryResult<Lowered<'a>>,
        want: Want,
        of: impl FnOnce(Answer) -> T + Send + 'a,
    ) -> BoxFuture<'a, QueryResult<T>> {
        match (lowered, self.pin.get()) {
            (Err(error), _) => future::ready(Err(error)).boxed(),
            (Ok(mut lowered), Some(pin)) => {
                async move { self.run_on(pin, &mut lowered, want).await.map(of) }.boxed()
            }
            (Ok(mut lowered), None) if lowered.way() == Way::Read => async move {
                match self.read(&mut lowered, want).await? {
                    Read::Answered(answer) => Ok(of(answer)),
                    Read::IsWrite { was_doubted } => {
                        self.write_instead(lowered, want, was_doubted).await.map(of)
                    }
                }
            }
            .boxed(),
            (Ok(lowered), None) => {
                let lowered = lowered.kept();
                async move { self.run(lowered, want).await.map(of) }.boxed()
            }
        }
    }
}

impl SimpleAsyncConnection for RoutedPgConnection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.run_batch(query).await
    }
}

impl SimpleAsyncConnection for &RoutedPgConnection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.run_batch(query).await
    }
}

impl AsyncConnectionCore for RoutedPgConnection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Self::Stream<'conn, 'query>>>;
    type Stream<'conn, 'query> = RoutedStream;
    type Row<'conn, 'query> = PgRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Self::Backend> + QueryId + 'query,
    {
        let lowered = self.lower(&source.as_query());
        self.start_load(lowered)
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Self::Backend> + QueryId + 'query,
    {
        let lowered = self.lower(&source);
        self.start_execute(lowered)
    }
}

/// Statements through a shared reference run at the same time: on the connection that the handle keeps one behind the
/// other without waiting for answers, and otherwise each on a connection of its own.
impl<'a> AsyncConnectionCore for &'a RoutedPgConnection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'a, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'a, QueryResult<Self::Stream<'conn, 'query>>>;
    type Stream<'conn, 'query> = RoutedStream;
    type Row<'conn, 'query> = PgRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Self::Backend> + QueryId + 'query,
    {
        let lowered = self.lower(&source.as_query());
        self.start_load(lowered)
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Self::Backend> + QueryId + 'query,
    {
        let lowered = self.lower(&source);
        self.start_execute(lowered)
    }
}

impl AsyncConnection for RoutedPgConnection {
    type TransactionManager = RoutedTransactionManager;

    /// `database_url` is the primary's URL, or that and those of replicas, separated by commas.
    async fn establish(database_url: &str) -> ConnectionResult<Self> {
        crate::establish::establish(database_url).await
    }

    fn transaction_state(&mut self) -> &mut TransactionManagerStatus {
        self.status()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.instrumentation.get_or_insert_with(|| Shared::new(DynInstrumentation::none()))
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        let shared = &*self.instrumentation.insert(Shared::new(instrumentation.into()));
        if let Some(pin) = self.pin.get_mut() {
            pin.checkout.connection_mut().tell(Some(shared));
        }
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.cache = size;
        if let Some(pin) = self.pin.get_mut() {
            pin.checkout.connection_mut().set_cache(size);
        }
    }
}

/// For pools of handles. A handle that is kept on a connection is closed rather than given to somebody else.
impl PoolableConnection for RoutedPgConnection {
    /// A handle holds no connection that could have died, so that the usual query is spared.
    async fn ping(&mut self, config: &RecyclingMethod<Self>) -> QueryResult<()> {
        match config {
            RecyclingMethod::Fast | RecyclingMethod::Verified => Ok(()),
            RecyclingMethod::CustomQuery(query) => self.batch_execute(query).await,
            RecyclingMethod::CustomFunction(check) => check(self).await,
        }
    }

    fn is_broken(&mut self) -> bool {
        self.put_back();
        RoutedTransactionManager::is_broken_transaction_manager(self)
    }
}

impl<'b, Changes, Output, Tab, V> UpdateAndFetchResults<Changes, Output> for RoutedPgConnection
where
    Output: Send + 'static,
    Changes: Copy + AsChangeset<Target = Tab> + Send + Identifiable<Table = Tab> + HasTable,
    Tab: Table + FindDsl<Changes::Id> + 'b,
    diesel::dsl::Find<Tab, Changes::Id>: IntoUpdateTarget<Table = Tab, WhereClause = V>,
    UpdateStatement<Tab, V, Changes::Changeset>: AsQuery,
    diesel::dsl::Update<Changes, Changes>: LoadQuery<'b, Self, Output>,
    V: Send + 'b,
    Changes::Changeset: Send + 'b,
    Tab::FromClause: Send,
{
    fn update_and_fetch<'conn, 'changes>(
        &'conn mut self,
        changeset: Changes,
    ) -> BoxFuture<'changes, QueryResult<Output>>
    where
        Changes: 'changes,
        'conn: 'changes,
        Self: 'changes,
    {
        async move { diesel::update(changeset).set(changeset).get_result(self).await }.boxed()
    }
}
