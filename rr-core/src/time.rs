//! Time as an argument.
//!
//! Every pure module takes a [`Moment`] from its caller; only [`Clock`] reads the operating system's
//! monotonic clock, and only the shells (monitor and router) own one. That is what lets a simulation
//! run thousands of failovers a second, and what makes "our own clock, no skew" a property of the types.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::LazyLock;
use std::time::Duration;

/// A point on this process's monotonic clock, in nanoseconds since the clock's origin.
///
/// Moments of two different [`Clock`]s must not be compared; they are never sent to another process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The clock's origin: the earliest moment there is.
    pub const ORIGIN: Self = Self(0);

    /// Later than any moment that a clock will show.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `millis` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos(d)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(d)))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", Duration::from_nanos(self.0))
    }
}

#[inline]
const fn nanos(d: Duration) -> u64 {
    d.as_secs().saturating_mul(1_000_000_000).saturating_add(d.subsec_nanos() as u64)
}

/// The time of day, in whole seconds since 1970 (UTC): what expires in another process can be told by nothing else.
///
/// Wall clocks jump and differ between machines. Only the lifetime of a [token](crate::token) is measured by them, where a
/// minute more or less does no harm, and people are told when something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(u64);

impl Wall {
    /// So many seconds after the beginning of 1970.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the beginning of 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// The same as the standard library has it.
    #[must_use]
    pub fn system(self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH.checked_add(Duration::from_secs(self.0)).unwrap_or(std::time::UNIX_EPOCH)
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The present time. A clock that was never set shows 1970, and everything has expired long after.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_secs()))
    }
}

impl Add<Duration> for Wall {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d.as_secs()))
    }
}

/// The one reader of the operating system's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: u64,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: system::now() }
    }

    /// The clock that all routers of this process read, so that they can tell one another when something was.
    #[must_use]
    pub fn of_process() -> Self {
        static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::start);
        *CLOCK
    }

    /// The present moment.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(system::now().saturating_sub(self.origin))
    }

    /// A moment in the near future, at most about a second ahead. Where the system keeps a coarse clock it costs a
    /// tenth of [`Clock::now`].
    ///
    /// A coarse clock lags behind by a tick of some milliseconds, by more where a virtual machine is starved. The
    /// second that is added covers that.
    #[inline]
    #[must_use]
    pub fn soon(&self) -> Moment {
        Moment(system::coarse().saturating_sub(self.origin).saturating_add(MARGIN))
    }
}

/// What [`Clock::soon`] is ahead of the coarse clock, in nanoseconds.
const MARGIN: u64 = 1_000_000_000;

#[cfg(target_os = "linux")]
mod system {
    use rustix::time::{ClockId, clock_gettime};

    #[inline]
    pub(super) fn now() -> u64 {
        nanos(ClockId::Monotonic)
    }

    #[inline]
    pub(super) fn coarse() -> u64 {
        nanos(ClockId::MonotonicCoarse)
    }

    /// Both clocks exist since Linux 2.6.32, and cannot fail.
    #[inline]
    fn nanos(clock: ClockId) -> u64 {
        let time = clock_gettime(clock);
        time.tv_sec.unsigned_abs().saturating_mul(1_000_000_000) + time.tv_nsec.unsigned_abs()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::sync::LazyLock;
    use std::time::Instant;

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

    #[inline]
    pub(super) fn now() -> u64 {
        super::nanos(ORIGIN.elapsed())
    }

    #[inline]
    pub(super) fn coarse() -> u64 {
        now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_soon_is_ahead_of_it() {
        let clock = Clock::start();
        let mut last = Moment::ORIGIN;
        for _ in 0..100_000 {
            let now = clock.now();
            assert!(last <= now && now < clock.soon());
            last = now;
        }
    }
}
