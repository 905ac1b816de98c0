//! The tasks that bring notifications to notifiers: one for each, owned by the monitor.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::gate::Gate;
use super::outbox::Outbox;
use super::{Notification, Notifier, NotifyError, Rules, retry};
use crate::metrics::Deliveries;
use crate::time::Clock;

/// Notifications on their way to a courier at most. It takes them at once, whatever its notifier does.
const QUEUE: usize = 256;

/// How long the end of the router waits for what is still to be delivered.
const GRACE: Duration = Duration::from_secs(3);

/// A notifier with its rules.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) notifier: Arc<dyn Notifier>,
    pub(crate) rules: Rules,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("notifier", &self.notifier.name()).field("rules", &self.rules).finish()
    }
}

/// All couriers. Dropping them ends their tasks.
pub(crate) struct Couriers {
    known: Vec<Known>,
    tasks: JoinSet<()>,
    clock: Clock,
    deliveries: Deliveries,
}

struct Known {
    post: Post,
    sender: mpsc::Sender<Arc<Notification>>,
    task: Id,
    /// Its queue was full; said once.
    full: AtomicBool,
}

impl Couriers {
    pub(crate) fn start(posts: Vec<Post>, clock: Clock, deliveries: Deliveries) -> Self {
        let mut all = Self { known: Vec::new(), tasks: JoinSet::new(), clock, deliveries };
        for post in posts {
            let known = all.employ(post);
            all.known.push(known);
        }
        all
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Hands a notification to every courier. Never waits.
    pub(crate) fn send(&self, notification: Notification) {
        let notification = Arc::new(notification);
        for known in &self.known {
            let (notifier, sent) =
                (known.post.notifier.name(), known.sender.try_send(Arc::clone(&notification)));
            if sent.is_ok() {
                known.full.store(false, Ordering::Relaxed);
                continue;
            }
            self.deliveries.count(notifier, "dropped");
            if !known.full.swap(true, Ordering::Relaxed) {
                tracing::warn!(target: "rr", notifier, "notifications are dropped: its courier does not come to take them");
            }
        }
    }

    /// Resolves when a courier has ended, which it does only by a panic; `None` when there is none.
    pub(crate) async fn ended(&mut self) -> Option<Result<(Id, ()), JoinError>> {
        self.tasks.join_next_with_id().await
    }

    /// Puts another courier in the place of one that ended. What that one had is lost.
    pub(crate) fn revive(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some(index) = self.known.iter().position(|known| known.task == id) else { return };
        let post = self.known[index].post.clone();
        tracing::error!(target: "rr", notifier = post.notifier.name(), "its courier panicked; started again");
        self.known[index] = self.employ(post);
    }

    /// Ends all tasks, after a bounded time for what is still to be delivered.
    pub(crate) async fn close(&mut self) {
        self.known.clear();
        let delivered = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(GRACE, delivered).await.is_err() {
            tracing::warn!(target: "rr", "the router ended before all notifications were delivered");
            self.tasks.shutdown().await;
        }
    }

    fn employ(&mut self, post: Post) -> Known {
        let (sender, queue) = mpsc::channel(QUEUE);
        let courier = Courier {
            gate: Gate::new(post.rules.clone(), post.notifier.keeps_conditions()),
            post: post.clone(),
            queue,
            outbox: Outbox::default(),
            under_way: JoinSet::new(),
            dropping: false,
            clock: self.clock,
            deliveries: self.deliveries.clone(),
        };
        let task = self.tasks.spawn(courier.run()).id();
        Known { post, sender, task, full: AtomicBool::new(false) }
    }
}

struct Courier {
    post: Post,
    queue: mpsc::Receiver<Arc<Notification>>,
    gate: Gate,
    outbox: Outbox,
    /// One delivery at most, in a task of its own: what panics there ends there.
    under_way: JoinSet<Result<(), NotifyError>>,
    dropping: bool,
    clock: Clock,
    deliveries: Deliveries,
}

impl Courier {
    /// Works until there is nothing more to come and all is delivered.
    async fn run(mut self) {
        let mut open = true;
        loop {
            if self.under_way.is_empty()
                && let Some(next) = self.outbox.pop()
            {
                self.under_way.spawn(deliver(self.post.clone(), next, self.deliveries.clone()));
            }
            if !open && self.under_way.is_empty() {
                return;
            }
            let due = self.gate.due();
            let pause = due.map_or(Duration::MAX, |due| due.since(self.clock.now()));
            tokio::select! {
                received = self.queue.recv(), if open => {
                    let ready = match received {
                        Some(notification) => self.gate.step(&notification, self.clock.now()),
                        None => {
                            open = false;
                            self.gate.flush()
                        }
                    };
                    self.file(ready);
                }
                Some(ended) = self.under_way.join_next() => self.conclude(ended),
                () = sleep(pause), if due.is_some() => {
                    let ready = self.gate.ripe(self.clock.now());
                    self.file(ready);
                }
            }
        }
    }

