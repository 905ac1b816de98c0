//! A router that is looked at now and then.

use std::fmt;
use std::sync::{Arc, Weak};

use super::{Inner, Router};
use crate::connector::Connector;

/// A router that is not kept: it stops when nobody else has it.
pub struct WeakRouter<C: Connector> {
    inner: Weak<Inner<C>>,
}

impl<C: Connector> Router<C> {
    /// For whoever looks at the router now and then, and must not keep it from stopping.
    #[must_use]
    pub fn downgrade(&self) -> WeakRouter<C> {
        WeakRouter { inner: Arc::downgrade(&self.inner) }
    }
}

impl<C: Connector> WeakRouter<C> {
    /// The router, unless its last clone has been dropped.
    #[must_use]
    pub fn upgrade(&self) -> Option<Router<C>> {
        self.inner.upgrade().map(|inner| Router { inner })
    }
}

impl<C: Connector> fmt::Debug for WeakRouter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakRouter").finish_non_exhaustive()
    }
}
