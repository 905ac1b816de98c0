//! Who may promote: the holder of a lease, and nobody else.
//!
//! Two processes that watch one cluster must not promote two replicas. Which of them may is agreed on outside of the
//! database: in etcd, Consul, a Kubernetes lease, or (for a single process) right here.
//!
//! | [`Lease`] | etcd | Consul | Kubernetes |
//! |---|---|---|---|
//! | `acquire` | a lease with a time to live, and a transaction that puts the key if it is absent | a session, and `PUT ?acquire` | create the `Lease`, or update an expired one |
//! | token | the key's create revision | the key's `LockIndex` | `leaseTransitions` |
//! | `renew` | keep-alive, and a look whether the key is still ours | renew the session | update `renewTime` at the known `resourceVersion` |
//! | `release` | revoke | `PUT ?release` | clear `holderIdentity` |

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A future of a trait that is used as an object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A lease that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The fencing token: whoever is granted the lease later has a greater one.
    pub token: u64,
    /// How long it is valid, counted by its holder from *before* it asked; `None` for as long as the process lives.
    pub lasts: Option<Duration>,
}

impl Grant {
    /// The grant with this token.
    #[must_use]
    pub const fn new(token: u64, lasts: Option<Duration>) -> Self {
        Self { token, lasts }
    }
}

/// Whoever keeps the lease did not answer, or with an error.
#[derive(Debug, thiserror::Error)]
#[error("the lease cannot be asked for: {0}")]
pub struct LeaseError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl LeaseError {
    /// Because of this.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// A lease that at most one process holds at a time.
///
/// The caller bounds the time of each call and may drop it at any await. It renews three times within a grant's life, and
/// once more right before it promotes; when it cannot, it does not promote.
pub trait Lease: Send + Sync + fmt::Debug + 'static {
    /// Asks for it; `None` while somebody else has it.
    fn acquire(&self) -> BoxFuture<'_, Result<Option<Grant>, LeaseError>>;

    /// Prolongs it; `None` when it is lost: it has expired, or somebody has taken it away.
    fn renew(&self, grant: Grant) -> BoxFuture<'_, Result<Option<Grant>, LeaseError>>;

    /// Gives it back. What fails here ends by itself when the grant expires.
    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// Whether other processes see it. Where it is false, two processes can hold it at once.
    fn spans_processes(&self) -> bool {
        true
    }
}

/// A lease among the routers of one process that were given the same one: enough where there is but one process, and
/// nothing where there are two.
#[derive(Debug, Default)]
pub struct InProcessLease {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    holder: Option<u64>,
    last: u64,
}

impl InProcessLease {
    /// A lease that nobody holds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lease for InProcessLease {
    fn acquire(&self) -> BoxFuture<'_, Result<Option<Grant>, LeaseError>> {
        Box::pin(async {
            Ok(self.with(|state| {
                if state.holder.is_some() {
                    return None;
                }
                state.last += 1;
                state.holder = Some(state.last);
                Some(Grant::new(state.last, None))
            }))
        })
    }

    fn renew(&self, grant: Grant) -> BoxFuture<'_, Result<Option<Grant>, LeaseError>> {
        Box::pin(async move { Ok(self.with(|state| (state.holder == Some(grant.token)).then_some(grant))) })
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async move {
            self.with(|state| {
                if state.holder == Some(grant.token) {
                    state.holder = None;
                }
            });
            Ok(())
        })
    }

    fn spans_processes(&self) -> bool {
        false
    }
}
