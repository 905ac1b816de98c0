//! Instrumentation: what a handle's user sees of the connections that its statements ran on.
//!
//! Every pooled connection has a [`Relay`] installed for good; while a handle with instrumentation uses the
//! connection, the relay passes the events on to it. A handle without costs nothing.

use std::sync::{Arc, Mutex, PoisonError};

use diesel::connection::{DynInstrumentation, Instrumentation, InstrumentationEvent};

/// A handle's instrumentation, in the hands of everything that it runs statements on.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<DynInstrumentation>>);

impl Shared {
    pub(crate) fn new(instrumentation: DynInstrumentation) -> Self {
        Self(Arc::new(Mutex::new(instrumentation)))
    }
}

impl Instrumentation for Shared {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).on_connection_event(event);
    }
}

/// Passes a connection's events on to whoever uses it.
#[derive(Clone, Default)]
pub(crate) struct Relay(Arc<Mutex<Option<Shared>>>);

impl Relay {
    pub(crate) fn connect(&self, to: Option<&Shared>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to.cloned();
    }
}

impl Instrumentation for Relay {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let to = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(mut to) = to
            && !is_ours(&event)
        {
            to.on_connection_event(event);
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
