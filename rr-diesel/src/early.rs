//! An answer that is handed over before everything behind it is done.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::sync::oneshot;

/// Hands an answer over to whoever waits for it.
pub(crate) type Handover<T> = oneshot::Sender<T>;

/// Does some work up to its answer: the one that it hands over, or else its result. What is left of the work then goes on by
/// itself. Dropped before that, the work ends where it is.
pub(crate) async fn answered<T, W>(work: impl FnOnce(Handover<T>) -> W) -> T
where
    T: Send + 'static,
    W: Future<Output = Option<T>> + Send + 'static,
{
    let (handover, mut early) = oneshot::channel();
    let mut work = Box::pin(work(handover));
    let answer = poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready((result, true)),
        // Without a handover the result is what there is to wait for.
        Poll::Pending if early.is_terminated() => Poll::Pending,
        Poll::Pending => match Pin::new(&mut early).poll(context) {
            Poll::Ready(Ok(answer)) => Poll::Ready((Some(answer), false)),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        },
    });
    let (answer, is_over) = answer.await;
    if !is_over {
        go_on(work);
    }
    match answer.or_else(|| early.try_recv().ok()) {
        Some(answer) => answer,
        None => unreachable!("work has a result, or has handed over its answer"),
    }
}

/// Does what is left of some work by itself.
pub(crate) fn go_on(work: impl Future<Output: Send + 'static> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(work));
    }
}
