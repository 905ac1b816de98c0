//! What code that was written for a plain connection expects of one.

use std::any::Any;

use diesel::connection::{
    CacheSize, Connection, ConnectionSealed, Instrumentation, MultiConnectionHelper, SimpleConnection,
    TransactionManager, TransactionManagerStatus,
};
use diesel::migration::MigrationConnection;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::query_dsl::UpdateAndFetchResults;
use diesel::r2d2::R2D2Connection;
use diesel::sql_types::TypeMetadata;
use diesel::{ConnectionResult, QueryResult};

use rr_core::adapter::Wish;

use super::backend::Routable;
use super::connection::RoutedConnection;
use super::establish::establish;
use super::transaction::RoutedTransactionManager;
use crate::instrument::Shared;

impl<C: Routable> RoutedConnection<C> {
    /// Where a transaction that begins now is to go.
    pub(super) fn wish_to_begin(&mut self) -> Wish {
        Wish::at(self.once.take().or(self.standing))
    }
}

impl<C: Routable> SimpleConnection for RoutedConnection<C> {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.run_batch(query)
    }
}

impl<C: Routable> ConnectionSealed for RoutedConnection<C> {}

impl<C: Routable> Connection for RoutedConnection<C> {
    type Backend = C::Backend;
    type TransactionManager = RoutedTransactionManager;

    /// `database_url` is the primary's URL, or that and those of replicas, separated by commas.
    fn establish(database_url: &str) -> ConnectionResult<Self> {
        establish(database_url)
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Self::Backend> + QueryId,
    {
        let known = self.look(source)?;
        self.run(&known, |conn| conn.execute_returning_count(source))
    }

    fn transaction_state(&mut self) -> &mut TransactionManagerStatus {
        self.status()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut self.opener.instrumentation
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.opener.instrumentation = Shared::new(instrumentation.into());
        self.opener.instrumented = true;
        if let Some(pin) = &mut self.pin {
            pin.checkout.lease.connection().relay.connect(Some(&self.opener.instrumentation));
        }
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.opener.cache = size;
        if let Some(pin) = &mut self.pin {
            pin.checkout.lease.connection().set_cache(size);
        }
    }
}

/// For pools of handles. A handle that is kept on a connection is closed rather than given to somebody else.
impl<C: Routable> R2D2Connection for RoutedConnection<C> {
    /// A handle holds no connection that could have died, so that the usual query is spared.
    fn ping(&mut self) -> QueryResult<()> {
        Ok(())
    }

    fn is_broken(&mut self) -> bool {
        self.put_back();
        RoutedTransactionManager::is_broken_transaction_manager(self)
    }
}

/// Migrations run on the primary, and so does everything that is asked about them.
impl<C: Routable> MigrationConnection for RoutedConnection<C> {
    fn setup(&mut self) -> QueryResult<usize> {
        self.write_here(MigrationConnection::setup)
    }
}

/// Makes it a variant of `#[derive(MultiConnection)]`.
impl<C: Routable> MultiConnectionHelper for RoutedConnection<C> {
    fn to_any<'a>(lookup: &mut <C::Backend as TypeMetadata>::MetadataLookup) -> &mut (dyn Any + 'a) {
        C::to_any(lookup)
    }

    fn from_any(lookup: &mut dyn Any) -> Option<&mut <C::Backend as TypeMetadata>::MetadataLookup> {
        C::from_any(lookup)
    }
}

/// `save_changes`, as the connection itself does it; where that is an update and a query, both run on the primary.
impl<C, Changes, Output> UpdateAndFetchResults<Changes, Output> for RoutedConnection<C>
where
    C: Routable + UpdateAndFetchResults<Changes, Output>,
    Changes: Copy,
{
    fn update_and_fetch(&mut self, changeset: Changes) -> QueryResult<Output> {
        self.write_here(|conn| conn.update_and_fetch(changeset))
    }
}
