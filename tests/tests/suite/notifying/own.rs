//! Notifiers of the application: closures, and implementations of the trait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use rr_core::Router;
use rr_core::notify::{Delivery, Notification, Notifier, Rules};
use rr_tests::plain::Plain;
use tokio::sync::mpsc;

/// Panics, or never ends.
#[derive(Clone)]
pub(super) struct Bad {
    hangs: bool,
    calls: Arc<AtomicUsize>,
}

impl Bad {
    pub(super) fn that(hangs: bool) -> Self {
        Self { hangs, calls: Arc::default() }
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Notifier for Bad {
    fn name(&self) -> &str {
        if self.hangs { "hanging" } else { "panicking" }
    }

    fn notify<'a>(&'a self, _: &'a Notification) -> Delivery<'a> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            assert!(self.hangs, "a panic of the test");
            std::future::pending().await
        })
    }
}

#[tokio::test]
async fn closures_hear_everything_and_are_not_disturbed_by_others() -> Result {
    let (sender, mut heard) = mpsc::channel(64);
    let router = Router::builder(Plain)
        .config(nowhere(Vec::new())?)
        .notifier_with(Rules::everything(), Bad::that(false))
        .notifier_with(Rules::everything(), Bad::that(true))
        .on_notice(|_| panic!("a panic of the test"))
        .on_notice(move |notification| drop(sender.blocking_send(notification.clone())))
        .start()
        .await?;
    let mut texts = Vec::new();
    while !texts.iter().any(|text: &String| text.starts_with("`replica-1` is unhealthy")) {
        let next = tokio::time::timeout(rr_tests::wait::PATIENCE, heard.recv()).await?.ok_or("it ended")?;
        assert_eq!(&*next.cluster, "shop");
        texts.push(next.text);
    }
    assert!(texts.contains(&"`primary` joined".to_owned()), "{texts:?}");
    router.shutdown().await;
    while heard.recv().await.is_some() {}
    Ok(())
}

#[tokio::test]
async fn what_is_told_before_the_end_is_delivered_at_the_end() -> Result {
    let (sender, mut heard) = mpsc::channel(64);
    let call =
        move |notification: &Notification| sender.blocking_send(notification.kind).expect("it listens");
    let router = Router::builder(Plain).config(nowhere(Vec::new())?).on_notice(call).start().await?;
    router.remove_node("replica-1").await?;
    router.shutdown().await;
    let mut kinds = Vec::new();
    while let Some(kind) = heard.recv().await {
        kinds.push(kind);
    }
    assert_eq!(kinds.last(), Some(&"left"), "{kinds:?}");
    Ok(())
}
