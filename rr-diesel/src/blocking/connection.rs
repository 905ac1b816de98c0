//! The routed connection: a handle that takes a connection of the right node for each statement.

use std::fmt;
use std::sync::Arc;

use diesel::connection::{
    AnsiTransactionManager, CacheSize, DynInstrumentation, TransactionManager, TransactionManagerStatus,
    get_default_instrumentation,
};
use diesel::pg::PgNotification;
use diesel::result::Error;
use diesel::{PgConnection, QueryResult};
use rr_core::adapter::{Ledger, Place, Search, Wish};
use rr_core::outcome::{TransactionId, Unanswered};
use rr_core::retry::Trouble;
use rr_core::route::{Access, Outcome};
use rr_core::topology::Role;
use rr_core::{Consistency, Router, Session};

use super::backend::Routable;
use super::connector::NodeConnector;
use super::node::Care;
use super::opener::{Checkout, Opener};
use super::pool::RoutedPool;
use crate::error;
use crate::hold::Hold;
use crate::instrument::{Shared, noting};

/// A connection for Diesel whose statements each run on the node that they belong to.
///
/// It is used like the connection `C`, and holds no connection while nothing runs. A transaction keeps one connection from its
/// begin to its end; a statement that leaves something behind in its session (`SET`, `LISTEN`, a temporary table)
/// keeps one until the handle is dropped or [`reset_session`](Self::reset_session) is called. Rows that are read off their
/// connection one by one ([`PgRowByRowLoadingMode`](diesel::pg::PgRowByRowLoadingMode)) keep theirs until the handle is
/// used again or dropped.
pub struct RoutedConnection<C: Routable> {
    pub(super) opener: Opener<C>,
    /// Boxed, since most of the time there is none.
    pub(super) pin: Option<Box<Pin<C>>>,
    /// Connections that rows are being read off, or were; one for each try.
    pub(super) attached: Vec<Option<Checkout<C>>>,
    /// The connection that was lent out by [`Self::replica`].
    lent: Option<Checkout<C>>,
    /// The state of transactions while there is no pin.
    idle: TransactionManagerStatus,
    /// Where the next statement alone is to go.
    pub(super) once: Option<Place>,
    /// Where all statements are to go.
    pub(super) standing: Option<Place>,
    /// Keeps the pool that handles of the same nodes share.
    shared: Option<Arc<RoutedPool<C>>>,
}

/// A connection that a handle keeps.
pub(super) struct Pin<C: Routable> {
    pub(super) checkout: Checkout<C>,
    pub(super) ledger: Ledger<NodeConnector<C>>,
    pub(super) hold: Hold,
    /// Why the last statement failed, if that is reason to run its transaction again.
    pub(super) trouble: Option<Trouble>,
}

impl<C: Routable> Pin<C> {
    /// Refuses to go on with a server that is the primary no more. The handle is used again: the connection is lent no more.
    pub(super) fn check(&mut self) -> QueryResult<()> {
        self.take_back();
        let Some(route) = &self.checkout.route else { return Ok(()) };
        if self.ledger.router.is_outdated(route) { Err(error::deposed(route.name())) } else { Ok(()) }
    }

    fn lend(&mut self) -> QueryResult<&mut C> {
        self.hold.lend()?;
        self.checkout.lease.connection().relay.lend(noting(&self.ledger, C::DIALECT));
        Ok(self.checkout.conn())
    }

    /// What was written on it without a word counts from now on at the latest.
    fn take_back(&mut self) {
        if self.hold.take_back() {
            self.checkout.lease.connection().relay.take_back();
            self.ledger.wrote(None);
        }
    }

    /// The error of a write that was sent and not answered.
    pub(super) fn not_answered(
        &self,
        during: Unanswered,
        transaction: Option<TransactionId>,
        error: &Error,
    ) -> Error {
        let name = self.checkout.route.as_ref().map_or_else(|| "?".into(), |route| Arc::clone(route.name()));
        error::not_answered(&self.ledger.router.unanswered(&name, during, transaction), error)
    }
}

impl<C: Routable> Drop for Pin<C> {
    fn drop(&mut self) {
        if self.hold.unfit_for_others() {
            self.checkout.lease.discard();
        }
        self.take_back();
    }
}