    fn file(&mut self, ready: Vec<Notification>) {
        let notifier = self.post.notifier.name();
        for next in ready {
            if self.outbox.push(next).is_none() {
                self.dropping &= self.outbox.is_behind();
                continue;
            }
            self.deliveries.count(notifier, "dropped");
            if !std::mem::replace(&mut self.dropping, true) {
                tracing::warn!(target: "rr", notifier, "notifications are dropped: too many wait for their delivery");
            }
        }
    }

    fn conclude(&self, ended: Result<Result<(), NotifyError>, JoinError>) {
        let notifier = self.post.notifier.name();
        let outcome = match ended {
            Ok(Ok(())) => "delivered",
            Ok(Err(error)) => {
                tracing::warn!(target: "rr", notifier, %error, "a notification was not delivered");
                "failed"
            }
            Err(_) => {
                tracing::error!(target: "rr", notifier, "the notifier panicked; this notification is lost");
                "failed"
            }
        };
        self.deliveries.count(notifier, outcome);
    }
}

/// Tries until it is delivered, or until it is of no use to try on.
async fn deliver(post: Post, notification: Notification, deliveries: Deliveries) -> Result<(), NotifyError> {
    let (notifier, rules) = (&post.notifier, &post.rules);
    let mut failed = 0;
    loop {
        let error = match timeout(rules.timeout, notifier.notify(&notification)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => NotifyError::TimedOut(rules.timeout),
        };
        failed += 1;
        if error.is_final() || failed >= rules.attempts {
            return Err(error);
        }
        deliveries.count(notifier.name(), "retried");
        tracing::debug!(target: "rr", notifier = notifier.name(), %error, failed, "a notification is tried again");
        sleep(retry::pause(failed, error.after(), fastrand::f64())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Notify;

    use super::*;
    use crate::metrics::Metrics;
    use crate::notify::gate::tests::{closes, opens};
    use crate::notify::{Callback, Delivery};

    /// What was delivered, by key.
    #[derive(Default)]
    struct Record {
        keys: Mutex<Vec<String>>,
        news: Notify,
    }

    impl Record {
        fn enter(&self, notification: &Notification) {
            self.keys.lock().unwrap().push(notification.key.to_string());
            self.news.notify_one();
        }

        async fn until(&self, count: usize) -> Vec<String> {
            loop {
                let keys = self.keys.lock().unwrap().clone();
                if keys.len() >= count {
                    return keys;
                }
                self.news.notified().await;
            }
        }
    }

    /// Fails as it is told for each attempt, and then delivers.
    struct Failing<F>(Arc<Record>, F);

    impl<F: Fn(usize) -> Option<NotifyError> + Send + Sync + 'static> Notifier for Failing<F> {
        fn name(&self) -> &str {
            "failing"
        }

        fn notify<'a>(&'a self, notification: &'a Notification) -> Delivery<'a> {
            Box::pin(async move {
                self.0.enter(notification);
                let attempt = self.0.keys.lock().unwrap().len();
                self.1(attempt).map_or(Ok(()), Err)
            })
        }
    }

    fn couriers(notifier: impl Notifier, rules: Rules) -> Couriers {
        let post = Post { notifier: Arc::new(notifier), rules };
        Couriers::start(vec![post], Clock::start(), Metrics::new().deliveries())
    }

    fn failing(
        fail: impl Fn(usize) -> Option<NotifyError> + Send + Sync + 'static,
        rules: Rules,
    ) -> (Arc<Record>, Couriers) {
        let record = Arc::new(Record::default());
        (Arc::clone(&record), couriers(Failing(record, fail), rules))
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_up_to_a_limit() {
        let busy = |_| Some(NotifyError::Busy { code: 503, after: None });
        let (record, mut all) = failing(busy, Rules::default().attempts(4));
        all.send(opens("a"));
        all.send(opens("b"));
        let keys = record.until(8).await;
        assert_eq!(keys[..4], ["shop/ejected/a"; 4], "{keys:?}");
        assert_eq!(keys[4..], ["shop/ejected/b"; 4], "{keys:?}");
        all.close().await;
        assert_eq!(record.keys.lock().unwrap().len(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_not_tried_again() {
        let (record, mut all) = failing(|_| Some(NotifyError::Refused { code: 400 }), Rules::default());
        all.send(opens("a"));
        all.close().await;
        assert_eq!(record.keys.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_one_delivery() {
        let panics = |attempt| if attempt == 1 { panic!("of the test") } else { None };
        let (record, mut all) = failing(panics, Rules::default());
        all.send(opens("a"));
        all.send(opens("b"));
        assert_eq!(record.until(2).await, ["shop/ejected/a", "shop/ejected/b"]);
        all.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_notifier_that_hangs_is_cut_off_and_never_waited_for() {
        struct Hanging(Arc<Record>);
        impl Notifier for Hanging {
            fn name(&self) -> &str {
                "hanging"
            }
            fn notify<'a>(&'a self, notification: &'a Notification) -> Delivery<'a> {
                self.0.enter(notification);
                Box::pin(std::future::pending())
            }
        }
        let record = Arc::new(Record::default());
        let mut all = couriers(Hanging(Arc::clone(&record)), Rules::everything().attempts(2));
        for node in 0..10_000 {
            all.send(opens(&node.to_string()));
        }
        record.until(2).await;
        all.close().await;
        assert!(all.tasks.is_empty(), "no task outlives the router");
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_notifier_fails_what_holds_now_is_kept() {
        let (record, mut all) = failing(
            |attempt| (attempt < 3).then(|| NotifyError::Unreachable("refused".into())),
            Rules::everything(),
        );
        all.send(opens("first"));
        record.until(1).await;
        for n in 0..1_000 {
            all.send(if n % 2 == 0 { opens("a") } else { closes("a") });
            tokio::task::yield_now().await;
        }
        all.send(opens("last"));
        record.until(3).await;
        all.close().await;
        let keys = record.keys.lock().unwrap().clone();
        assert_eq!(keys.last().map(String::as_str), Some("shop/ejected/last"));
        assert!(keys.len() <= 3 + super::super::outbox::LONGEST, "{}", keys.len());
    }

    #[tokio::test]
    async fn closures_are_called_and_may_panic_and_block() {
        let record = Arc::new(Record::default());
        let entered = Arc::clone(&record);
        let call = move |notification: &Notification| {
            entered.enter(notification);
            assert!(notification.key.ends_with('b'), "of the test");
        };
        let mut all = couriers(Callback::new("callback".to_owned(), call), Rules::everything());
        all.send(opens("a"));
        all.send(opens("b"));
        assert_eq!(record.until(2).await.len(), 2);
        all.close().await;
    }
}
