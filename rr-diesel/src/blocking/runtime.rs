//! The runtime behind blocking code: one thread of the process, which watches the nodes of all routers.
//!
//! Blocking code waits for futures by parking its own thread. That works everywhere, also inside of a runtime of the
//! application, where a nested runtime would panic.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Builder, Handle};

static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);

/// The process's runtime. Its thread is started when this is first called.
pub(crate) fn handle() -> io::Result<Handle> {
    let mut running = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*running {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let forever = move || runtime.block_on(std::future::pending::<()>());
    drop(thread::Builder::new().name("rr-monitor".to_owned()).spawn(forever)?);
    Ok(running.insert(handle).clone())
}

/// Waits for a future whose timers and tasks belong to the runtime. Most of ours are ready at once.
pub(crate) fn wait<F: Future>(runtime: &Handle, future: F) -> F::Output {
    let _within = runtime.enter();
    // The budget of a task that this may be called in must not hold it up.
    let mut future = pin!(tokio::task::unconstrained(future));
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn sleep() -> u8 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        7
    }

    #[test]
    fn futures_are_waited_for_without_a_runtime_of_the_caller() {
        let runtime = handle().unwrap();
        assert_eq!(wait(&runtime, async { sleep().await + tokio::spawn(sleep()).await.unwrap() }), 14);
    }

    #[tokio::test]
    async fn and_within_one() {
        let runtime = handle().unwrap();
        assert_eq!(wait(&runtime, sleep()), 7);
        assert_eq!(sleep().await, 7, "the caller's own runtime works on");
    }
}
