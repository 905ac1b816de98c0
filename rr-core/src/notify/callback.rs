//! A closure as a notifier.

use std::sync::Arc;

use super::{Delivery, Notification, Notifier, NotifyError};

/// Calls a closure. It runs where blocking is allowed, so that one that does block holds up nobody else.
pub(crate) struct Callback<F> {
    name: String,
    call: Arc<F>,
}

impl<F: Fn(&Notification) + Send + Sync + 'static> Callback<F> {
    pub(crate) fn new(name: String, call: F) -> Self {
        Self { name, call: Arc::new(call) }
    }
}

impl<F: Fn(&Notification) + Send + Sync + 'static> Notifier for Callback<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn notify<'a>(&'a self, notification: &'a Notification) -> Delivery<'a> {
        Box::pin(async move {
            let (call, notification) = (Arc::clone(&self.call), notification.clone());
            let called = tokio::task::spawn_blocking(move || call(&notification)).await;
            // What it says of its panic may hold anything.
            called.map_err(|_| NotifyError::Impossible("it panicked".into()))
        })
    }
}
