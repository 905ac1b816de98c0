//! Holding the lease: taken early, renewed in time, and shown once more before anything is done under it.

use std::sync::Arc;
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
        Self { lease, clock, held: Mutex::new(None) }
    }

    /// Shows that the lease is held now, by renewing it; the fencing token.
    ///
    /// # Errors
    /// When it is not, or nobody can say.
    pub(crate) async fn confirm(&self) -> Result<u64, String> {
        let mut held = self.held.lock().await;
        let Some(old) = *held else { return Err("another process has it, or had it last".to_owned()) };
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
            return self.confirm().await;
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

    /// Gives it back.
    pub(crate) async fn end(&self) {
        let Some(held) = self.held.lock().await.take() else { return };
        if let Err(error) = answer(self.lease.release(held.grant)).await {
            tracing::warn!(target: "rr", %error, "the lease for promotions was not given back; it expires");
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