impl<C: Routable> RoutedConnection<C> {
    pub(super) fn new(router: Router<NodeConnector<C>>) -> Self {
        let default = get_default_instrumentation();
        let instrumented = default.is_some();
        let instrumentation = match default {
            Some(own) => DynInstrumentation::from(own),
            None => DynInstrumentation::none(),
        };
        Self {
            opener: Opener {
                ledger: Ledger::new(router),
                instrumentation: Shared::new(instrumentation),
                instrumented,
                cache: CacheSize::Unbounded,
            },
            pin: None,
            attached: Vec::new(),
            lent: None,
            idle: TransactionManagerStatus::default(),
            once: None,
            standing: None,
            shared: None,
        }
    }

    /// A handle of a pool that lives as long as its handles do.
    pub(super) fn of(pool: Arc<RoutedPool<C>>) -> Self {
        Self { shared: Some(Arc::clone(&pool)), ..Self::new(pool.router().clone()) }
    }

    /// Reads and writes on behalf of this session: its reads see what it wrote, through whatever handle.
    #[must_use]
    pub fn with_session(mut self, session: &Session) -> Self {
        self.opener.ledger.session = Some(session.clone());
        self
    }

    /// Reads at this level, in place of that of the scope and of the configuration. What a query asks for
    /// ([`RouteHints::consistency`](crate::RouteHints::consistency)) goes before it.
    #[must_use]
    pub const fn consistency(mut self, level: Consistency) -> Self {
        self.opener.ledger.consistency = Some(level);
        self
    }

    /// The router.
    #[must_use]
    pub const fn router(&self) -> &Router<NodeConnector<C>> {
        self.opener.router()
    }

    /// Sends the next statement, whatever it is, to the primary; or the next transaction that only reads.
    pub const fn use_primary(&mut self) -> &mut Self {
        self.once = Some(Place::Primary);
        self
    }

    /// Says where this query would go now and why, and why to no other node. Runs nothing and counts nothing; what was asked
    /// for the next statement ([`use_primary`](Self::use_primary)) is taken into account, and stays for it.
    ///
    /// # Errors
    /// When the query cannot be rendered.
    pub fn explain_route<Q>(&self, query: &Q) -> QueryResult<rr_core::router::Explanation>
    where
        Q: diesel::query_builder::QueryFragment<C::Backend> + diesel::query_builder::QueryId,
    {
        let classes = self.router().connector().classes();
        let (sql, classified, wish) = crate::explain::look::<C::Backend, Q>(query, classes)?;
        let mut wish = wish.or(self.once, &classified, self.standing);
        wish.leaning = classes.is_refused(Q::query_id(), &sql, || self.router().now());
        let kept = self.pin.as_ref().and_then(|pin| pin.checkout.route.as_ref());
        let kept = kept.map(|route| Arc::clone(route.name()));
        Ok(self.opener.ledger.explain(&sql, &classified, wish, C::DIALECT, kept))
    }

    /// Lets a replica have the next statement even where it does not look like a read, or where this handle is [on the
    /// primary](Self::on_primary). A replica refuses to write, so that this cannot do harm.
    pub const fn use_replica(&mut self) -> &mut Self {
        self.once = Some(Place::Replica);
        self
    }

