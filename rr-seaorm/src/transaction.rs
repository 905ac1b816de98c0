//! Transactions: one connection from begin to end, by default the primary's.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rr_core::adapter::{Ledger, Turn};
use rr_core::outcome::Unanswered;
use rr_core::retry::Trouble;
use rr_core::route::{Access, Outcome, Route};
use rr_core::topology::{Epoch, NodeId, Role};
use sea_orm::{
    AccessMode, DatabaseConnectionType, DatabaseTransaction, DbErr, IsolationLevel, TransactionError,
    TransactionOptions, TransactionTrait,
};

use crate::connection::{Attempts, RoutedConnection, request, while_there};
use crate::connector::{NodePool, SeaOrmConnector};
use crate::error;
use beginning::{Beginning, closing};
use savepoint::Turns;
pub use stream::RoutedTransactionStream;

mod beginning;
mod identity;
mod root;
mod savepoint;
mod stream;
mod traits;

/// A transaction on one node: the primary, or for one that only reads a replica that has everything that its reads must
/// see.
///
/// It is used like a [`DatabaseTransaction`]; dropped without a word, it is rolled back. A transaction that is begun on a
/// transaction is a savepoint.
pub struct RoutedTransaction {
    /// There until it has ended.
    inner: Option<DatabaseTransaction>,
    root: Arc<Root>,
    /// It is a savepoint.
    nested: bool,
}

/// What a transaction and its savepoints have in common.
struct Root {
    ledger: Ledger<SeaOrmConnector>,
    node: Arc<str>,
    chosen: (NodeId, Epoch),
    role: Role,
    limit: Option<Duration>,
    /// It was begun by a handle that refuses to write.
    reads_only: bool,
    /// Taken when it has ended, or the node has failed it.
    route: Mutex<Option<Route<NodePool>>>,
    /// A statement of it has written, as far as can be told.
    wrote: AtomicBool,
    /// Why its last statement failed.
    trouble: Mutex<Option<Trouble>>,
    /// It may have been ended by hand, or was lent to code that tells us nothing.
    unsure: AtomicBool,
    /// It may have been ended by hand: what is written then is committed at once, whatever it comes to in the end.
    ended: AtomicBool,
    /// A savepoint of it failed half-way: nothing of it can be kept. Whoever has the driver's lock has this one.
    torn: Turns<bool>,
    /// Its server did not answer in time.
    hangs: AtomicBool,
}

impl RoutedConnection {
    pub(crate) async fn begin_transaction(
        &self,
        mut options: TransactionOptions,
    ) -> Result<RoutedTransaction, DbErr> {
        if self.reads_only() {
            if options.access_mode == Some(AccessMode::ReadWrite) {
                return Err(error::reads_only());
            }
            options.access_mode = Some(AccessMode::ReadOnly);
        }
        let reads = options.access_mode == Some(AccessMode::ReadOnly)
            && options.isolation_level != Some(IsolationLevel::Serializable);
        if reads { self.begin_reading(options).await } else { self.begin_writing(options).await }
    }

    /// Where a read would go. The check comes before the snapshot.
    async fn begin_reading(&self, options: TransactionOptions) -> Result<RoutedTransaction, DbErr> {
        let mut search = Attempts::new(self.router(), self.wish().clone());
        loop {
            let route = self.route_for(&mut search).await?;
            let limit = self.deadline().or_else(|| route.pool().statement_timeout());
            match self.begin_on(route, options, limit).await {
                Ok(transaction) => return Ok(transaction),
                Err((error, route)) => self.missed(&mut search, error, route)?,
            }
        }
    }

    /// A connection that turns out to be dead is replaced: nothing has happened on it.
    async fn begin_writing(&self, options: TransactionOptions) -> Result<RoutedTransaction, DbErr> {
        let router = self.router();
        let mut turn = Turn::new(router);
        let mut refusal = None;
        loop {
            let route = match turn.route(router, &request(Access::Write)).await {
                Ok(route) => route,
                Err(none) => return Err(error::no_primary(none, refusal, || self.connector().troubles())),
            };
            let limit = route.pool().statement_timeout();
            match self.begin_on(route, options, limit).await {
                Ok(transaction) => {
                    turn.connected(router);
                    return Ok(transaction);
                }
                Err((error, route)) => refusal = Some(self.shut_out(error, route, &mut turn)?),
            }
        }
    }

    async fn begin_on(
        &self,
        mut route: Route<NodePool>,
        options: TransactionOptions,
        limit: Option<Duration>,
    ) -> Result<RoutedTransaction, (DbErr, Route<NodePool>)> {
        let begun = {
            let database = match self.callback() {
                Some(callback) => {
                    let (callback, mut told) = (Arc::clone(callback), route.pool().database().clone());
                    told.set_metric_callback(move |info| callback(info));
                    Cow::Owned(told)
                }
                None => Cow::Borrowed(route.pool().database()),
            };
            let DatabaseConnectionType::SqlxPostgresPoolConnection(pool) = &database.inner else {
                unreachable!("a node's pool is one of sqlx")
            };
            let mut work = pin!(Some(pool.begin(options.isolation_level, options.access_mode)));
            while_there(self.router(), &route, Beginning::new(work.as_mut())).await
        };
        match begun {
            Ok(inner) => {
                route.begin();
                route.runs("BEGIN");
                let root = Root {
                    chosen: (route.node(), route.epoch()),
                    ledger: self.ledger().bound(),
                    node: Arc::clone(route.name()),
                    role: route.role(),
                    limit,
                    reads_only: self.reads_only(),
                    route: Mutex::new(Some(route)),
                    wrote: AtomicBool::new(false),
                    trouble: Mutex::new(None),
                    unsure: AtomicBool::new(false),
                    ended: AtomicBool::new(false),
                    torn: Turns::default(),
                    hangs: AtomicBool::new(false),
                };
                Ok(RoutedTransaction { inner: Some(inner), root: Arc::new(root), nested: false })
            }
            Err(error) => Err((error, route)),
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.served();
        // Rolled back, nothing was written; unless it was committed behind our back.
        if *self.unsure.get_mut() {
            self.ledger.wrote(None);
        }
    }
}

impl RoutedTransaction {
    fn inner(&self) -> &DatabaseTransaction {
        match &self.inner {
            Some(inner) => inner,
            None => unreachable!("it is there until it has ended"),
        }
    }

