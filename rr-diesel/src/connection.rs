//! The routed connection: a handle that takes a connection of the right node for each statement.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use diesel::QueryResult;
use diesel::connection::{CacheSize, TransactionManagerStatus, get_default_instrumentation};
use diesel::pg::Pg;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel_async::AsyncPgConnection;
use futures_util::Stream;
use futures_util::future::Either;
use rr_core::adapter::{Ledger, Place, Search, Wish};
use rr_core::route::{Access, Outcome};
use rr_core::router::Explanation;
use rr_core::sql::Dialect;
use rr_core::topology::Role;
use rr_core::{Consistency, Router, Session};
use tokio::sync::OnceCell;

use crate::checkout::Checkout;
use crate::connector::{DieselConnector, PooledConnection};
use crate::error;
use crate::explain;
use crate::hold::Hold;
use crate::instrument::Shared;
use crate::lower::{Lowered, lower};
use crate::pool::RoutedPool;

mod cancel;
mod read;
mod traits;
mod write;

pub use cancel::RoutedCancelToken;
use cancel::Running;
/// A connection for Diesel whose statements each run on the node that they belong to.
///
/// It is used like an [`AsyncPgConnection`], and holds no connection while nothing runs. A transaction keeps
/// one connection from its begin to its end; a statement that leaves something behind in its session (`SET`, `LISTEN`, a
/// temporary table) keeps one until the handle is dropped or [`reset_session`](Self::reset_session) is called.
pub struct RoutedPgConnection {
    ledger: Ledger<DieselConnector>,
    /// Boxed: it is moved about a lot, and large.
    pin: OnceCell<Box<Pin>>,
    /// The state of transactions while there is no pin.
    idle: TransactionManagerStatus,
    /// Where the next statement alone is to go, as [`Place`] and 0 for nothing.
    once: AtomicU8,
    /// Where all statements are to go.
    standing: Option<Place>,
    /// It refuses to write.
    reads_only: bool,
    /// Absent until somebody wants to see events.
    instrumentation: Option<Shared>,
    cache: CacheSize,
    /// The connection that was lent out by [`Self::replica`].
    lent: Option<Checkout>,
    running: Running,
    /// Keeps the pool that handles of the same nodes share.
    shared: Option<Arc<RoutedPool>>,
}

/// A connection that a handle keeps.
pub(crate) struct Pin {
    pub(crate) checkout: Checkout,
    pub(crate) ledger: Ledger<DieselConnector>,
    pub(crate) hold: Hold,
}

impl Pin {
    #[inline]
    fn new(checkout: Checkout, ledger: Ledger<DieselConnector>) -> Box<Self> {
        let hold = Hold::of(checkout.route().role());
        Box::new(Self { checkout, ledger, hold })
    }

    /// Refuses to go on with a server that is the primary no more. The handle is used again: the connection is lent no more.
    pub(crate) fn check(&self) -> QueryResult<()> {
        self.take_back();
        let route = self.checkout.route();
        if self.ledger.router.is_outdated(route) { Err(error::deposed(route.name())) } else { Ok(()) }
    }

    fn lend(&self) -> QueryResult<()> {
        self.hold.lend()?;
        self.checkout.lend(Some(&self.ledger));
        Ok(())
    }

    /// What was written on it without a word counts from now on at the latest.
    fn take_back(&self) {
        if self.hold.take_back() {
            self.checkout.connection().relay.take_back();
            self.ledger.wrote(None);
        }
    }

    pub(crate) fn stays(&self) -> bool {
        self.hold.stays.load(Ordering::Relaxed)
    }

    /// Gives the connection back when nothing holds it any more.
    pub(crate) fn end(mut self, outcome: Outcome) {
        if outcome != Outcome::Answered {
            self.checkout.discard();
        }
        self.checkout.report(outcome);
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if self.hold.unfit_for_others() {
            self.checkout.discard();
        }
        self.take_back();
    }
}

impl RoutedPgConnection {
    #[inline]
    pub(crate) fn new(router: Router<DieselConnector>) -> Self {
        let instrumentation = get_default_instrumentation().map(|own| Shared::new(own.into()));
        Self {
            ledger: Ledger::new(router),
            pin: OnceCell::new(),
            idle: TransactionManagerStatus::default(),
            once: AtomicU8::new(0),
            standing: None,
            reads_only: false,
            instrumentation,
            cache: CacheSize::Unbounded,
            lent: None,
            running: Running::default(),
            shared: None,
        }
    }

    /// A handle of a pool that lives as long as its handles do.
    pub(crate) fn of(pool: Arc<RoutedPool>) -> Self {
        Self { shared: Some(Arc::clone(&pool)), ..Self::new(pool.router().clone()) }
    }

