//! Which session a task works for, so that nobody has to pass it along.
//!
//! A scope belongs to a task, not to a thread: it holds across awaits and ends with the future that it was opened around.
//! Tasks that are spawned inside do not inherit it by themselves, because nobody can tell which of them work for the same
//! user; [`Session::spawn`] says so.
//!
//! ```
//! use rr_core::{Consistency, Session};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let session = Session::new();
//! session
//!     .scope(async {
//!         assert!(Session::current().is_some()); // every handle in here works for it
//!         Consistency::Eventual.scope(async { /* and these reads may see any state */ }).await;
//!     })
//!     .await;
//! assert!(Session::current().is_none());
//! # }
//! ```

use std::future::Future;

use tokio::task::JoinHandle;

use crate::consistency::Consistency;
use crate::session::Session;

// Two of them, so that one inside of the other takes nothing away, whichever was made first.
tokio::task_local! {
    static SESSION: Session;
    /// The level of reads whose call and handle have none.
    static LEVEL: Option<Consistency>;
}

/// What a task works for, to be taken along.
#[cfg(feature = "axum")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    session: Option<Session>,
    level: Option<Consistency>,
}

#[cfg(feature = "axum")]
impl Scope {
    /// What is open here.
    #[inline]
    pub(crate) fn current() -> Self {
        Self { session: Session::current(), level: Consistency::current() }
    }

    pub(crate) fn enter<R>(self, work: impl FnOnce() -> R) -> R {
        LEVEL.sync_scope(self.level, || match self.session {
            Some(session) => SESSION.sync_scope(session, work),
            None => work(),
        })
    }
}

/// Looks at the innermost session without taking it along.
#[inline]
pub(crate) fn look<R>(at: impl Fn(Option<&Session>) -> R) -> R {
    SESSION.try_with(|session| at(Some(session))).unwrap_or_else(|_| at(None))
}

impl Session {
    /// The session of the scope that is open here, if one is.
    #[must_use]
    #[inline]
    pub fn current() -> Option<Self> {
        look(|session| session.cloned())
    }

    /// Runs a future for this session: handles that were not given another one work for it, whatever they are used in.
    ///
    /// Inside, reads see what *this session* wrote and saw, and no longer all that the process wrote. Writes still count for
    /// the process as well. The level of a scope around this one stays.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        SESSION.scope(self.clone(), future)
    }

    /// As [`Session::scope`], with a level for the reads inside whose call and handle have none of their own.
    pub fn scope_at<F: Future>(
        &self,
        level: Consistency,
        future: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        level.scope(self.scope(future))
    }

    /// Spawns a task that works for this session (and at the level of the scope that is open here).
    ///
    /// # Panics
    /// Outside of a tokio runtime, like [`tokio::spawn`].
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(LEVEL.scope(Consistency::current(), self.scope(future)))
    }

    /// Runs blocking code for this session, for handles that are used without async.
    pub fn enter<R>(&self, work: impl FnOnce() -> R) -> R {
        SESSION.sync_scope(self.clone(), work)
    }
}

impl Consistency {
    /// Runs a future whose reads have this level, unless their call or handle has its own. The session stays.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        LEVEL.scope(Some(self), future)
    }

    /// The level of the scope that is open here, if it has one.
    #[must_use]
    #[inline]
    pub fn current() -> Option<Self> {
        LEVEL.try_with(|level| *level).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Lsn, PgPosition, Position, Timeline};

    fn at(lsn: u64) -> Position {
        PgPosition::new(Timeline::FIRST, Lsn::from_u64(lsn)).into()
    }

    fn written() -> Option<Position> {
        Session::current().and_then(|session| session.last_write())
    }

    #[tokio::test]
    async fn the_innermost_scope_counts_and_ends_with_its_future() {
        let (outer, inner) = (Session::new(), Session::new());
        outer.wrote(&at(1));
        inner.wrote(&at(2));
        assert!(Session::current().is_none());
        outer
            .scope(async {
                tokio::task::yield_now().await;
                assert_eq!(written(), Some(at(1)));
                inner.scope(async { assert_eq!(written(), Some(at(2))) }).await;
                assert_eq!(written(), Some(at(1)));
            })
            .await;
        assert!(Session::current().is_none());
    }

    #[tokio::test]
    async fn a_level_keeps_the_session_and_a_session_the_level() {
        let session = Session::new();
        session.wrote(&at(1));
        let inside = session.scope_at(Consistency::Strong, async {
            assert_eq!((written(), Consistency::current()), (Some(at(1)), Some(Consistency::Strong)));
            let eventual = Consistency::Eventual.scope(async { (written(), Consistency::current()) }).await;
            assert_eq!(eventual, (Some(at(1)), Some(Consistency::Eventual)));
            Session::new().scope(async { (written(), Consistency::current()) }).await
        });
        assert_eq!(inside.await, (None, Some(Consistency::Strong)));
    }

    /// Futures that were made outside of the scope in which they run.
    #[tokio::test]
    async fn scopes_add_up_whichever_was_made_first() {
        let session = Session::new();
        session.wrote(&at(1));
        let look = || async { (written(), Consistency::current()) };
        let both = (Some(at(1)), Some(Consistency::Eventual));
        assert_eq!(session.scope(Consistency::Eventual.scope(look())).await, both);
        assert_eq!(Consistency::Eventual.scope(session.scope(look())).await, both);
        let inner = session.scope_at(Consistency::Eventual, look());
        assert_eq!(Session::new().scope_at(Consistency::Strong, inner).await, both);
    }

    #[tokio::test]
    async fn a_spawned_task_belongs_to_nobody_unless_somebody_says_so() {
        let session = Session::new();
        session.wrote(&at(1));
        let (alone, told) = session
            .scope_at(Consistency::ReadAfterWrite, async {
                let alone = tokio::spawn(async { written() });
                let told = Session::current().unwrap().spawn(async { (written(), Consistency::current()) });
                (alone.await.unwrap(), told.await.unwrap())
            })
            .await;
        assert_eq!((alone, told), (None, (Some(at(1)), Some(Consistency::ReadAfterWrite))));
    }

    #[test]
    fn blocking_code_has_scopes_too() {
        let session = Session::new();
        session.wrote(&at(3));
        assert_eq!(session.enter(written), Some(at(3)));
        assert_eq!(written(), None);
    }

    #[tokio::test]
    async fn a_scope_that_is_given_up_leaves_nothing_behind() {
        let session = Session::new();
        let never = session.scope(std::future::pending::<()>());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), never).await.is_err());
        assert!(Session::current().is_none());
    }
}
