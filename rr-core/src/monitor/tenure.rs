//! Holding the lease: taken early, renewed in time, and shown once more before anything is done under it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use crate::failover::{Grant, Lease, LeaseError};
use crate::time::{Clock, Moment};
use crate::world::Event;

/// How often a lease is asked for that somebody else has, and one looked at that does not expire.
const PACE: Duration = Duration::from_secs(1);

/// Whoever keeps leases may take this long to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// This router's hold on the lease.
#[derive(Debug)]
pub(crate) struct Tenure {
    lease: Arc<dyn Lease>,
    clock: Clock,
    /// Held across calls of the lease: one at a time.
    held: Mutex<Option<Held>>,
    /// Who was told to take over may have: nobody else is to promote before the grant expires by itself.
    in_doubt: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    grant: Grant,
    /// It has certainly not expired before this.
    until: Moment,
}

impl Held {
    fn of(grant: Grant, asked_at: Moment) -> Self {
        Self { grant, until: grant.lasts.map_or(Moment::MAX, |lasts| asked_at + lasts) }
    }
}

impl Tenure {
    pub(crate) fn new(lease: Arc<dyn Lease>, clock: Clock) -> Self {
        Self { lease, clock, held: Mutex::new(None), in_doubt: AtomicBool::new(false) }
    }

    /// Shows that the lease is held now, by renewing it; the fencing token.
    ///
    /// # Errors
    /// When it is not, or nobody can say.
    pub(crate) async fn confirm(&self) -> Result<u64, String> {
        let mut held = self.held.lock().await;
        let Some(old) = *held else {
            return Err("another process or router has it, or had it last".to_owned());
        };
        let asked_at = self.clock.now();
        match answer(self.lease.renew(old.grant)).await {
            Ok(Some(grant)) => {
                *held = Some(Held::of(grant, asked_at));
                Ok(grant.token)
            }
            Ok(None) => {
                *held = None;
                Err("it was lost".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// As [`Tenure::confirm`], and asks for it when it is not held.
    ///
    /// # Errors
    /// When somebody else has it, or nobody can say.
    pub(crate) async fn take(&self) -> Result<u64, String> {
        if self.held.lock().await.is_some() {
            let confirmed = self.confirm().await;
            if confirmed.is_ok() || self.held.lock().await.is_some() {
                return confirmed;
            }
        }
        match self.acquire().await {
            Ok(Some(token)) => Ok(token),
            Ok(None) => Err("another process or router has it; ask that one".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether it has certainly not expired, without asking anybody.
    pub(crate) async fn is_certain(&self) -> bool {
        let held = *self.held.lock().await;
        held.is_some_and(|held| self.clock.now() < held.until)
    }

    async fn acquire(&self) -> Result<Option<u64>, LeaseError> {
        let mut held = self.held.lock().await;
        if let Some(held) = *held {
            return Ok(Some(held.grant.token));
        }
        let asked_at = self.clock.now();
        let granted = answer(self.lease.acquire()).await?;
        *held = granted.map(|grant| Held::of(grant, asked_at));
        Ok(granted.map(|grant| grant.token))
    }

    /// Keeps asking for it and renewing it, and tells the world. Never ends by itself.
    pub(crate) async fn keep(self: Arc<Self>, events: mpsc::Sender<Event>) {
        let mut told = false;
        loop {
            let (holds, pause) = self.round().await;
            if holds != told {
                told = holds;
                tracing::info!(target: "rr", holds, "the lease for promotions");
                if events.send(Event::Lease(holds)).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether it is held, and when to look again.
    async fn round(&self) -> (bool, Duration) {
        let held = *self.held.lock().await;
        let Some(held) = held else {
            let acquired = self.acquire().await;
            if let Err(error) = &acquired {
                tracing::warn!(target: "rr", %error, "no lease, so nobody is promoted by this process");
            }
            let pause = self.pace().await;
            return (matches!(acquired, Ok(Some(_))), pause);
        };
        if let Err(error) = self.confirm().await {
            tracing::warn!(target: "rr", error, "the lease for promotions was not renewed");
            let expired = self.clock.now() >= held.until;
            let mut held = self.held.lock().await;
            if expired {
                *held = None;
            }
            return (held.is_some(), brief(PACE / 4));
        }
        (true, self.pace().await)
    }

    async fn pace(&self) -> Duration {
        let held = *self.held.lock().await;
        brief(held.and_then(|held| held.grant.lasts).map_or(PACE, |lasts| lasts / 3))
    }

    /// It is not given back any more.
    pub(crate) fn keep_for_ever(&self) {
        self.in_doubt.store(true, Ordering::Relaxed);
    }

    /// Gives it back, unless somebody may be taking over under it.
    pub(crate) async fn end(&self) {
        if self.in_doubt.load(Ordering::Relaxed) {
            return;
        }
        let Some(held) = self.held.lock().await.take() else { return };
        if let Err(error) = answer(self.lease.release(held.grant)).await {
            tracing::warn!(target: "rr", %error, "the lease for promotions was not given back; it expires");
        }
    }
}

impl Drop for Tenure {
    /// Where the runtime went, or the worker panicked, nothing else gives back what does not expire.
    fn drop(&mut self) {
        if *self.in_doubt.get_mut() || self.lease.spans_processes() {
            return;
        }
        if let Some(held) = self.held.get_mut().take() {
            let release = pin!(self.lease.release(held.grant));
            drop(release.poll(&mut Context::from_waker(Waker::noop())));
        }
    }
}

fn brief(pause: Duration) -> Duration {
    pause.clamp(Duration::from_millis(10), Duration::from_secs(60))
}

async fn answer<T>(asked: impl Future<Output = Result<T, LeaseError>>) -> Result<T, LeaseError> {
    match timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(LeaseError::new(format!("no answer within {PATIENCE:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::InProcessLease;

    async fn holder(lease: &Arc<InProcessLease>) -> Tenure {
        let tenure = Tenure::new(Arc::clone(lease) as _, Clock::start());
        tenure.take().await.unwrap();
        tenure
    }

    #[tokio::test]
    async fn who_is_gone_holds_it_no_more_unless_somebody_may_be_taking_over_under_it() {
        let lease = Arc::new(InProcessLease::new());
        drop(holder(&lease).await);
        let tenure = holder(&lease).await;
        tenure.end().await;
        let tenure = holder(&lease).await;
        tenure.keep_for_ever();
        tenure.end().await;
        drop(tenure);
        assert!(Tenure::new(lease, Clock::start()).take().await.is_err());
    }

    #[tokio::test]
    async fn what_was_lost_is_asked_for_again() {
        let lease = Arc::new(InProcessLease::new());
        let tenure = holder(&lease).await;
        let held = tenure.held.lock().await.unwrap();
        lease.release(held.grant).await.unwrap();
        assert!(tenure.confirm().await.is_err() && tenure.take().await.is_ok());
        let held = tenure.held.lock().await.unwrap();
        lease.release(held.grant).await.unwrap();
        assert!(tenure.take().await.is_ok(), "in one step");
    }
}