    /// Reads and writes on behalf of this session: its reads see what it wrote, through whatever handle.
    #[must_use]
    pub fn with_session(mut self, session: &Session) -> Self {
        self.ledger.session = Some(session.clone());
        self
    }

    /// Reads at this level, in place of that of the scope and of the configuration. What a query asks for
    /// ([`RouteHints::consistency`](crate::RouteHints::consistency)) goes before it.
    #[must_use]
    pub const fn consistency(mut self, level: Consistency) -> Self {
        self.ledger.consistency = Some(level);
        self
    }

    /// A handle that refuses to write: with Diesel's `ReadOnlyTransaction` error, and before anything is sent. Its
    /// transactions are `READ ONLY`, and run where a read would.
    ///
    /// What only the server can know to be a write, such as a function of your own that writes, the server refuses.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.reads_only = true;
        self
    }

    /// A handle whose statements all go to the primary.
    #[cfg(feature = "axum")]
    pub(crate) const fn kept_on_primary(mut self) -> Self {
        self.standing = Some(Place::Primary);
        self
    }

    /// The router.
    #[must_use]
    #[inline]
    pub fn router(&self) -> &Router<DieselConnector> {
        &self.ledger.router
    }

    /// Says where this query would go now and why, and why to no other node. Runs nothing and counts nothing; what was asked
    /// for the next statement ([`use_primary`](Self::use_primary)) is taken into account, and stays for it.
    ///
    /// # Errors
    /// When the query cannot be rendered.
    pub fn explain_route<Q>(&self, query: &Q) -> QueryResult<Explanation>
    where
        Q: QueryFragment<Pg> + QueryId,
    {
        let classes = self.router().connector().classes();
        let (sql, classified, wish) = explain::look::<Pg, Q>(query, classes)?;
        let mut wish = wish.or(once(self.once.load(Ordering::Relaxed)), &classified, self.standing);
        wish.leaning = classes.is_refused(Q::query_id(), &sql, || self.router().now());
        let kept = self.pin.get().map(|pin| Arc::clone(pin.checkout.route().name()));
        Ok(self.ledger.explain(&sql, &classified, wish, Dialect::Postgres, kept))
    }

    /// Sends the next statement, whatever it is, to the primary; or the next transaction that only reads.
    pub fn use_primary(&mut self) -> &mut Self {
        self.once.store(1, Ordering::Relaxed);
        self
    }

    /// Lets a replica have the next statement even where it does not look like a read, or where this handle is [on the
    /// primary](Self::on_primary). A replica refuses to write, so that this cannot do harm.
    pub fn use_replica(&mut self) -> &mut Self {
        self.once.store(2, Ordering::Relaxed);
        self
    }

    /// Sends everything to the primary until the guard is dropped.
    pub fn on_primary(&mut self) -> OnPrimary<'_> {
        let before = self.standing.replace(Place::Primary);
        OnPrimary { handle: self, before }
    }

    /// A connection to the primary, to do anything with.
    ///
    /// The handle stays on this connection, as after a `SET`, until it is dropped or
    /// [`reset_session`](Self::reset_session) is called, and is then closed: nobody knows what was done with it. What is written
    /// on it is seen by reads of its session as soon as it is answered, which the connection tells by its instrumentation: whoever
    /// sets another one there has it seen when the handle is used again, or dropped. So is what a server commits behind the first
    /// packet of a long result.
    ///
    /// # Errors
    /// When the primary cannot be reached, or the handle is in a transaction on a replica.
    pub async fn primary(&mut self) -> QueryResult<&mut AsyncPgConnection> {
        self.pinned().await?.lend()?;
        match self.pin.get_mut() {
            Some(pin) => Ok(&mut pin.checkout.connection_mut().conn),
            None => unreachable!("it was pinned just now"),
        }
    }

    /// A connection to a replica that may serve this handle's reads, to do anything with that reads. The handle keeps it
    /// until this is called again or the handle is dropped, and it is then closed. When no replica may serve, it is one to the
    /// primary, whose session refuses to write nevertheless.
    ///
    /// # Errors
    /// When no node can be reached.
    pub async fn replica(&mut self) -> QueryResult<&mut AsyncPgConnection> {
        self.lent = None;
        let checkout = self.reader(&mut Search::new(self.router(), Wish::default())).await?;
        if checkout.route().role() == Role::Primary {
            checkout.refuse_writes().await?;
        }
        checkout.lend(None);
        Ok(&mut self.lent.insert(checkout).connection_mut().conn)
    }

    /// Gives up the connection that this handle was kept on by a statement with an effect on its session, and the effect
    /// with it. Within a transaction nothing happens until the transaction has ended.
    pub fn reset_session(&mut self) {
        self.lent = None;
        let depth = self.depth();
        if let Some(pin) = self.pin.get_mut() {
            *pin.hold.stays.get_mut() = false;
        }
        if depth == 0 {
            drop(self.pin.take());
        }
    }

    /// Something that stops what this handle does at the moment when it is asked to, wherever that runs.
    #[must_use]
    pub fn cancel_token(&self) -> RoutedCancelToken {
        self.running.token()
    }

    /// The notifications that arrive on the connection that this handle was put on by its `LISTEN`. Before that there are
    /// none.
    pub fn notifications_stream(
        &mut self,
    ) -> impl Stream<Item = QueryResult<diesel::pg::PgNotification>> + '_ {
        match self.pin.get_mut() {
            Some(pin) => Either::Left(pin.checkout.connection_mut().conn.notifications_stream()),
            None => Either::Right(futures_util::stream::pending()),
        }
    }

    /// How many transactions are open, one within the other.
    pub(crate) fn depth(&mut self) -> u32 {
        let status = self.status();
        status.transaction_depth().ok().flatten().map_or(0, std::num::NonZeroU32::get)
    }

    pub(crate) fn status(&mut self) -> &mut TransactionManagerStatus {
        use diesel_async::{AnsiTransactionManager, TransactionManager};
        match self.pin.get_mut() {
            Some(pin) => {
                AnsiTransactionManager::transaction_manager_status_mut(pin.checkout.connection_mut())
            }
            None => &mut self.idle,
        }
    }

    /// Where a transaction that begins now is to go.
    pub(crate) fn wish_to_begin(&self) -> Wish {
        Wish::at(once(self.once.swap(0, Ordering::Relaxed)).or(self.standing))
    }

    pub(crate) const fn reads_only(&self) -> bool {
        self.reads_only
    }

    #[inline]
    pub(crate) const fn ledger(&self) -> &Ledger<DieselConnector> {
        &self.ledger
    }

    /// Gives up the connection that [`Self::replica`] has lent.
    pub(crate) fn put_back(&mut self) {
        self.lent = None;
    }

    pub(crate) const fn pin_mut(&mut self) -> &mut OnceCell<Box<Pin>> {
        &mut self.pin
    }

    /// Keeps this connection until the transaction that was begun on it ends.
    pub(crate) fn keep(&mut self, checkout: Checkout) {
        self.pin = OnceCell::new_with(Some(Pin::new(checkout, self.ledger.bound())));
    }

    /// Gives up the connection of a transaction that has ended.
    pub(crate) fn release(&mut self, outcome: Outcome) {
        if self.depth() > 0 || self.pin.get().is_none_or(|pin| pin.stays()) {
            return;
        }
        if let Some(pin) = self.pin.take() {
            pin.end(outcome);
        }
    }

    /// The connection to the primary that this handle keeps from now on.
    async fn pinned(&self) -> QueryResult<&Pin> {
        let pin = async || {
            let checkout = self.writer(Access::Session, &mut self.turn()).await?;
            Ok(Pin::new(checkout, self.ledger.bound()))
        };
        self.pin.get_or_try_init(pin).await.map(|pin| &**pin)
    }

    /// Makes a connection that was just taken out this handle's own.
    #[inline]
    fn adopt(&self, connection: &mut PooledConnection) {
        connection.set_cache(self.cache);
        connection.tell(self.instrumentation.as_ref());
    }

    #[inline]
    fn lower<Q: QueryFragment<Pg> + QueryId>(&self, query: &Q) -> QueryResult<Lowered<'_>> {
        let classes = self.ledger.router.connector().classes();
        let mut lowered = lower(query, classes, self.instrumentation.is_some())?;
        let once = once(self.once.swap(0, Ordering::Relaxed));
        lowered.wish = lowered.wish.or(once, &lowered.classified, self.standing);
        Ok(lowered)
    }
}

/// Where the next statement alone is to go.
#[inline]
const fn once(number: u8) -> Option<Place> {
    match number {
        1 => Some(Place::Primary),
        2 => Some(Place::Replica),
        _ => None,
    }
}

impl fmt::Debug for RoutedPgConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedPgConnection")
            .field("router", &self.ledger.router)
            .field("shared", &self.shared.is_some())
            .field("kept", &self.pin.get().map(|pin| pin.checkout.route()))
            .finish_non_exhaustive()
    }
}

/// Sends everything to the primary while it lives. It is used like the connection.
#[derive(Debug)]
pub struct OnPrimary<'a> {
    handle: &'a mut RoutedPgConnection,
    before: Option<Place>,
}

impl std::ops::Deref for OnPrimary<'_> {
    type Target = RoutedPgConnection;
    fn deref(&self) -> &RoutedPgConnection {
        self.handle
    }
}

impl std::ops::DerefMut for OnPrimary<'_> {
    fn deref_mut(&mut self) -> &mut RoutedPgConnection {
        self.handle
    }
}

impl Drop for OnPrimary<'_> {
    fn drop(&mut self) {
        self.handle.standing = self.before;
    }
}