    fn into_parts(mut self) -> (DatabaseTransaction, Arc<Root>, bool) {
        match self.inner.take() {
            Some(inner) => (inner, Arc::clone(&self.root), self.nested),
            None => unreachable!("it ends once"),
        }
    }

    /// Why its last statement failed, if that is reason to run it again; and the node, and the epoch in which it was chosen.
    pub(crate) fn trouble(&self) -> (Option<Trouble>, NodeId, Epoch) {
        (self.root.trouble(), self.root.chosen.0, self.root.chosen.1)
    }

    /// Commits it.
    ///
    /// # Errors
    /// When it cannot be committed. When the connection is lost meanwhile, nobody knows whether it was
    /// ([`RoutingError::OutcomeUnknown`](crate::RoutingError::OutcomeUnknown)); it is never tried again.
    pub async fn commit(self) -> Result<(), DbErr> {
        let (inner, root, nested) = self.into_parts();
        if nested {
            return root.release(inner).await;
        }
        // Without a limit: SeaORM panics when its transaction is dropped while the connection is in use.
        let torn = root.torn.lock().await;
        if let Err(hopeless) = root.whole(&torn).and_then(|()| root.check()) {
            drop(root.within(inner.rollback()).await);
            root.finish(Outcome::Answered);
            return Err(hopeless);
        }
        let wrote = root.wrote.load(Ordering::Relaxed);
        let transaction = if wrote { root.identify(&inner).await } else { None };
        let suspect = wrote.then(|| root.suspect());
        let committed = root.within(inner.commit()).await;
        // Noted before the caller knows, and after the server has answered.
        if let Some(suspect) = suspect {
            suspect.settle(error::ended(committed.as_ref().err()), None);
        }
        match committed {
            Ok(()) => {
                root.finish(Outcome::Answered);
                Ok(())
            }
            Err(error) => {
                root.finish(error::outcome(&error, root.role));
                if !error::is_unanswered(&error) || root.role != Role::Primary {
                    return Err(error);
                }
                let router = &root.ledger.router;
                let unknown = router.unanswered(&root.node, Unanswered::Commit, transaction);
                Err(error::not_answered(unknown, error))
            }
        }
    }

    /// Rolls it back.
    ///
    /// # Errors
    /// When the connection is lost; then it is rolled back as well.
    pub async fn rollback(self) -> Result<(), DbErr> {
        let (inner, root, nested) = self.into_parts();
        let _turn = root.torn.lock().await;
        let ended = root.watch(inner.rollback()).await;
        if !nested {
            root.finish(Outcome::Answered);
        }
        ended
    }

    /// Runs `callback` in a savepoint: releases it when that returns `Ok`, and rolls back to it otherwise.
    ///
    /// # Errors
    /// The error of `callback`, or of the begin or the end of the savepoint.
    pub async fn transaction_async<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c Self) -> Result<T, E> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        self.begin().await?.run_async(callback).await
    }

    /// As [`transaction_async`](Self::transaction_async), with an isolation level and an access mode.
    ///
    /// # Errors
    /// The error of `callback`, or of the begin or the end of the savepoint.
    pub async fn transaction_with_config_async<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c Self) -> Result<T, E> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        self.begin_with_config(isolation_level, access_mode).await?.run_async(callback).await
    }

    /// The node that it runs on, and the role that it was chosen for.
    #[must_use]
    pub fn node(&self) -> (&str, Role) {
        (&self.root.node, self.root.role)
    }

    pub(crate) async fn run<F, T, E>(self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        let result = callback(&self).await;
        self.end(result).await
    }

    pub(crate) async fn run_async<F, T, E>(self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c Self) -> Result<T, E> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        let result = callback(&self).await;
        self.end(result).await
    }

    async fn end<T, E>(self, result: Result<T, E>) -> Result<T, TransactionError<E>>
    where
        E: fmt::Display + fmt::Debug,
    {
        match result {
            Ok(value) => {
                self.commit().await?;
                Ok(value)
            }
            Err(error) => {
                self.rollback().await?;
                Err(TransactionError::Transaction(error))
            }
        }
    }
}

/// The transaction itself, for code that asks for a `&DatabaseTransaction`. Whatever is done with it counts as a write.
impl Deref for RoutedTransaction {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        self.root.lend();
        self.inner()
    }
}

impl Drop for RoutedTransaction {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take().filter(|_| self.root.hangs.load(Ordering::Relaxed)) {
            closing(inner);
        }
    }
}

impl fmt::Debug for RoutedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedTransaction")
            .field("node", &self.root.node)
            .field("role", &self.root.role)
            .field("nested", &self.nested)
            .finish_non_exhaustive()
    }
}
