//! Waiting for a condition with a deadline, so that no test sleeps and hopes.

use std::error::Error;
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Long enough for anything that ought to happen, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long to rest between two looks at a condition.
const REST: Duration = Duration::from_millis(5);

/// A condition did not come true in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {within:?} in vain for {what}; {last}")]
#[non_exhaustive]
pub struct WaitError {
    /// What was awaited, in the caller's words.
    pub what: String,
    /// How long it was awaited.
    pub within: Duration,
    /// What the last look at it said.
    pub last: String,
}

/// Polls a future so many times at most, and drops it; what came of it, if it was done by then.
pub async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// Looks at `check` every few milliseconds until it gives a value, and fails after `within`.
///
/// An error of `check` counts as "not yet": servers under test are often down. The last one is told in
/// the [`WaitError`]. A look that hangs is cut off by the deadline, so `check` needs none of its own;
/// it must therefore be safe to drop at any await.
///
/// # Errors
/// When `within` is over.
pub async fn wait_for<T, E: Display, F>(
    within: Duration,
    what: &str,
    mut check: impl FnMut() -> F,
) -> Result<T, WaitError>
where
    F: Future<Output = Result<Option<T>, E>>,
{
    let mut last = String::from("the first look never returned");
    let looking = async {
        loop {
            match check().await {
                Ok(Some(value)) => return value,
                Ok(None) => last = String::from("the last look said: not yet"),
                Err(error) => last = format!("the last look failed: {error}"),
            }
            tokio::time::sleep(REST).await;
        }
    };
    let found = tokio::time::timeout(within, looking).await;
    found.map_err(|_| WaitError { what: String::from(what), within, last })
}

/// [`wait_for`] a plain yes.
///
/// # Errors
/// When `within` is over.
pub async fn wait_until<E: Display, F>(
    within: Duration,
    what: &str,
    mut check: impl FnMut() -> F,
) -> Result<(), WaitError>
where
    F: Future<Output = Result<bool, E>>,
{
    let mut yes = || {
        let look = check();
        async { Ok::<_, E>(look.await?.then_some(())) }
    };
    wait_for(within, what, &mut yes).await
}

/// [`wait_until`] with [`PATIENCE`], for looks that borrow what the test itself uses. (Whatever waits like this cannot be
/// spawned: the compiler does not see that it is `Send`.)
///
/// # Errors
/// When that is over.
pub async fn until(
    what: &str,
    mut check: impl AsyncFnMut() -> Result<bool, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut last = String::from("the first look never returned");
    let looking = async {
        loop {
            match check().await {
                Ok(true) => return,
                Ok(false) => last = String::from("the last look said: not yet"),
                Err(error) => last = format!("the last look failed: {error}"),
            }
            tokio::time::sleep(REST).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    Ok(found.map_err(|_| WaitError { what: String::from(what), within: PATIENCE, last })?)
}
