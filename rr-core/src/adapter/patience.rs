//! How long to go on trying, and the pauses between.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause; the following ones double.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Tries again until a deadline, with pauses that grow and vary. The clock is first looked at after a failure.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    deadline: Option<Instant>,
    pause: Duration,
}

impl Patience {
    /// Up to this long after the first failure.
    #[must_use]
    #[inline]
    pub const fn new(limit: Duration) -> Self {
        Self { limit, deadline: None, pause: FIRST_PAUSE }
    }

    /// Whether there is time for another try at once.
    pub fn has_time(&mut self) -> bool {
        let limit = self.limit;
        let now = Instant::now();
        now < *self.deadline.get_or_insert_with(|| now + limit)
    }

    /// How much time is left.
    pub fn left(&mut self) -> Duration {
        let limit = self.limit;
        let now = Instant::now();
        self.deadline.get_or_insert_with(|| now + limit).saturating_duration_since(now)
    }

    /// How long it has been since the first failure.
    pub(crate) fn spent(&mut self) -> Duration {
        self.limit.saturating_sub(self.left())
    }

    /// How long to pause before another try, if there is time for one.
    pub fn next_pause(&mut self) -> Option<Duration> {
        if !self.has_time() {
            return None;
        }
        let pause = self.pause.mul_f64(0.5 + fastrand::f64());
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }

    /// Pauses, and says whether there is time for another try.
    pub async fn pause(&mut self) -> bool {
        let Some(pause) = self.next_pause() else { return false };
        tokio::time::sleep(pause).await;
        true
    }
}
