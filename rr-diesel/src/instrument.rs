//! Instrumentation: what a handle's user sees of the connections that its statements ran on.
//!
//! Every pooled connection has a [`Relay`] installed for good; while a handle with instrumentation uses the
//! connection, the relay passes the events on to it. A handle without costs nothing. While the connection is lent, its events also
//! say what was written on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel::connection::{DynInstrumentation, Instrumentation, InstrumentationEvent};
use rr_core::adapter::Ledger;
use rr_core::connector::Connector;
use rr_core::sql::{Dialect, StatementClass, scan};

/// A handle's instrumentation, in the hands of everything that it runs statements on.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<DynInstrumentation>>);

impl Shared {
    pub(crate) fn new(instrumentation: DynInstrumentation) -> Self {
        Self(Arc::new(Mutex::new(instrumentation)))
    }
}

impl Instrumentation for Shared {
    #[inline]
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).on_connection_event(event);
    }
}

/// Passes a connection's events on to whoever uses it, and to whoever has lent it.
#[derive(Clone, Default)]
pub(crate) struct Relay(Arc<Listening>);

#[derive(Default)]
struct Listening {
    /// Most often nobody does: then events are dropped without a lock.
    anybody: AtomicBool,
    ears: Mutex<Ears>,
}

#[derive(Default)]
struct Ears {
    user: Option<Shared>,
    lender: Option<Lender>,
}

/// Hears of the statements that are run on a connection that is lent.
pub(crate) type Lender = Arc<dyn Fn(Heard<'_>) + Send + Sync>;

/// What is heard of a statement.
#[derive(Clone, Copy)]
pub(crate) enum Heard<'a> {
    Began,
    /// It was answered, or has failed.
    Ended(&'a str),
}

/// Notes what is written on a connection that is lent to somebody who works for this ledger.
pub(crate) fn noting<C: Connector>(ledger: &Ledger<C>, dialect: Dialect) -> Lender {
    let ledger = ledger.clone();
    Arc::new(move |heard| {
        let Heard::Ended(sql) = heard else { return };
        let classified = scan(sql, dialect);
        if classified.effect() != StatementClass::Read || classified.may_write(sql) {
            ledger.wrote(None);
        }
    })
}

impl Relay {
    pub(crate) fn connect(&self, to: Option<&Shared>) {
        self.listen(|ears| ears.user = to.cloned());
    }

    pub(crate) fn lend(&self, lender: Lender) {
        self.listen(|ears| ears.lender = Some(lender));
    }

    /// It is lent no more.
    pub(crate) fn take_back(&self) {
        self.listen(|ears| ears.lender = None);
    }

    fn listen(&self, change: impl FnOnce(&mut Ears)) {
        let mut ears = self.ears();
        change(&mut ears);
        self.0.anybody.store(ears.user.is_some() || ears.lender.is_some(), Ordering::Release);
    }

    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.0.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instrumentation for Relay {
    #[inline]
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if !self.0.anybody.load(Ordering::Acquire) || is_ours(&event) {
            return;
        }
        let (user, lender) = {
            let ears = self.ears();
            (ears.user.clone(), ears.lender.clone())
        };
        match (lender, &event) {
            (Some(lender), InstrumentationEvent::StartQuery { .. }) => lender(Heard::Began),
            (Some(lender), InstrumentationEvent::FinishQuery { query, .. }) => {
                lender(Heard::Ended(&query.to_string()));
            }
            _ => {}
        }
        if let Some(mut user) = user {
            user.on_connection_event(event);
        }
    }
}

/// The statement that asks where a write ended is our business alone.
fn is_ours(event: &InstrumentationEvent<'_>) -> bool {
    let mark = crate::capture::MARK;
    match event {
        InstrumentationEvent::StartQuery { query, .. } | InstrumentationEvent::FinishQuery { query, .. } => {
            query.to_string().starts_with(mark)
        }
        InstrumentationEvent::CacheQuery { sql, .. } => sql.starts_with(mark),
        _ => false,
    }
}