    /// Sends everything to the primary until the guard is dropped.
    pub const fn on_primary(&mut self) -> OnPrimary<'_, C> {
        let before = self.standing.replace(Place::Primary);
        OnPrimary { handle: self, before }
    }

    /// A connection to the primary, to do anything with.
    ///
    /// The handle stays on this connection, as after a `SET`, until it is dropped or
    /// [`reset_session`](Self::reset_session) is called, and is then closed: nobody knows what was done with it. What is written
    /// on it is seen by reads of its session as soon as it is answered, which the connection tells by its instrumentation: whoever
    /// sets another one there has it seen when the handle is used again, or dropped. So is what is written by a statement whose rows
    /// are read off the connection one by one.
    ///
    /// # Errors
    /// When the primary cannot be reached, or the handle is in a transaction on a replica.
    pub fn primary(&mut self) -> QueryResult<&mut C> {
        self.pinned()?.lend()
    }

    /// A connection to a replica that may serve this handle's reads, to do anything with that reads. The handle keeps it
    /// until this is called again or the handle is dropped, and it is then closed. When no replica may serve, it is one to the
    /// primary, whose session refuses to write nevertheless.
    ///
    /// # Errors
    /// When no node can be reached.
    pub fn replica(&mut self) -> QueryResult<&mut C> {
        self.lent = None;
        let mut checkout = self.opener.reader(&mut Search::new(self.opener.router(), Wish::default()))?;
        checkout.lease.discard();
        if checkout.role() == Role::Primary {
            checkout.conn().set_up(Role::Replica, None)?;
        }
        Ok(self.lent.insert(checkout).conn())
    }

    /// Gives up the connection that this handle was kept on by a statement with an effect on its session, and the effect
    /// with it. Within a transaction nothing happens until the transaction has ended.
    pub fn reset_session(&mut self) {
        self.put_back();
        let depth = self.depth();
        if let Some(pin) = &mut self.pin {
            *pin.hold.stays.get_mut() = false;
        }
        if depth == 0 {
            drop(self.pin.take());
        }
    }

    /// Gives back what is no longer in use: the borrows of rows and of lent connections have ended when the handle is used
    /// again.
    pub(super) fn put_back(&mut self) {
        self.lent = None;
        self.attached.clear();
    }

    /// How many transactions are open, one within the other.
    pub(super) fn depth(&mut self) -> u32 {
        let status = self.status();
        status.transaction_depth().ok().flatten().map_or(0, std::num::NonZeroU32::get)
    }

    pub(super) fn status(&mut self) -> &mut TransactionManagerStatus {
        match &mut self.pin {
            Some(pin) => AnsiTransactionManager::transaction_manager_status_mut(pin.checkout.conn()),
            None => &mut self.idle,
        }
    }

    /// Keeps this connection until the transaction that was begun on it ends.
    pub(super) fn keep(&mut self, checkout: Checkout<C>) -> &mut Pin<C> {
        let ledger = self.opener.ledger.bound();
        let hold = Hold::of(checkout.role());
        self.pin.insert(Box::new(Pin { checkout, ledger, hold, trouble: None }))
    }

    /// Gives up the connection of a transaction that has ended.
    pub(super) fn release(&mut self, outcome: Outcome) {
        if self.depth() > 0 {
            return;
        }
        if let Some(mut pin) = self.pin.take_if(|pin| !*pin.hold.stays.get_mut()) {
            if outcome != Outcome::Answered {
                pin.checkout.lease.discard();
            }
            pin.checkout.report(outcome);
        }
    }

    /// The connection to the primary that this handle keeps from now on.
    pub(super) fn pinned(&mut self) -> QueryResult<&mut Pin<C>> {
        if self.pin.is_none() {
            let mut turn = self.opener.turn();
            let checkout = self.opener.writer(Access::Session, Care::Once, &mut turn)?;
            self.keep(checkout);
        }
        match &mut self.pin {
            Some(pin) => Ok(pin),
            None => unreachable!("it was pinned just now"),
        }
    }
}

impl RoutedConnection<PgConnection> {
    /// The notifications that have arrived on the connection that this handle was put on by its `LISTEN`. Before that there are
    /// none.
    pub fn notifications_iter(&mut self) -> impl Iterator<Item = QueryResult<PgNotification>> + '_ {
        let kept = self.pin.as_mut().map(|pin| pin.checkout.conn().notifications_iter());
        kept.into_iter().flatten()
    }
}

impl<C: Routable> fmt::Debug for RoutedConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedConnection")
            .field("router", self.router())
            .field("shared", &self.shared.is_some())
            .field("kept", &self.pin.as_ref().map(|pin| &pin.checkout.route))
            .finish_non_exhaustive()
    }
}

/// Sends everything to the primary while it lives. It is used like the connection.
#[derive(Debug)]
pub struct OnPrimary<'a, C: Routable> {
    handle: &'a mut RoutedConnection<C>,
    before: Option<Place>,
}

impl<C: Routable> std::ops::Deref for OnPrimary<'_, C> {
    type Target = RoutedConnection<C>;
    fn deref(&self) -> &RoutedConnection<C> {
        self.handle
    }
}

impl<C: Routable> std::ops::DerefMut for OnPrimary<'_, C> {
    fn deref_mut(&mut self) -> &mut RoutedConnection<C> {
        self.handle
    }
}

impl<C: Routable> Drop for OnPrimary<'_, C> {
    fn drop(&mut self) {
        self.handle.standing = self.before;
    }
}
