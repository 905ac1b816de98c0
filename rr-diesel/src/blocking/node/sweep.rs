//! Looking through the connections that nobody uses: which are too old, and which are missing.

use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Idle, Lease, Routable, Shared};

/// How often connections are looked for that are too old, were idle for too long or are missing, at least and at most.
const SWEEP: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(10);

/// Often enough for the shorter of these limits.
pub(super) fn pause_between_sweeps(
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
) -> Duration {
    let shortest = idle_timeout.into_iter().chain(max_lifetime).min();
    shortest.map_or(*SWEEP.end(), |time| (time / 2).clamp(*SWEEP.start(), *SWEEP.end()))
}

pub(super) async fn sweep<C: Routable>(pool: Weak<Shared<C>>, pause: Duration) {
    loop {
        let filled = match pool.upgrade() {
            None => return,
            Some(shared) => {
                drop(shared.expired());
                shared.min == 0 || tokio::task::spawn_blocking(move || shared.fill()).await.unwrap_or(false)
            }
        };
        // A server that cannot be reached is not asked more often for that.
        tokio::time::sleep(if filled { pause } else { *SWEEP.end() }).await;
    }
}

impl<C: Routable> Shared<C> {
    /// The right to open one of those that are to be kept open; nobody waits for it.
    fn take_missing(self: &Arc<Self>) -> Option<Lease<C>> {
        let mut state = self.state();
        let missing = state.used < self.max && state.open() < self.min;
        missing.then(|| Lease::new(self, &mut state))
    }

    /// Takes out those that are too old or were idle for too long, oldest first.
    fn expired(&self) -> Vec<Idle<C>> {
        let now = self.clock.now();
        let mut state = self.state();
        let mut expired = Vec::new();
        let mut index = 0;
        while let Some(idle) = state.idle.get(index) {
            let unused = self.idle_timeout.is_some_and(|limit| now.since(idle.since) >= limit);
            if self.is_too_old(&idle.connection, now) || (unused && state.open() > self.min) {
                expired.push(state.idle.remove(index));
            } else {
                index += 1;
            }
        }
        expired
    }

    /// Opens those that are to be kept open and are missing. Whether that went well.
    fn fill(self: &Arc<Self>) -> bool {
        while let Some(mut lease) = self.take_missing() {
            match self.open() {
                Ok(connection) => lease.connection = Some(connection),
                Err(_) => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_and_old_connections_are_looked_for_as_often_as_the_shorter_limit_needs() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (idle_timeout, max_lifetime, pause) in [
            (None, None, Duration::from_secs(10)),
            (seconds(600), seconds(1800), Duration::from_secs(10)),
            (seconds(4), seconds(1800), Duration::from_secs(2)),
            (seconds(600), seconds(4), Duration::from_secs(2)),
            (None, seconds(1), Duration::from_millis(500)),
            (Some(Duration::from_millis(1)), None, Duration::from_millis(50)),
        ] {
            assert_eq!(
                pause_between_sweeps(idle_timeout, max_lifetime),
                pause,
                "{idle_timeout:?} {max_lifetime:?}"
            );
        }
    }
}
