//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// A receiver that asks for more is asked again after this time all the same.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// The pause after so many failed attempts (from 1). `dice` spreads it over half of its length, so that processes which
/// failed together do not come back together. It is never shorter than what the receiver asked for.
pub(super) fn pause(failed: u32, asked: Option<Duration>, dice: f64) -> Duration {
    let doublings = failed.saturating_sub(1).min(16);
    let whole = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let pause = whole.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0);
    match asked {
        Some(asked) => asked.min(LONGEST_ASKED) + pause,
        None => pause,
    }
}

/// The header `Retry-After` in its form of seconds. The form of a date is not read: the own pauses take its place.
#[cfg(any(test, feature = "notify-http"))]
pub(super) fn retry_after(header: &str) -> Option<Duration> {
    header.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(failed: u32, dice: f64) -> f64 {
        pause(failed, None, dice).as_secs_f64()
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_are_spread() {
        let longest: Vec<f64> = (1..=9).map(|failed| seconds(failed, 1.0)).collect();
        assert_eq!(longest, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
        assert_eq!((seconds(3, 0.0), seconds(3, 0.5), seconds(u32::MAX, 0.0)), (2.0, 3.0, 30.0));
    }

    #[test]
    fn the_receiver_is_left_alone_as_long_as_it_asks() {
        let asked = |seconds| pause(1, Some(Duration::from_secs(seconds)), 1.0);
        assert_eq!(asked(30), Duration::from_secs(31));
        assert_eq!(asked(u64::MAX), Duration::from_secs(601), "but not for ever");
    }

    #[test]
    fn only_seconds_are_read() {
        assert_eq!(retry_after(" 120 "), Some(Duration::from_secs(120)));
        for other in ["", "-1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(retry_after(other), None, "{other}");
        }
    }
}
